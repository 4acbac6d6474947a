"""Evaluation and comparison over a real llama.cpp engine and a real store; the model's weights are random."""

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from selfguide_lite.cli import main
from selfguide_lite.cli.common import given_settings
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.progress import NullListener
from selfguide_lite.core.settings import Settings
from selfguide_lite.evaluate import changes, confusion, evaluate
from selfguide_lite.evaluate.asked import Asked
from selfguide_lite.evaluate.evaluation import clean_rows
from selfguide_lite.experiments.comparison import compare, methods_for
from selfguide_lite.experiments.iterations import run_rounds
from selfguide_lite.experiments.methods import LeaveOneOut, icl_examples, in_turn, seed_pairs
from selfguide_lite.experiments.search import Candidate, grid, within_budget
from selfguide_lite.gguf.random_model import Geometry, RandomWeights, write_random_llama
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import NewInput, NewOutput, Pair, Prediction, Store
from selfguide_lite.store.overlay import SettingsOverlay
from selfguide_lite.task import Example, Task, load_task
from selfguide_lite.task.eval_rows import EvalRow
from selfguide_lite.task.model import OwnInputs
from selfguide_lite.task.natural_instructions import eval_jsonl, task_yaml

pytestmark = pytest.mark.slow

SETTINGS = Settings(
    rounds=1, prompts_per_round=20, output_max_tokens=8, epochs=1, input_length_filter=False,
    near_duplicate_threshold=None, label_named_filter=False, calibrate=False, agreement_filter=False,
)  # fmt: skip
TASK = Task(
    name="mood",
    kind="classification",
    instruction="Good or bad?",
    labels=("good", "bad"),
    examples=(
        Example(input="I like it.", output="good"),
        Example(input="I hate it.", output="bad"),
        Example(input="Oh, nice.", output="good"),
    ),
    settings=SETTINGS,
)
ROWS = [EvalRow(f"It is number {number}.", ("good" if number % 3 else "bad",)) for number in range(12)]


