"""All methods on the same rows, on the tiny model: what is asked, what calibration divides by, what predict uses."""

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner
from llamas import random_lora

from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.resources import resource
from selfguide_lite.core.settings import Settings
from selfguide_lite.evaluate import Measurement, measure
from selfguide_lite.evaluate.answering import score_labels
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.llm.base import Request
from selfguide_lite.methods.asking import answer_prompt
from selfguide_lite.prediction import Way, answer_all, choose_way
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Adapter, NewInput, NewOutput, Store, VerdictRow
from selfguide_lite.synthesis import annotate
from selfguide_lite.task import load_task
from selfguide_lite.task.eval_rows import EvalRow

pytestmark = pytest.mark.slow

SETTINGS = Settings(
    input_length_filter=False, near_duplicate_threshold=None, label_named_filter=False, noise_filter=False,
    calibrate=False, agreement_filter=False, balance=False, min_vote_share=0.0, output_max_tokens=8, method="score",
)  # fmt: skip
LABEL = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml"))
TASK = LABEL.model_copy(update={"settings": SETTINGS})
ROWS = [
    EvalRow(row["input"], (row["output"],))
    for row in map(json.loads, LABEL.eval.read_text(encoding="utf-8").splitlines())  # type: ignore[union-attr]
][:64]
PROMPTING = ["zero-shot scored", "zero-shot calibrated", "few-shot", "few-shot scored", "few-shot calibrated"]
FINETUNED = ["finetuned", "finetuned scored", "finetuned calibrated"]
MODEL = resource("data/tiny_vicuna/tiny-vicuna.gguf")


class Watched:
    """The engine, and the prompts that it was sent, by the adapter that was loaded."""

    def __init__(self, engine):
        self._engine, self.scored, self.completed = engine, [], []

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def _noting(self, requests, where):
        for request in requests:
            where.append((self._engine.info.adapter, request.messages))
            yield request

    def complete(self, requests):
        return self._engine.complete(self._noting(requests, self.completed))

    def score(self, requests):
        return self._engine.score(self._noting(requests, self.scored))


@pytest.fixture(scope="module")
def plain():
    engine = open_engine(MODEL, EngineOptions(tune=False, tuning={"threads": 1}))
    yield engine
    engine.close()


@pytest.fixture
def engine(plain):
    plain.set_adapter(None)
    return Watched(plain)


@pytest.fixture(scope="module")
def adapter_file(tmp_path_factory) -> Path:
    """A random LoRA: another model, and a poor one."""
    from selfguide_lite.gguf.adapter import write_adapter

    folder = tmp_path_factory.mktemp("lora")
    lora = random_lora(folder / "peft", MODEL, rank=2, alpha=2, strength=0.05)
    write_adapter(lora, MODEL, folder / "adapter.gguf")
    return folder / "adapter.gguf"


def filled(store: Store, engine, inputs: int, pairs: int, task=TASK) -> int:
    """A store with kept inputs that were annotated, of which so many are pairs."""
    task_id = store.add_task(task)
    run_id = store.start_run(task_id, "generate", store.add_model(engine.info), task.settings, 42, None)
    for number in range(inputs):
        store.add_input(NewInput(task_id, run_id, 0, number, f"Mira had {number} cakes, and all of them were good."))
    annotate(RunContext(store, task_id, task.settings, Prompts(), 42), engine)
    store.connection.execute(
        "DELETE FROM output WHERE input_id NOT IN (SELECT id FROM input ORDER BY id LIMIT ?)", (pairs,)
    )
    assert len(store.pool(task_id)) == inputs and len(store.pairs(task_id)) == pairs
    return task_id


def registered(store: Store, task_id: int, engine, path: Path, style: str | None = None) -> Adapter:
    model_id = store.add_model(engine.info)
    options = {} if style is None else {"answer_style": style}
    run_id = store.add_train_run(task_id, model_id, options, 7, "ab", Prompts().template("annotate"))
    store.add_adapter(task_id, run_id, model_id, path, "cd")
    adapter = store.latest_adapter(task_id)
    assert adapter is not None
    return adapter


