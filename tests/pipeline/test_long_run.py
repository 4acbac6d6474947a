"""A long run on the smallest llama there can be: memory, open files and the database's growth per row stay flat.

`make test` writes 1,000 inputs and answers each 10 times, `make long` (SELFGUIDE_LONG_INPUTS=10000) ten times as many.
The run has a process of its own, which measures itself at every tenth of each stage.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import pytest

from selfguide_lite.core.progress import NullListener, Stage
from selfguide_lite.core.settings import Settings
from selfguide_lite.gguf.random_model import Geometry, RandomWeights, write_random_llama
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Store
from selfguide_lite.synthesis import annotate, generate
from selfguide_lite.task import Example, Task

pytestmark = pytest.mark.slow

INPUTS = int(os.environ.get("SELFGUIDE_LONG_INPUTS", "1000"))
SAMPLES = 10
_PROMPTS = 20  # a round
# After the first tenth of a stage memory may grow by this much: what is kept of each input is a few hundred bytes.
_SLACK = 8 * 2**20
_PER_INPUT = 1024
TASK = Task(
    name="long",
    kind="generation",
    instruction="Go on.",
    examples=(Example(input="a b", output="c"), Example(input="the world", output="good")),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """The process and the database at one tenth of a stage.

    :param rss: resident memory in bytes
    :param files: open file descriptors
    :param rows: inputs and outputs in the database
    :param size: of the database in bytes
    """

    stage: str
    done: int
    rss: int
    files: int
    rows: int
    size: int


class Meter(NullListener):
    """Measures at every tenth of a stage, and prints what it found as a line of JSON."""

    def __init__(self, store: Store):
        self._store = store
        self._process = psutil.Process()
        self._total, self._next = 0, 0

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        self._total, self._next = total, max(1, total // 10)

    def advance(
        self, stage: Stage, done: int, tokens: int = 0, kept: int | None = None, text: str | None = None
    ) -> None:
        if done < self._next:
            return
        self._next += max(1, self._total // 10)
        connection = self._store.connection
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        rows = connection.execute("SELECT (SELECT count(*) FROM input) + (SELECT count(*) FROM output)").fetchone()[0]
        size = connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[
            0
        ]
        rss, files = self._process.memory_info().rss, self._process.num_fds()
        print(json.dumps(asdict(Measured(stage, done, rss, files, rows, size))), flush=True)


def long_run(folder: Path, inputs: int) -> None:
    """Write so many inputs and answer each `SAMPLES` times."""
    settings = Settings(
        rounds=-(-inputs // _PROMPTS), prompts_per_round=_PROMPTS, samples=SAMPLES, method="sample",
        input_max_tokens=8, output_max_tokens=4, input_temperature=1.0, output_temperature=1.0, output_top_k=4,
        max_pool_inputs=1, noise_filter=False, input_length_filter=False, output_length_filter=False,
        min_vote_share=0.0,
    )  # fmt: skip
    model = write_random_llama(
        folder / "smallest.gguf",
        Geometry(32, 1, 1, 1, 32, context=2048),
        RandomWeights(quantization="f32"),
        vocabulary="bpe",
    )
    with Store.open(folder / "long.db") as store, open_engine(model, EngineOptions(tune=False)) as engine:
        task_id = store.add_task(TASK.model_copy(update={"settings": settings}))
        meter, prompts = Meter(store), Prompts()
        generate(RunContext(store, task_id, settings, prompts, 42, meter), engine)
        annotate(RunContext(store, task_id, settings, prompts, 42, meter), engine)


def table(found: list[Measured]) -> str:
    """The figures as lines for people."""
    lines = ["stage     done     rows   memory  files  bytes a row"]
    for before, now in zip([None, *found], found, strict=False):
        grown = "" if before is None else f"{(now.size - before.size) / max(1, now.rows - before.rows):11.0f}"
        lines.append(f"{now.stage:8} {now.done:6,} {now.rows:8,} {now.rss / 2**20:6.1f} M {now.files:5} {grown}")
    return "\n".join(lines)


@pytest.mark.timeout(7200)
def test_memory_files_and_growth_stay_flat(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path), str(INPUTS)]
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}, check=False)
    assert done.returncode == 0, done.stderr
    found = [Measured(**json.loads(line)) for line in done.stdout.splitlines()]
    print(table(found))
    assert found[-1].rows > 0.9 * INPUTS * (1 + SAMPLES)
    for stage in ("generate", "annotate"):
        tenths = [one for one in found if one.stage == stage]
        assert len(tenths) >= 10
        first, last = tenths[0], tenths[-1]
        assert max(one.rss for one in tenths) - first.rss < _SLACK + _PER_INPUT * INPUTS, table(found)
        assert max(one.files for one in tenths) == first.files, table(found)
        # pages and indexes grow in steps: halves are compared, not tenths
        middle = tenths[len(tenths) // 2]
        early = (middle.size - first.size) / (middle.rows - first.rows)
        late = (last.size - middle.size) / (last.rows - middle.rows)
        assert 0.75 * early < late < 1.25 * early, table(found)


if __name__ == "__main__":
    long_run(Path(sys.argv[1]), int(sys.argv[2]))
