"""The whole job on a llama of random weights with Vicuna's kind of vocabulary, and on tasks of a public benchmark."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from proofs import shared

from selfguide_lite import (
    PredictOptions,
    Predictor,
    Prompts,
    RunOptions,
    SelfguideError,
    Settings,
    Store,
    Task,
    finetuning,
    load_task,
    open_store,
    predict,
    run,
)
from selfguide_lite.cli import main
from selfguide_lite.core.progress import NullListener, Stage
from selfguide_lite.core.resources import resource
from selfguide_lite.finetuning import training_pairs
from selfguide_lite.gguf.random_model import RandomWeights, write_random_llama
from selfguide_lite.llm import open_engine
from selfguide_lite.pipeline import RunResult
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Pair
from selfguide_lite.synthesis import annotate, generate
from selfguide_lite.task.eval_rows import eval_rows

pytestmark = pytest.mark.slow

QUICK = {
    "rounds": 3,
    "prompts_per_round": 4,
    "input_max_tokens": 16,
    "output_max_tokens": 8,
    "samples": 3,
    "epochs": 1,
    "input_length_filter": False,
    "output_length_filter": False,
    "balance": False,
    "min_vote_share": 0.0,
}
TINY = resource("data/tiny_vicuna/tiny-vicuna.gguf")


class Stages(NullListener):
    """Remembers which stages had work, which were done, and what was noted."""

    def __init__(self) -> None:
        self.started: list[Stage] = []
        self.ended: list[Stage] = []
        self.notes: list[str] = []

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        self.started.append(stage)

    def done(self, stage: Stage, summary: str) -> None:
        self.ended.append(stage)

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of random weights with 32,000 SentencePiece tokens, whose answers are decided enough to end."""
    return write_random_llama(tmp_path_factory.mktemp("model") / "random.gguf", weights=RandomWeights(sharpness=4.0))


def write_task(folder: Path, repeated: int = 1, **changed: Any) -> Path:
    """Write a small task with an evaluation file of three rows or several times so many, and return its path."""
    answers = ["glad", "sad", "glad"]
    texts = ["Ann sang all day.", "Bob lost his hat.", "Cy won the race at noon."]
    rows = [("Di got a kite.", "glad"), ("Ed fell ill.", "sad"), ("Flo met a friend.", "glad")] * repeated
    rows = [(f"{text} {number}" if number > 2 else text, answer) for number, (text, answer) in enumerate(rows)]
    content = {
        "name": "mood",
        "kind": "classification",
        "instruction": "Say whether the text is glad or sad.",
        "labels": ["glad", "sad"],
        "examples": [{"input": text, "output": answer} for text, answer in zip(texts, answers, strict=True)],
        "settings": QUICK,
        "eval": "mood.eval.jsonl",
    } | changed
    (folder / "mood.eval.jsonl").write_text(
        "".join(json.dumps({"input": text, "output": answer}) + "\n" for text, answer in rows), encoding="utf-8"
    )
    path = folder / f"{content['name']}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def rows_of(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


GENERATED = (
    "SELECT round, prompt, label, text, seed_inputs, finish_reason, mean_logprob FROM input ORDER BY round, prompt"
)
ANSWERED = (
    "SELECT i.round, i.prompt, o.sample, o.method, o.text, o.label, o.weight, o.logprob"
    " FROM output AS o JOIN input AS i ON i.id = o.input_id ORDER BY i.round, i.prompt, o.sample"
)