def measured(store, task_id, engine, adapter, rows=ROWS, **more) -> Measurement:
    return measure(RunContext(store, task_id, SETTINGS), engine, rows, adapter, **more)


def asked_for(requests, style: str, text: str) -> bool:
    return answer_prompt(Prompts(), style)(TASK, text) in [messages for _, messages in requests]


def test_every_method_on_the_same_rows_and_none_twice(tmp_path, engine, adapter_file) -> None:
    with Store.open(tmp_path / "run.db") as store:
        task_id = filled(store, engine, 60, 30)
        adapter = registered(store, task_id, engine, adapter_file)
        engine.scored.clear()
        found = measured(store, task_id, engine, adapter)
        assert list(found.evaluations) == [*PROMPTING, *FINETUNED] == list(found.means) == list(found.macro_f1)
        assert {len(one.scores) for one in found.evaluations.values()} == {64}
        free, by_plain, by_adapter = (
            len(engine.completed),
            sum(adapter is None for adapter, _ in engine.scored),
            sum(adapter is not None for adapter, _ in engine.scored),
        )
        # The pass over the labels tells most free answers; what it tells is what would have been written.
        assert free < 64
        texts = [found.evaluations[name].predictions for name in ("few-shot", "finetuned")]
        assert sum(one.text not in TASK.labels for given in texts for one in given) <= free
        engine.set_adapter(None)
        asked = {str(n): answer_prompt(Prompts(), "few-shot")(TASK, one.input) for n, one in enumerate(texts[0])}
        most = TASK.settings.output_max_tokens
        written = {c.key: c.text for c in engine.complete(Request(k, m, max_tokens=most) for k, m in asked.items())}
        assert [one.text for one in texts[0]] == [written[str(n)] for n in range(64)]
        # Zero-shot: 64 rows and 60 inputs; few-shot: 64 rows and the 30 inputs that annotation had no shares of.
        assert by_plain == 64 + 60 + 64 + 30
        assert by_adapter == 64 + 30  # by the inputs that it was not trained on alone
        priors = store.connection.execute("SELECT prompt, adapter_id, n, shares FROM prior ORDER BY id").fetchall()
        assert [row[:3] for row in priors] == [("bare", None, 60), ("few-shot", None, 60), ("few-shot", adapter.id, 30)]
        assert all(sum(json.loads(row[3]).values()) == pytest.approx(1) for row in priors)
        verdict = store.latest_verdict(task_id)
        assert verdict is not None and verdict.n == 64 and verdict.over in PROMPTING
        assert verdict.sentence == found.verdict.sentence

        engine.scored.clear()
        engine.completed.clear()
        again = measured(store, task_id, engine, adapter)
        assert engine.scored == engine.completed == []
        assert again.means == found.means and again.gain == found.gain
        assert store.connection.execute("SELECT count(*) FROM verdict").fetchone() == (1,)


def test_scored_answers_are_the_likeliest_label_and_go_on_where_they_stopped(tmp_path, engine) -> None:
    with Store.open(tmp_path / "run.db") as store:
        task_id = store.add_task(TASK)
        found = measured(store, task_id, engine, None).evaluations["few-shot scored"]
        for one in found.predictions:
            assert one.label_logprobs is not None and set(one.label_logprobs) == set(TASK.labels)
            assert one.text == max(one.label_logprobs, key=one.label_logprobs.__getitem__)
            assert one.score == float(one.text == one.references[0])
        with store.connection:
            store.connection.execute("DELETE FROM prediction WHERE evaluation_id = ? AND number > 9", (found.id,))
        engine.scored.clear()
        again = measured(store, task_id, engine, None).evaluations["few-shot scored"]
        assert len(engine.scored) == 54
        assert (again.id, again.scores) == (found.id, found.scores)
        for one, before in zip(again.predictions, found.predictions, strict=True):
            # In a batch with other requests sums come in another order.
            assert one.text == before.text
            assert one.label_logprobs == pytest.approx(before.label_logprobs, abs=0.05)


