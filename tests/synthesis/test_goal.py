"""A number of pairs as the goal: writing ends after the round that reaches it, also where a run was stopped."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.progress import NullListener, Stage
from selfguide_lite.core.settings import Settings, as_recorded
from selfguide_lite.gguf.random_model import RandomWeights, write_random_llama
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Store
from selfguide_lite.synthesis import generate, is_synthesized, synthesize
from selfguide_lite.task import Example, Task

PAIRS = 9
QUICK = Settings(
    pairs=PAIRS,
    prompts_per_round=4,
    prompts_per_draw=2,
    input_max_tokens=16,
    output_max_tokens=8,
    input_length_filter=False,
    output_length_filter=False,
)
TASK = Task(
    name="mood",
    kind="generation",
    instruction="Say in a word how the writer feels.",
    examples=[Example(input="Ann sang all day.", output="glad"), Example(input="Bob lost his hat.", output="sad")],
    settings=QUICK,
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("model") / "random.gguf"
    write_random_llama(path, weights=RandomWeights(sharpness=4.0))
    with open_engine(path, EngineOptions(tune=False, tuning={"threads": 1})) as opened:
        yield opened


class Stopping:
    """The engine, which is interrupted after so many inputs."""

    def __init__(self, engine: Any, after: int):
        self._engine, self._left = engine, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def complete(self, requests: Any) -> Any:
        for completion in self._engine.complete(requests):
            if completion.key.startswith("input/"):
                if not self._left:
                    raise KeyboardInterrupt
                self._left -= 1
            yield completion


class Heard(NullListener):
    def __init__(self) -> None:
        self.goal, self.reached = 0, [0]

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        if stage == "generate":
            self.goal = total

    def advance(
        self, stage: Stage, done: int, tokens: int = 0, kept: int | None = None, text: str | None = None
    ) -> None:
        if stage == "generate":
            self.reached.append(done)


def context_of(store: Store, settings: Settings = QUICK, listener: NullListener | None = None) -> RunContext:
    task_id = store.add_task(TASK)
    return RunContext(store, task_id, settings, Prompts(), 42, listener or NullListener())


def inputs_of(db: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute("SELECT round, prompt, text FROM input ORDER BY round, prompt").fetchall()


def test_writing_ends_with_the_round_that_reaches_the_goal(engine: Any, tmp_path: Path) -> None:
    heard = Heard()
    with Store.open(tmp_path / "a.db") as store:
        context = context_of(store, listener=heard)
        synthesize(context, engine)
        pairs = [pair.input for pair in store.pairs(1)]
        rounds = dict(store.connection.execute("SELECT text, round FROM input"))
        assert is_synthesized(store, 1, context.settings)
        reasons = store.connection.execute("SELECT reason FROM run WHERE stage = 'generate'").fetchall()
    last = max(round_ for round_, _, _ in inputs_of(tmp_path / "a.db"))
    assert len(pairs) >= PAIRS and last < 99
    assert sum(rounds[text] < last for text in pairs) < PAIRS  # one round less was not enough
    assert len(inputs_of(tmp_path / "a.db")) == 4 * (last + 1)
    assert reasons == [("enough pairs",)]
    # The progress counts pairs, never more than are wanted.
    assert heard.goal == PAIRS and heard.reached == sorted(heard.reached) and heard.reached[-1] == PAIRS


@pytest.mark.parametrize("after", [1, 5, 8])
def test_a_run_that_was_stopped_ends_where_one_left_alone_does(engine: Any, tmp_path: Path, after: int) -> None:
    with Store.open(tmp_path / "whole.db") as store:
        synthesize(context_of(store), engine)
    with Store.open(tmp_path / "stopped.db") as store:
        with pytest.raises(KeyboardInterrupt):
            synthesize(context_of(store), Stopping(engine, after))
        assert not is_synthesized(store, 1, context_of(store).settings)
        synthesize(context_of(store), engine)
    assert inputs_of(tmp_path / "stopped.db") == inputs_of(tmp_path / "whole.db")


def test_rounds_that_are_given_end_it_too(engine: Any, tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        context = context_of(store, QUICK.changed({"pairs": 1000, "rounds": 2}))
        synthesize(context, engine)
        assert is_synthesized(store, 1, context.settings)
    assert len(inputs_of(tmp_path / "a.db")) == 8


def test_without_answers_there_is_nothing_to_count(engine: Any, tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store, pytest.raises(SelfguideError, match="setting pairs counts answered"):
        generate(context_of(store), engine)


def test_the_goal_changes_no_record_where_it_is_not_given() -> None:
    assert "pairs" not in as_recorded(Settings().model_dump())
    assert TASK.rules.resolve(Settings()).rounds == Settings().rounds == 10
    assert TASK.rules.resolve(Settings(pairs=5)).rounds == 100
    assert TASK.rules.resolve(Settings(pairs=5, rounds=3)).rounds == 3