@pytest.fixture(scope="module")
def whole(random_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One whole run by the command line: its folder and the line of JSON that it ended with.

    Of a generation task: random weights never say a label.
    """
    folder = tmp_path_factory.mktemp("whole")
    task = write_task(
        folder, repeated=20, kind="generation", labels=[], instruction="Say in a word how the writer feels."
    )
    command = ["run", str(task), "-d", str(folder / "mood.db"), "-m", str(random_model), "--json"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout.splitlines()[-1])


def test_a_whole_run_ends_with_its_line_of_json(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, answer = whole
    db = folder / "mood.db"
    assert set(answer) == {"task", "pairs", "adapter", "gain", "methods", "verdict"}
    assert answer["task"] == "mood"
    assert answer["pairs"] == rows_of(db, "SELECT count(*) FROM dataset")[0][0] > 0
    assert Path(answer["adapter"]).is_file()
    assert list(answer["gain"]) == ["metric", "n", "over", "before", "after", "low", "high"]
    assert answer["gain"]["n"] == 60 and answer["gain"]["over"] in ("zero-shot", "few-shot")
    assert all(0 <= answer["gain"][key] <= 1 for key in ("before", "after"))
    assert set(answer["methods"]) == {"zero-shot", "few-shot", "finetuned"}
    ((sentence, winner),) = rows_of(
        db, "SELECT v.sentence, e.method FROM verdict AS v JOIN evaluation AS e ON e.id = v.winner_id"
    )
    assert sentence == answer["verdict"] and (winner == "finetuned") == sentence.startswith("Better")


def test_every_text_and_what_made_it_is_in_the_store(whole: tuple[Path, dict[str, Any]]) -> None:
    db = whole[0] / "mood.db"
    assert len(rows_of(db, GENERATED)) == QUICK["rounds"] * QUICK["prompts_per_round"]
    assert rows_of(db, "SELECT stage, reason FROM run ORDER BY id") == [
        ("generate", "done"),
        ("annotate", "done"),
        ("train", "done"),
    ]
    assert rows_of(db, "SELECT count(*) FROM run WHERE seed = 42 AND model_id IS NOT NULL")[0][0] == 3
    assert rows_of(db, "SELECT count(*) FROM train_step")[0][0] > 0
    methods = ["few-shot", "finetuned", "zero-shot"]
    assert [name for (name,) in rows_of(db, "SELECT DISTINCT method FROM evaluation ORDER BY 1")] == methods
    assert rows_of(db, "SELECT count(*) FROM prediction")[0][0] == 180
    assert rows_of(db, "PRAGMA integrity_check") == [("ok",)]
    assert rows_of(db, "PRAGMA foreign_key_check") == []


def test_a_second_call_makes_nothing_again(whole: tuple[Path, dict[str, Any]], random_model: Path) -> None:
    folder, answer = whole
    tables = ("input", "output", "run", "train_step", "adapter", "evaluation", "prediction", "prior", "verdict")
    before = [rows_of(folder / "mood.db", f"SELECT count(*), max(rowid) FROM {table}") for table in tables]
    stages = Stages()
    again = run(load_task(folder / "mood.yaml"), folder / "mood.db", RunOptions(model=random_model, listener=stages))
    assert again.as_json() == answer
    assert stages.started == []
    assert stages.ended[:4] == ["generate", "annotate", "train", "export"]
    assert before == [rows_of(folder / "mood.db", f"SELECT count(*), max(rowid) FROM {table}") for table in tables]


def test_predict_from_python_answers_as_the_command_does(
    whole: tuple[Path, dict[str, Any]], random_model: Path, tmp_path: Path
) -> None:
    db = whole[0] / "mood.db"
    inputs = ["Gus won again.", "Hal lost."]
    done = CliRunner().invoke(
        main, ["predict", "-d", str(db), "-m", str(random_model), "--json"], input="\n".join(inputs)
    )
    assert done.exit_code == 0, done.output
    answers = predict(db, inputs)
    assert [(one.input, one.output) for one in answers] == [
        (line["input"], line["output"]) for line in map(json.loads, done.stdout.splitlines())
    ]
    with Predictor.open(db, PredictOptions(plain=True)) as predictor:
        assert predictor.way.method == "few-shot" and not predictor.way.finetuned
        assert [one.input for one in predictor.answer(inputs)] == inputs
    with open_store(db) as store:
        assert store.only_task_id() == 1
        with pytest.raises(SelfguideError, match="cannot write to this database: it is read-only"):
            store.set_setting(1, "min_confidence", 0.5)
    for opened in (lambda path: predict(path, inputs), open_store):
        with pytest.raises(SelfguideError, match="no such database"):
            opened(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_the_same_seed_makes_the_same_rows(whole: tuple[Path, dict[str, Any]], random_model: Path) -> None:
    folder, _ = whole
    task = load_task(folder / "mood.yaml")
    made = {}
    with open_engine(random_model) as engine:  # type: ignore[attr-defined]
        for seed in (42, 43):
            with Store.open(folder / f"seed{seed}.db") as store:
                task_id = store.add_task(task)
                settings = task.rules.resolve(task.settings)
                generate(RunContext(store, task_id, settings, Prompts(), seed), engine)
                annotate(RunContext(store, task_id, settings, Prompts(), seed), engine)
            made[seed] = [rows_of(folder / f"seed{seed}.db", sql) for sql in (GENERATED, ANSWERED)]
    assert made[42] == [rows_of(folder / "mood.db", sql) for sql in (GENERATED, ANSWERED)]
    assert made[43] != made[42]


def test_another_model_is_noted(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, _ = whole
    other = write_random_llama(tmp_path / "other.gguf", weights=RandomWeights(sharpness=4.0, seed=1))
    stages = Stages()
    with open_engine(other) as engine, Store.open(folder / "mood.db") as store:  # type: ignore[attr-defined]
        more = store.task(1).settings.changed({"rounds": QUICK["rounds"] + 1})
        generate(RunContext(store, 1, more, Prompts(), 42, stages), engine)
    assert any("wrote texts of this database" in note for note in stages.notes)


def test_labels_are_scored_in_shares(random_model: Path, tmp_path: Path) -> None:
    task = load_task(write_task(tmp_path))
    with open_engine(random_model) as engine, Store.open(tmp_path / "a.db") as store:  # type: ignore[attr-defined]
        task_id = store.add_task(task)
        settings = task.rules.resolve(task.settings)
        assert settings.method == "score"
        generate(RunContext(store, task_id, settings, Prompts(), 42), engine)
        annotate(RunContext(store, task_id, settings, Prompts(), 42), engine)
        kept = len(store.pool(task_id))
        assert store.unanswered(task_id, "score", 1) == []
    shares = rows_of(tmp_path / "a.db", "SELECT sum(weight), count(*) FROM output GROUP BY input_id")
    assert len(shares) == kept
    assert all(total == pytest.approx(1) and n == 2 for total, n in shares)


def test_nothing_survives_ends_with_the_reason_and_advice(random_model: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path, noise_terms=["e", "i", "o", "u", "t", "n", "r", "h"])
    command = ["run", str(task), "-d", str(tmp_path / "a.db"), "-m", str(random_model), "--set", "patience_rounds=2"]
    result = CliRunner().invoke(main, [*command, "-q", "--json"])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: task mood: no pair survived the filters (8 inputs lost to noise")
    assert "noise_terms" in lines[0]
    # Two fruitless rounds were enough: the third was not asked for.
    assert rows_of(tmp_path / "a.db", "SELECT max(round) FROM input") == [(1,)]
    assert rows_of(tmp_path / "a.db", "SELECT reason FROM run WHERE stage = 'generate'") == [("fruitless",)]


def test_an_instruction_over_budget_is_told_by_how_much(random_model: Path, tmp_path: Path) -> None:
    task = load_task(write_task(tmp_path))
    with pytest.raises(SelfguideError, match=r"over the budget of 40: shorten"):
        run(task, tmp_path / "a.db", RunOptions(model=random_model, settings={"prompt_budget": 40}))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-m", "nowhere.gguf"], "nowhere.gguf: no such model file"),
        (["-m", "{task}"], "mood.yaml"),
        (["-d", "{task}/a.db"], "cannot write here"),
        (["--prompts", "nowhere"], "nowhere: no such folder"),
        (["--settings", "nowhere.yaml"], "nowhere.yaml: cannot read"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    task = write_task(tmp_path)
    given = [argument.format(task=task, folder=tmp_path) for argument in arguments]
    result = CliRunner().invoke(main, ["run", str(task), "-q", "-d", str(tmp_path / "a.db"), *given])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), result.exception
    assert says in result.stderr and len(result.stderr.splitlines()) == 1


def test_a_changed_task_is_refused(whole: tuple[Path, dict[str, Any]], random_model: Path) -> None:
    folder, _ = whole
    changed = load_task(folder / "mood.yaml").model_copy(update={"instruction": "Something else."})
    with pytest.raises(SelfguideError, match=r"instruction"):
        run(changed, folder / "mood.db", RunOptions(model=random_model))


def run_benchmark_task(source: Path, folder: Path, **settings: Any) -> RunResult:
    """Import a file of the benchmark's format and run it on the tiny model, with four evaluation rows."""
    path = folder / "task.yaml"
    imported = CliRunner().invoke(main, ["import-ni", str(source), "-o", str(path)], catch_exceptions=False)
    assert imported.exit_code == 0, imported.output
    task = load_task(path)
    assert task.eval is not None
    few = task.eval.read_text(encoding="utf-8").splitlines(keepends=True)[:4]
    task.eval.write_text("".join(few), encoding="utf-8")
    quick = QUICK | {"input_max_tokens": 48, "output_max_tokens": 24, "rounds": 2} | settings
    return run(task, folder / "a.db", RunOptions(model=TINY, settings=quick))


@pytest.mark.parametrize("name", ["cheer-or-grumble", "who-was-there"])
def test_a_task_in_the_benchmarks_format_goes_through(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks that the tiny model was trained for, asked for as it was: what it writes is good enough to train on."""
    known = load_task(resource(f"tests/tiny_tasks/{name}.yaml"))
    source = tmp_path / "task1_known.json"
    source.write_text(
        json.dumps(
            {
                "Definition": [known.instruction],
                "Positive Examples": [{"input": one.input, "output": one.output} for one in known.examples],
                "Instances": [{"input": row.input, "output": list(row.references)} for row in eval_rows(known)],
            }
        ),
        encoding="utf-8",
    )
    chosen: list[int] = []

    def counted(*arguments: Any) -> list[Pair]:
        found = training_pairs(*arguments)
        chosen.append(len(found))
        return found

    monkeypatch.setattr(finetuning, "training_pairs", counted)
    result = run_benchmark_task(source, tmp_path, input_style="paper", noise_list="paper", label_named_filter=False)
    assert len(chosen) == 1  # worked out once, for the training and for what is calibrated by
    assert len(rows_of(tmp_path / "a.db", GENERATED)) == 8
    assert result.pairs == rows_of(tmp_path / "a.db", "SELECT count(*) FROM dataset")[0][0] > 4
    assert result.gain is None and result.verdict.startswith("Not measured: 4 evaluation rows")


@pytest.mark.proof
@pytest.mark.parametrize(
    "name", ["task1195_disflqa_disfluent_to_fluent_conversion", "task738_perspectrum_classification"]
)
def test_real_tasks_of_the_benchmark_go_through(name: str, tmp_path: Path) -> None:
    """What so small a model writes for them may all be dropped: then that is said in one line."""
    source = shared("ni") / f"{name}.json"
    try:
        result = run_benchmark_task(source, tmp_path)
    except SelfguideError as error:
        assert "\n" not in str(error) and ("survived" in str(error) or "same answer" in str(error))
    else:
        assert result.pairs > 0
        assert result.gain is None and result.verdict.startswith("Not measured: 4 evaluation rows")
    assert len(rows_of(tmp_path / "a.db", GENERATED)) == 8


def test_a_generation_task_runs_without_an_evaluation_file(random_model: Path, tmp_path: Path) -> None:
    task = Task.model_validate(
        {
            "name": "polite",
            "kind": "generation",
            "instruction": "Make it polite.",
            "examples": [
                {"input": "Give me tea.", "output": "May I have tea?"},
                {"input": "Go.", "output": "Please go."},
            ],
        }
    )
    with open_engine(random_model) as engine, Store.open(tmp_path / "a.db") as store:  # type: ignore[attr-defined]
        settings = Settings.model_validate(QUICK | {"method": "score"})
        task_id = store.add_task(task.model_copy(update={"settings": settings}))
        generate(RunContext(store, task_id, settings, Prompts(), 42), engine)
        with pytest.raises(SelfguideError, match=r"only labels can be scored"):
            annotate(RunContext(store, task_id, settings, Prompts(), 42), engine)
        annotate(RunContext(store, task_id, settings.changed({"method": "sample"}), Prompts(), 42), engine)
        assert len(store.pairs(task_id)) > 0
        # More rounds and more samples than before add to what is there.
        more = settings.changed({"method": "sample", "rounds": 4, "samples": 5})
        generate(RunContext(store, task_id, more, Prompts(), 42), engine)
        annotate(RunContext(store, task_id, more, Prompts(), 42), engine)
        assert len(store.requests_done(task_id)) == 16
    counts = rows_of(tmp_path / "a.db", "SELECT DISTINCT n FROM (SELECT count(*) AS n FROM output GROUP BY input_id)")
    assert counts == [(5,)]