def test_calibration_divides_by_the_prior_and_never_by_evaluation_rows(tmp_path, engine) -> None:
    with Store.open(tmp_path / "run.db") as store:
        task_id = filled(store, engine, 30, 30)
        found = measured(store, task_id, engine, None).evaluations
        pool = {text for (text,) in store.connection.execute("SELECT text FROM input")}
        assert not pool & {row.input for row in ROWS}
        ask = answer_prompt(Prompts(), "few-shot")
        rows = list(score_labels(engine, TASK, ask, sorted(pool)).values())
        means = {label: sum(row[place] for row in rows) / 30 for place, label in enumerate(TASK.labels)}
        for scored, given in zip(
            found["few-shot scored"].predictions, found["few-shot calibrated"].predictions, strict=True
        ):
            ratio = {label: math.exp(value) / means[label] for label, value in (scored.label_logprobs or {}).items()}
            assert given.text == max(ratio, key=ratio.__getitem__)
            shares = [math.exp(value) for value in (given.label_logprobs or {}).values()]
            assert sum(shares) == pytest.approx(1)
            assert shares[0] == pytest.approx(ratio[TASK.labels[0]] / sum(ratio.values()), rel=1e-3)
        told = store.connection.execute("SELECT count(*) FROM evaluation WHERE prior_id IS NOT NULL").fetchone()
        assert told == (2,)


def test_too_few_inputs_leave_calibration_out(tmp_path, engine, adapter_file) -> None:
    with Store.open(tmp_path / "run.db") as store:
        task_id = filled(store, engine, 30, 12)
        adapter = registered(store, task_id, engine, adapter_file)
        found = measured(store, task_id, engine, adapter)
        assert "few-shot calibrated" in found.means and "finetuned calibrated" not in found.means  # 18 are left
        fewer = measured(store, task_id, engine, adapter, trained=[])
        assert "finetuned calibrated" in fewer.means  # a caller that trained on others says so


@pytest.mark.parametrize("style", ["bare", "system"])
def test_the_finetuned_model_is_asked_as_it_was_trained(tmp_path, engine, adapter_file, style: str) -> None:
    with Store.open(tmp_path / "run.db") as store:
        task_id = store.add_task(TASK)
        adapter = registered(store, task_id, engine, adapter_file, style=style)
        found = measured(store, task_id, engine, adapter)
        tuned = [(loaded, messages) for loaded, messages in engine.scored if loaded is not None]
        assert asked_for(tuned, style, ROWS[0].input) and not asked_for(tuned, "few-shot", ROWS[0].input)
        way = choose_way(store, task_id, Prompts(), "finetuned scored")
        assert way.style == style
        decided(store, task_id, found, adapter, "finetuned scored", 0.1)
        won = choose_way(store, task_id, Prompts())
        assert won.style == style and won.why.endswith("over every prompting tried on 300 rows")
        # Another text of the template that it was tested with is another prompt; one of another style's is not.
        for name, why in (("annotate", style == "bare"), ("answer-system", style == "system")):
            own = tmp_path / name
            own.mkdir()
            (own / f"{name}.j2").write_text("{% call user() %}{{ input }}!{% endcall %}")
            changed = choose_way(store, task_id, Prompts(own))
            assert ("tested with another prompt template only" in changed.why) == why


def test_without_rows_the_verdict_says_so(tmp_path, engine, adapter_file) -> None:
    with Store.open(tmp_path / "run.db") as store:
        task_id = store.add_task(TASK)
        adapter = registered(store, task_id, engine, adapter_file)
        found = measured(store, task_id, None, adapter, rows=[])
        assert found.gain is None and found.verdict.sentence.startswith("Not measured: the task has no evaluation rows")
        way = choose_way(store, task_id, Prompts())
        assert way.method == "finetuned scored" and "not tested" in way.why


# --- predict


def decided(store: Store, task_id: int, found: Measurement, adapter: Adapter, winner: str, low: float) -> None:
    """Put a verdict into the store as if this method had won."""
    numbers = ("few-shot scored", 0.5, 0.5 + low + 0.05, low, low + 0.1, "…")
    row = VerdictRow(0, task_id, adapter.id, "exact match", "", 300, *numbers, found.evaluations[winner].id)
    store.add_verdict(row)