class Notes(NullListener):
    """Remembers what was noted."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "random.gguf"
    return write_random_llama(
        path, Geometry(32, 1, 2, 2, 64, 1024), RandomWeights(quantization="q8_0"), vocabulary="bpe"
    )


@pytest.fixture(scope="module")
def engine(model):
    engine = open_engine(model, EngineOptions(tune=False, tuning={"threads": 1}))
    yield engine
    engine.close()


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "run.db") as opened:
        yield opened


def filled(store, task=TASK):
    """A store in which generation and annotation are done: twenty inputs, two of them noise, scored by label."""
    task_id = store.add_task(task)
    run_id = store.start_run(task_id, "generate", None, task.settings, 42, None)
    for number in range(20):
        text = f"Great question number {number}!" if number < 2 else f"Thing {number:02}."
        input_id = store.add_input(NewInput(task_id, run_id, 0, number, text))
        share = 0.9 if number % 2 else 0.2
        if number >= 2:
            store.add_outputs(
                NewOutput(input_id, run_id, sample, label, "score", weight)
                for sample, (label, weight) in enumerate(zip(task.labels, (share, 1 - share), strict=True))
            )
    return task_id


class CountingEngine:
    """The engine, and how many requests it was sent."""

    def __init__(self, engine):
        self._engine, self.asked = engine, 0

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def complete(self, requests):
        def counted():
            for request in requests:
                self.asked += 1
                yield request

        return self._engine.complete(counted())


def test_every_prediction_is_kept_and_none_is_asked_twice(store, engine):
    task_id = store.add_task(TASK)
    first = evaluate(RunContext(store, task_id, SETTINGS), engine, ROWS, Asked("few-shot"))
    assert first.metric == "exact match" and len(first.scores) == 12
    kept = store.connection.execute(
        "SELECT number, input, score FROM prediction WHERE evaluation_id = ? ORDER BY number", (first.id,)
    ).fetchall()
    assert kept == [(number, row.input, first.scores[number]) for number, row in enumerate(ROWS)]
    row = next(row for row in store.evaluations(task_id) if row.id == first.id)
    assert (row.mean, row.low, row.high) == (first.mean, first.low, first.high)

    with store.connection:
        store.connection.execute("DELETE FROM prediction WHERE evaluation_id = ? AND number >= 5", (first.id,))
    counting = CountingEngine(engine)
    again = evaluate(RunContext(store, task_id, SETTINGS), counting, ROWS, Asked("few-shot"))
    assert counting.asked == 7
    assert again == first

    other = evaluate(RunContext(store, task_id, SETTINGS), counting, ROWS, Asked("zero-shot", "bare"))
    assert other.id != first.id and counting.asked == 19
    twin = evaluate(RunContext(store, task_id, SETTINGS), counting, ROWS, Asked("twin"), same_as=first)
    assert twin.scores == first.scores and counting.asked == 19


def test_leaks_are_left_out_and_said(store, engine):
    task_id = filled(store)
    rows = [*ROWS, EvalRow("i LIKE  it.", ("good",)), EvalRow("thing  07.", ("bad",))]
    assert [row.input for row in clean_rows(store, task_id, rows)[1]] == ["i LIKE  it.", "thing  07."]
    result = evaluate(RunContext(store, task_id, SETTINGS), engine, rows, Asked("few-shot"))
    assert len(result.scores) == 12 and result.leaked == 2
    with pytest.raises(SelfguideError, match="every evaluation row is among"):
        evaluate(RunContext(store, task_id, SETTINGS), engine, rows[12:], Asked("few-shot"))


def test_a_prompt_over_the_context_counts_as_wrong(store, engine):
    task_id = store.add_task(TASK)
    rows = [*ROWS[:2], EvalRow("very long " * 2000, ("good",))]
    result = evaluate(RunContext(store, task_id, SETTINGS), engine, rows, Asked("few-shot"))
    assert len(result.scores) == 3 and result.scores[2] == 0.0


def test_gain_over_pairs_by_example(store, engine):
    task_id = store.add_task(TASK)
    before = evaluate(RunContext(store, task_id, SETTINGS), engine, ROWS, Asked("few-shot"))
    after = evaluate(RunContext(store, task_id, SETTINGS), engine, ROWS[3:9], Asked("other", "bare"))
    gain = after.gain_over(before)
    assert gain.n == 6 and gain.before == pytest.approx(sum(before.scores[3:9]) / 6)
    with pytest.raises(SelfguideError, match="different examples"):
        nothing = evaluate(RunContext(store, task_id, SETTINGS), engine, [EvalRow("New.", ("good",))], Asked("x"))
        nothing.gain_over(before)


def test_confusion_and_changes():
    given = [("good", "good", 1.0), ("bad", "so good", 0.0), ("bad", "no idea", 0.0), ("good", "bad, then good", 1.0)]
    predictions = [Prediction(n, f"q{n}", (right,), text, score) for n, (right, text, score) in enumerate(given)]
    assert confusion(TASK, predictions) == {("good", "good"): 2, ("bad", "good"): 1, ("bad", None): 1}

    def evaluation(scores):
        from selfguide_lite.evaluate import Evaluation

        kept = tuple(Prediction(n, f"q{n}", ("good",), f"a{score}", score) for n, score in enumerate(scores))
        return Evaluation(1, "m", "exact match", list(scores), 0, 0, 0, kept)

    found = changes(evaluation([0.0, 1.0, 1.0]), evaluation([1.0, 0.0, 1.0]))
    assert [(change.input, change.difference) for change in found] == [("q0", 1.0), ("q1", -1.0)]


def test_what_if_leaves_no_trace(store):
    task_id = filled(store)
    usual = store.pairs(task_id)
    settings = store.connection.execute("SELECT * FROM setting ORDER BY key").fetchall()
    seen = SettingsOverlay(store, {"noise_filter": False, "min_vote_share": 0.85})
    assert len(seen.pool(task_id)) == len(store.pool(task_id)) + 2
    assert {pair.output for pair in seen.pairs(task_id)} == {"good"}
    assert SettingsOverlay(store, {"random_labels": True}).pairs(task_id) != usual
    assert store.connection.execute("SELECT * FROM setting ORDER BY key").fetchall() == settings
    assert store.pairs(task_id) == usual and len(usual) == 18
    with pytest.raises(ValueError, match="no filter settings: rounds"):
        SettingsOverlay(store, {"rounds": 3})
    with pytest.raises(SelfguideError, match="cannot read"):
        seen._rows("SELECT * FROM nowhere")
    assert not store.connection.in_transaction


def test_what_is_written_through_what_if_stays(store, engine):
    from selfguide_lite.synthesis import annotate

    task_id = filled(store)
    annotate(RunContext(SettingsOverlay(store, {"noise_filter": False}), task_id, SETTINGS, Prompts(), 1), engine)
    answered = store.connection.execute("SELECT count(DISTINCT input_id) FROM output").fetchone()[0]
    assert answered == 20 and len(store.pairs(task_id)) == 18


def test_smaller_datasets_are_parts_of_larger_ones_and_balanced():
    pairs = [Pair(n, f"i{n}", "good" if n % 4 else "bad") for n in range(40)]
    ordered = in_turn(pairs, 1, TASK)
    assert sorted(ordered, key=lambda pair: pair.input_id) == pairs
    assert [pair.output for pair in ordered[:6]] == ["good", "bad"] * 3
    assert ordered == in_turn(pairs[::1], 1, TASK) and ordered != in_turn(pairs, 2, TASK)


def test_few_shot_finetuning_does_not_show_the_answer_in_the_prompt():
    prompts = LeaveOneOut.like(Prompts())
    pair = seed_pairs(TASK)[1]
    messages = prompts.annotate(TASK, pair.input)
    assert [message.content for message in messages].count("I hate it.") == 1
    assert "bad" not in [message.content for message in messages]
    assert len(prompts.annotate(TASK, "new")) == 7


def test_self_icl_fills_the_context_and_no_more(engine):
    pairs = [Pair(n, f"Thing number {n} works well.", "good" if n % 2 else "bad") for n in range(400)]
    shown = icl_examples(TASK, pairs, engine, Prompts(), ["short", "a longer input " * 5], 1)
    room = engine.n_ctx - TASK.settings.output_max_tokens

    def tokens(examples):
        return engine.count_tokens(Prompts().annotate(TASK, "a longer input " * 5, examples))

    more = Example(input="Thing number 100 works well.", output="good")
    assert tokens(shown) <= room < tokens([*shown, more, more])
    assert shown[:3] == list(TASK.examples) and len(shown) < 403
    assert len(icl_examples(TASK, pairs[:5], engine, Prompts(), ["short"], 1)) == 8
    with pytest.raises(SelfguideError, match="no room for a self-made pair"):
        icl_examples(TASK, pairs, engine, Prompts(), ["very long " * 1000], 1)


def written_task(folder, task=TASK, rows=ROWS):
    (folder / "mood.yaml").write_text(task_yaml(task.model_copy(update={"eval": Path("e.jsonl")})), encoding="utf-8")
    (folder / "e.jsonl").write_text(eval_jsonl(rows), encoding="utf-8")
    return folder / "mood.yaml"


def test_comparison_end_to_end(tmp_path, model):
    db = tmp_path / "run.db"
    with Store.open(db) as store:
        filled(store)
    methods = ["self-icl", "finetuned", "no length filter"]
    arguments = ["compare", str(written_task(tmp_path)), "-d", str(db), "-m", str(model), "--curve", "4,1000"]
    arguments += [part for method in methods for part in ("--method", method)]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    table = json.loads(result.output.splitlines()[-1])
    lines = {line["method"]: line for line in table["methods"]}
    assert list(lines) == [
        "zero-shot scored", "few-shot", "few-shot scored", "self-icl", "self-icl scored",
        "finetuned", "finetuned scored", "no length filter", "finetuned, 4 pairs",
    ]  # fmt: skip
    prompted = {name: lines[name]["mean"] for name in list(lines)[:5]}
    assert all(lines[name]["gain"] is None for name in prompted) and prompted[table["over"]] == max(prompted.values())
    gain = lines["finetuned scored"]["gain"]
    assert gain["n"] == 12
    assert gain["gain"] == pytest.approx(lines["finetuned scored"]["mean"] - prompted[table["over"]])
    assert lines["finetuned"]["pairs"] == lines["finetuned scored"]["pairs"] == 18
    assert lines["finetuned, 4 pairs"]["pairs"] == 4
    # An ablation is evaluated by scores, as what predict uses is.
    assert lines["no length filter"]["same_as"] == "finetuned"
    assert lines["no length filter"]["mean"] == lines["finetuned scored"]["mean"]
    assert all(0 <= line["macro_f1"] <= 1 for line in lines.values())
    # Eighteen inputs are too few to calibrate by, twelve rows too few to tell.
    assert table["gain"] is None and table["verdict"].startswith("Not measured: 12 evaluation rows")
    assert table["skipped"] == {"finetuned, 1000 pairs": "the dataset has 18 pairs"}
    connection = sqlite3.connect(db)
    stored = dict(connection.execute("SELECT method, count(*) FROM evaluation GROUP BY 1").fetchall())
    assert stored == dict.fromkeys(lines, 1)
    # The run's own adapter stays the only one of its database: `predict` and `export` must not meet an ablation's.
    assert connection.execute("SELECT count(*) FROM adapter").fetchone()[0] == 1
    made = connection.execute("SELECT max(id) FROM prediction").fetchone()

    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0, again.output
    assert connection.execute("SELECT max(id) FROM prediction").fetchone() == made
    connection.close()
    assert "no length filter" in again.output and "(same pairs as finetuned)" in again.output
    assert "left out: finetuned, 1000 pairs: the dataset has 18 pairs" in again.output

    shown = CliRunner().invoke(main, ["evaluate", str(tmp_path / "mood.yaml"), "-d", str(db), "-m", str(model)])
    assert shown.exit_code == 0, shown.output
    assert "Better by finetuned" in shown.output and "right \\ answered" in shown.output
    assert "recall by label" in shown.output and "Not measured: 12 evaluation rows" in shown.output
    machine = CliRunner().invoke(
        main, ["evaluate", str(tmp_path / "mood.yaml"), "-d", str(db), "-m", str(model), "--json"]
    )
    answer = json.loads(machine.output.splitlines()[-1])
    done = ["zero-shot scored", "few-shot", "few-shot scored", "finetuned", "finetuned scored"]
    assert [one["method"] for one in answer["evaluations"]] == done == list(answer["methods"])
    assert answer["gain"] is None and set(answer["macro_f1"]) == set(answer["recall"]) == set(done)


def test_evaluate_without_an_adapter(tmp_path, model):
    result = CliRunner().invoke(
        main, ["evaluate", str(written_task(tmp_path)), "-d", str(tmp_path / "new.db"), "-m", str(model), "-q"]
    )
    assert result.exit_code == 0, result.output
    assert "No adapter yet" in result.output and "few-shot" in result.output


def test_search_end_to_end(tmp_path, model):
    folder = tmp_path / "search"
    folder.mkdir()
    with Store.open(folder / "mood-t0.8.db") as store:
        filled(store, TASK.model_copy(update={"settings": SETTINGS.changed({"input_temperature": 0.8})}))
    arguments = ["search", str(written_task(tmp_path)), "--folder", str(folder), "-m", str(model), "--budget", "2"]
    arguments += ["--temperature", "0.8", "--epochs", "1", "--validation", "0.34"]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.output.splitlines()[-1])
    assert found["grid"] == 4 and len(found["trials"]) == 2
    # The second setting differs in a filter that drops nothing here: the same pairs, one finetune.
    assert found["trials"][0]["gains"] == found["trials"][1]["gains"]
    assert len(list((folder / "adapters").iterdir())) == 1
    assert found["worst"] == max(trial["worst"] for trial in found["trials"])
    assert found["scores"]["mood"]["n"] == 8  # 12 rows, 4 of them chose
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0 and "Chosen (2 tried of 4): temperature 0.8, epochs 1" in again.output, again.output
    written = given_settings(folder / "settings.yaml", ())
    assert written == found["best"] and written["input_temperature"] == 0.8


def test_the_grid_and_its_budget():
    everything = grid([TASK])
    assert len(everything) == 5 * 3 * 4 == len(set(everything))
    assert everything[0] == Candidate(1.0, 2, True, False)
    generation = TASK.model_copy(update={"kind": "generation", "labels": ()})
    assert grid([generation])[0] == Candidate(1.0, 2, True, True)
    assert grid([TASK, generation])[0] == Candidate(1.0, 2, True, None) and len(grid([TASK, generation])) == 75
    few = within_budget(everything, 5, 42)
    assert few[0] == everything[0] and len(set(few)) == 5 and few == within_budget(everything, 5, 42)
    assert within_budget(everything, None, 1) == everything == within_budget(everything, 99, 1)


def test_rounds_stop_when_the_validation_score_does_not_rise(tmp_path, model):
    db = tmp_path / "run.db"
    with Store.open(db) as store:
        filled(store)
    (tmp_path / "run-files").mkdir()
    with Store.open(tmp_path / "run-files" / "round-2.db") as store:
        filled(store)
    (tmp_path / "inputs.csv").write_text("input\nIt is number 3.\n", encoding="utf-8")
    task = load_task(written_task(tmp_path)).model_copy(update={"inputs": OwnInputs(file=tmp_path / "inputs.csv")})
    notes = Notes()
    result = run_rounds(task, db, 3, validation=0.5, options=RunOptions(model=model, listener=notes))
    refused = next(place for place, line in enumerate(notes.said) if "in the evaluation set" in line)
    assert "inputs.csv: row 2" in notes.said[refused]
    assert not any(line.startswith("train") for line in notes.said[:refused])
    assert len(result.rounds) >= 2 or result.best.number == 1
    assert [one.number for one in result.rounds] == list(range(1, len(result.rounds) + 1))
    assert result.rounds[0].model == model and result.rounds[1].model == tmp_path / "run-files" / "round-1.gguf"
    rises = [one.rise.gain for one in result.rounds[1:]]
    assert all(rise > 0 for rise in rises[:-1]) and (len(result.rounds) == 3 or rises[-1] <= 0)
    assert result.verdict.n == 6 and result.gain is None  # six rows tell nothing
    assert result.as_json()["best_round"] == result.best.number
    assert {"few-shot scored", "finetuned scored"} <= set(result.means)


@pytest.mark.parametrize(
    ("arguments", "rows", "message"),
    [
        (["evaluate"], None, "cannot read this evaluation set"),
        (["evaluate", "-a", "no.gguf"], ROWS, "no.gguf: no such adapter file"),
        (["evaluate", "-a", "mood.yaml"], ROWS, "mood.yaml: "),
        (["evaluate", "-m", "no.gguf"], ROWS, "no.gguf: no such model file"),
        (["evaluate"], [EvalRow("q", ("perhaps",))], "'perhaps' is not a label"),
        (["compare", "--method", "magic"], ROWS, "'magic' is no method"),
        (["compare"], None, "cannot read this evaluation set"),
        (["search"], [ROWS[0]], "cannot be split"),
        (["search", "mood.yaml"], ROWS, "two of the tasks have the same name"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path, model, monkeypatch, arguments, rows, message):
    monkeypatch.chdir(tmp_path)
    written_task(tmp_path, rows=rows or ROWS)
    if rows is None:
        (tmp_path / "e.jsonl").unlink()
    command, *rest = arguments
    where = [] if "-m" in rest else ["-m", str(model)]
    result = CliRunner().invoke(main, [command, "mood.yaml", *where, "-q", *rest])
    assert result.exit_code == 1, result.output
    assert message in result.output and len(result.output.strip().splitlines()) == 1


def test_methods_fit_the_kind():
    generation = TASK.model_copy(update={"kind": "generation", "labels": ()})
    assert "random labels" in methods_for(TASK) and "random labels" not in methods_for(generation)
    with pytest.raises(SelfguideError, match="is no method for the kind generation"):
        compare(generation, Path("unused.db"), methods=["random labels"])
