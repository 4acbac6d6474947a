"""What calibration divides by: the mean over inputs without answers, on the tiny model."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from answering_model import TINY, inputs, with_pool

from selfguide_lite import load_task
from selfguide_lite.core.progress import NullListener
from selfguide_lite.core.resources import resource
from selfguide_lite.core.settings import Settings
from selfguide_lite.evaluate.answering import score_labels
from selfguide_lite.evaluate.asked import Asked
from selfguide_lite.evaluate.prior import prior_of
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.llm.base import Engine
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import NewOutput, Store

TASK = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml")).model_copy(
    update={
        "eval": None,
        "settings": Settings(input_length_filter=False, near_duplicate_threshold=None, label_named_filter=False),
    }
)
SCORED = Asked("few-shot calibrated", answers="scored")
FIRST, SECOND = TASK.labels


@dataclass
class Noting(NullListener):
    """Keeps what it is told, and how many texts were scored."""

    notes: list[str] = field(default_factory=list)
    scored: list[int] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def start(self, stage: str, total: int, done: int = 0) -> None:
        self.scored.append(total)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with open_engine(TINY, EngineOptions(tune=False, tuning={"threads": 1})) as opened:
        yield opened


@pytest.fixture
def context(tmp_path: Path) -> Iterator[RunContext]:
    with Store.open(tmp_path / "run.db") as store:
        task_id = with_pool(store, TASK, inputs(41))
        assert len(store.pool(task_id)) == 41
        yield RunContext(store, task_id, TASK.settings, Prompts(), 42, Noting())


def test_the_mean_of_enough_inputs_is_computed_once(context: RunContext, engine: Engine) -> None:
    told, pool = context.listener, context.store.pool(context.task_id)
    assert isinstance(told, Noting)
    assert prior_of(context, engine, pool[:19], SCORED) is None
    (note,) = told.notes
    assert note == "few-shot calibrated is left out: 19 inputs without answers to calibrate by, 20 are needed"
    told.notes.clear()
    found = prior_of(context, engine, pool[:20], SCORED)
    assert told.notes.pop() == "few-shot calibrated is calibrated by only 20 inputs" and told.scored == [20]
    rows = score_labels(engine, TASK, context.prompts.annotate, [shown.text for shown in pool[:20]], lambda _: None)
    assert found is not None and found.n == 20
    for place, label in enumerate(TASK.labels):
        assert found.shares[label] == pytest.approx(sum(row[place] for row in rows.values()) / 20, abs=1e-3)
    assert prior_of(context, engine, pool[:20], SCORED) == found and told.scored == [20]
    told.notes.clear()
    assert prior_of(context, engine, pool[:40], SCORED) is not None and told.notes == []
    assert prior_of(context, engine, pool[:39], SCORED) is not None
    assert told.notes == ["few-shot calibrated is calibrated by only 39 inputs"]


def test_scores_of_annotation_are_taken_where_the_prompt_was_the_same(context: RunContext, engine: Engine) -> None:
    told, store, task_id = context.listener, context.store, context.task_id
    assert isinstance(told, Noting)
    pool = store.pool(task_id)
    model, template = store.add_model(engine.info), context.prompts.template("annotate")
    few_shot = store.start_run(task_id, "annotate", model, TASK.settings, 42, template)
    bare = store.start_run(
        task_id, "annotate", model, TASK.settings.model_copy(update={"answer_style": "bare"}), 42, template
    )
    for shown in pool[:30]:
        run = few_shot if shown.id <= pool[24].id else bare
        shares = ((0, FIRST, 0.75), (1, SECOND, 0.25))
        store.add_outputs([NewOutput(shown.id, run, place, label, "score", share) for place, label, share in shares])
    store.add_outputs([NewOutput(pool[30].id, few_shot, 0, FIRST, "score", 1.0)])  # its other label is not there
    found = prior_of(context, engine, pool[:25], SCORED)
    assert found is not None and dict(found.shares) == {FIRST: 0.75, SECOND: 0.25} and told.scored == []
    assert prior_of(context, engine, pool[:31], SCORED) is not None
    assert told.scored == [6]  # five of the bare prompt, one with half of its scores
    # the bare prompt's mean is no other prompt's
    assert prior_of(context, engine, pool[:25], Asked("zero-shot calibrated", answers="scored", prompt="bare"))
    assert told.scored == [6, 25]