def test_predict_uses_what_won(tmp_path, engine, adapter_file) -> None:
    db = tmp_path / "run.db"
    texts = [row.input for row in ROWS[:6]]
    with Store.open(db) as store:
        task_id = filled(store, engine, 60, 30)
        adapter = registered(store, task_id, engine, adapter_file)
        found = measured(store, task_id, engine, adapter)
        for winner in (*PROMPTING, *FINETUNED):
            decided(store, task_id, found, adapter, winner, 0.1 if winner in FINETUNED else -0.1)
            way = choose_way(store, task_id, Prompts())
            assert way.method == winner and (way.prior is not None) == winner.endswith("calibrated")
            engine.set_adapter(adapter_file if way.finetuned else None)
            answers = list(answer_all(engine, TASK, Prompts(), texts, 8, way))
            stored = {one.input: one for one in found.evaluations[winner].predictions}
            assert [answer.output for answer in answers] == [stored[text].text for text in texts]
            if way.how != "free":
                assert all(sum((answer.shares or {}).values()) == pytest.approx(1) for answer in answers)
        decided(store, task_id, found, adapter, "few-shot calibrated", -0.1)
    said = CliRunner().invoke(main, ["predict", "-d", str(db), "-m", str(MODEL), "--json", texts[0]])
    assert said.exit_code == 0, said.output
    assert said.stderr == "predict uses few-shot calibrated, which no finetune beat on 300 rows\n"
    answer = json.loads(said.stdout)
    one = next(one for one in found.evaluations["few-shot calibrated"].predictions if one.input == texts[0])
    assert answer["label"] == one.text and set(answer["shares"]) == set(TASK.labels)
    forced = CliRunner().invoke(main, ["predict", "-d", str(db), "--method", "finetuned", texts[0]])
    assert forced.exit_code == 0 and "as asked for" in forced.stderr
    # A named adapter is what is asked for, whatever won.
    named = CliRunner().invoke(main, ["predict", "-d", str(db), "-a", str(adapter_file), "--json", texts[0]])
    assert named.exit_code == 0 and named.stderr.startswith("predict uses finetuned scored"), named.output
    wrong = CliRunner().invoke(main, ["predict", "-d", str(db), "--method", "magic", texts[0]])
    assert wrong.exit_code == 1 and "'magic' is no method of the kind classification" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1


def test_predict_without_what_it_needs(tmp_path, engine, adapter_file) -> None:
    with Store.open(tmp_path / "run.db") as store:
        task_id = store.add_task(TASK)
        registered(store, task_id, engine, adapter_file)
        assert choose_way(store, task_id, Prompts()).method == "finetuned scored"
        assert choose_way(store, task_id, Prompts(), "zero-shot scored") == Way(
            "zero-shot scored", "predict uses zero-shot scored, as asked for", "bare"
        )
        with pytest.raises(SelfguideError, match="nothing to calibrate it by"):
            choose_way(store, task_id, Prompts(), "few-shot calibrated")


def test_annotations_of_another_model_are_no_prior_of_this_one(tmp_path, engine) -> None:
    with Store.open(tmp_path / "run.db") as store:
        task_id = store.add_task(TASK)
        other = store.add_model(ModelInfo("other", "/other.gguf", "9" * 64, "llama", 1))
        template = Prompts().template("annotate")
        run_id = store.start_run(task_id, "annotate", other, TASK.settings, 42, template)
        for number in range(25):
            input_id = store.add_input(NewInput(task_id, run_id, 0, number, f"Mira had {number} cakes."))
            store.add_outputs(
                NewOutput(input_id, run_id, place, label, "score", float(not place))
                for place, label in enumerate(TASK.labels)
            )
        measured(store, task_id, engine, None)
        ((shares,),) = store.connection.execute("SELECT shares FROM prior WHERE prompt = 'few-shot'").fetchall()
        assert json.loads(shares)[TASK.labels[0]] < 1.0
        assert sum("cakes" in str(messages[-1].content) for _, messages in engine.scored) == 50
