"""Which pool a round draws from: its own at first, and one that several rounds share when there are many."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfguide_lite.core.settings import Settings
from selfguide_lite.gguf.random_model import Geometry, RandomWeights, write_random_llama
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.llm.base import Engine
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Store
from selfguide_lite.synthesis import generate
from selfguide_lite.synthesis.generate import pool_round
from selfguide_lite.task import Example, Task

SETTINGS = Settings(
    rounds=206, prompts_per_round=1, input_max_tokens=4, input_temperature=1.0, max_pool_inputs=4,
    noise_filter=False, input_length_filter=False, near_duplicate_threshold=None,
)  # fmt: skip
TASK = Task(
    name="long",
    kind="generation",
    instruction="Go on.",
    examples=(Example(input="a b", output="c"), Example(input="the world", output="good")),
    settings=SETTINGS,
)


def test_up_to_round_200_each_has_its_own_and_later_ones_come_with_the_pools_growth() -> None:
    assert [pool_round(round_) for round_ in range(200)] == list(range(200))
    assert [pool_round(round_) for round_ in (200, 201, 202, 399, 400, 403, 404)] == [200, 200, 202, 398, 400, 400, 404]
    every = list(map(pool_round, range(50_000)))
    assert every == sorted(every)
    assert all(round_ * 0.99 - 1 <= at <= round_ for round_, at in enumerate(every))
    reads = [at for round_, at in enumerate(every) if at == round_]
    # In proportion to the rounds: all pools together are as large as the last one some hundred times.
    assert sum(reads) < 160 * 50_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    model = write_random_llama(
        tmp_path / "smallest.gguf", Geometry(32, 1, 1, 1, 32, context=2048), RandomWeights(), vocabulary="bpe"
    )
    # One at a time: the texts are the same to the last letter.
    options = {"workers": 1, "parallel": 1, "parallel_own": 1, "threads": 1}
    with open_engine(model, EngineOptions(tune=False, tuning=options)) as opened:
        yield opened


def written(store: Store, engine: Engine) -> list[tuple[int, str, str]]:
    generate(RunContext(store, 1, SETTINGS, Prompts(), 42), engine)
    rows = store.connection.execute("SELECT round, text, pool_inputs FROM input ORDER BY round").fetchall()
    assert len(rows) == SETTINGS.rounds
    return rows


def test_a_run_that_stopped_between_two_pools_goes_on_with_the_older_one(tmp_path: Path, engine: Engine) -> None:
    with Store.open(tmp_path / "run.db") as store:
        store.add_task(TASK)
        alone = written(store, engine)
        round_of = dict(store.connection.execute("SELECT id, round FROM input"))
        for round_, _, shown in alone:
            assert all(round_of[one] < pool_round(round_) for one in json.loads(shown)), round_
        with store.connection:
            store.connection.execute("DELETE FROM input WHERE round IN (203, 205)")
        again = written(store, engine)
    assert [row[:2] for row in again] == [row[:2] for row in alone]
