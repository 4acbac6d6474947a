"""A finetuned model's answers are what a model with a short prompt learns, on the tiny model."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from answering_model import TINY, with_pool

from selfguide_lite import SelfguideError, load_task
from selfguide_lite.core.progress import NullListener, Stage
from selfguide_lite.core.resources import resource
from selfguide_lite.evaluate.answering import score_labels
from selfguide_lite.evaluate.battery import Finetuned
from selfguide_lite.experiments.context import ExperimentContext
from selfguide_lite.finetuning import example_pairs, finetune
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.llm.base import Engine
from selfguide_lite.methods.asking import answer_prompt, is_taught
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Pair, Store
from selfguide_lite.synthesis import annotate
from selfguide_lite.task.eval_rows import load_eval
from selfguide_lite.teaching import taught_pairs

pytestmark = pytest.mark.slow

SETTINGS = {
    "input_length_filter": False,
    "near_duplicate_threshold": None,
    "label_named_filter": False,
    "answer_style": "bare",
    "method": "score",
    "calibrate": True,
    "calibrate_min_inputs": 5,
    "balance": True,
    "min_steps": 3,
    "max_steps": 3,
}
TASK = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml"))
TASK = TASK.model_copy(update={"eval": None, "settings": TASK.settings.changed(SETTINGS)})
FIRST, SECOND = TASK.labels
# More of one label than of the other, so that balance has something to choose.
_ROWS = {row.input: row.references[0] for row in load_eval(resource("tests/tiny_tasks/cheer-or-grumble.eval.jsonl"))}
TEXTS = [
    *[text for text in _ROWS if _ROWS[text] == FIRST][:28],
    *[text for text in _ROWS if _ROWS[text] == SECOND][:13],
]


@dataclass
class Told(NullListener):
    """Keeps which stages had work, with how much, and what was noted."""

    started: list[tuple[Stage, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        self.started.append((stage, total))

    def note(self, message: str) -> None:
        self.notes.append(message)


def opened() -> Engine:
    return open_engine(TINY, EngineOptions(tune=False, tuning={"threads": 1}))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with opened() as one:
        yield one


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RunContext]:
    with Store.open(tmp_path / "run.db") as store:
        task_id = with_pool(store, TASK, TEXTS)
        assert len(store.pool(task_id)) == 41
        yield RunContext(store, task_id, TASK.rules.resolve(TASK.settings), Prompts(), 42, Told())


def test_the_surest_answers_of_each_label_are_taught(context: RunContext, engine: Engine, tmp_path: Path) -> None:
    pool = context.store.pool(context.task_id)
    shares = score_labels(engine, TASK, answer_prompt(Prompts(), "few-shot"), [one.text for one in pool])
    mean = sum(row[0] for row in shares.values()) / len(pool)
    lean = {
        one.id: shares[n][0] / mean / (shares[n][0] / mean + shares[n][1] / (1 - mean)) for n, one in enumerate(pool)
    }
    labels = {key: FIRST if value >= 0.5 else SECOND for key, value in lean.items()}
    rarest = min(list(labels.values()).count(label) for label in TASK.labels)
    assert 3 < rarest < 20  # else there is nothing to choose
    taught = taught_pairs(context, lambda: nullcontext(engine), tmp_path, [])
    assert [labels[pair.input_id] for pair in taught] == [pair.output for pair in taught]
    for label, sign in ((FIRST, 1), (SECOND, -1)):
        order = sorted((key for key in labels if labels[key] == label), key=lambda key: -sign * lean[key])
        assert {pair.input_id for pair in taught if pair.output == label} == set(order[:rarest])
    ids = [pair.input_id for pair in taught]
    assert ids == sorted(ids)  # in the order in which they were written
    told = context.listener
    assert isinstance(told, Told) and told.started == [("annotate", 41)]
    # What the teacher said is not asked for again; with other inputs it is.
    assert taught_pairs(context, lambda: nullcontext(engine), tmp_path, []) == taught and len(told.started) == 1
    certain = Pair(pool[0].id, "As a person put it.", SECOND, "given")
    mixed = taught_pairs(
        context, lambda: nullcontext(engine), tmp_path, [certain, Pair(pool[1].id, pool[1].text, SECOND)]
    )
    assert mixed[-1] == certain and told.started[1:] == [("annotate", 40)]
    assert pool[0].id not in {pair.input_id for pair in mixed[:-1]}
    assert [pair.output for pair in mixed].count(FIRST) == [pair.output for pair in mixed].count(SECOND)


def test_examples_that_a_prompt_does_not_show_are_learnt() -> None:
    """A short prompt tells nothing of them, and their answers are right for certain."""
    learnt = example_pairs(TASK, "bare", 3)
    assert [(pair.input, pair.output) for pair in learnt] == 3 * [(one.input, one.output) for one in TASK.examples]
    assert len({pair.input_id for pair in learnt}) == len(TASK.examples) and all(pair.input_id < 0 for pair in learnt)
    assert example_pairs(TASK, "few-shot", 3) == example_pairs(TASK, "bare", 0) == []
    assert example_pairs(TASK, "system", 3) == learnt


def test_only_labels_with_a_short_prompt_are_taught() -> None:
    assert is_taught(TASK, "bare", teacher=True) and is_taught(TASK, "system", teacher=True)
    for style, teacher in (("few-shot", True), ("bare", False)):
        assert not is_taught(TASK, style, teacher=teacher)
    assert not is_taught(load_task(resource("tests/tiny_tasks/who-was-there.yaml")), "bare", teacher=True)


def test_the_teacher_comes_first_and_nothing_is_done_again(context: RunContext, engine: Engine) -> None:
    annotate(context, engine)
    store, told = context.store, context.listener
    assert isinstance(told, Told)
    made = finetune(context, TINY, opened)
    teacher, pupil = store.adapters(context.task_id)
    assert made.adapter == pupil == store.latest_adapter(context.task_id)
    styles = [store.trained_style(one.id) for one in (teacher, pupil)]
    assert styles == ["few-shot", "bare"]
    pairs = store.pairs(context.task_id)
    assert 0 < teacher.pairs <= len(pairs) and pupil.pairs == len(made.inputs) + 8 * len(TASK.examples)
    assert len(set(made.inputs) - {pair.input for pair in pairs}) > 0
    told.started.clear()
    # Some are held back, since few kept inputs are left to calibrate by.
    taught = taught_pairs(context, lambda: nullcontext(engine), Path(teacher.path).parent, pairs)
    assert 41 - len(taught) < 40 and len(made.inputs) == len(taught) - len(taught) // 10
    assert any("trained first" in note for note in told.notes)
    assert finetune(context, TINY, opened) == made and told.started == []  # nor was the teacher asked above
    # Where nobody says what it was trained on, all kept inputs count as seen: any may have been taught.
    seen = Finetuned.of(context, Path(pupil.path), pupil.id).trained
    assert len(seen) == 41 > len(Finetuned.of(context, Path(teacher.path), teacher.id).trained)
    alone = replace(context, settings=context.settings.model_copy(update={"teacher": False}))
    assert len(Finetuned.of(alone, Path(pupil.path), pupil.id).trained) == len(pairs)


def test_several_processes_are_refused_before_any_trains(
    context: RunContext, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotate(context, engine)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SelfguideError, match=r"^answer_style=bare .* one process.*answer_style=few-shot"):
        finetune(context, TINY, opened)
    assert context.store.adapters(context.task_id) == []


def test_trainings_beside_a_run_say_that_they_have_no_teacher(tmp_path: Path) -> None:
    """As in `compare` and `search`, which ask what given pairs teach."""
    told = Told()
    tools = ExperimentContext(TINY, {}, Prompts(), 1, told, EngineOptions())
    pairs = [Pair(number, one.input, one.output) for number, one in enumerate(TASK.examples)]
    for style, times in (("few-shot", 0), ("system", 1)):
        settings = TASK.rules.resolve(TASK.settings.changed({"answer_style": style, "max_steps": 1, "min_steps": 1}))
        tools.train_beside(tmp_path / "trainings.db", TASK, pairs, tmp_path / style, settings)
        assert len([note for note in told.notes if "without the teacher" in note]) == times
