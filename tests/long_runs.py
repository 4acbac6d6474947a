"""Long runs on the smallest llama there can be, in a process of their own that measures itself at every tenth.

`python tests/long_runs.py FOLDER INPUTS SAMPLES` writes so many inputs, answers each so often, and prints what it
measured as lines of JSON.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from selfguide_lite.core.progress import NullListener, Stage
from selfguide_lite.core.settings import Settings
from selfguide_lite.gguf.random_model import Geometry, RandomWeights, write_random_llama
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Store
from selfguide_lite.synthesis import annotate, generate
from selfguide_lite.task import Example, Task

DB = "long.db"
# After the first tenth of a stage memory may grow by this much: what is kept of each input is a few hundred bytes.
_SLACK = 8 * 2**20
_PER_INPUT = 1024
_PROMPTS = 20  # a round
TASK = Task(
    name="long",
    kind="generation",
    instruction="Go on.",
    examples=(Example(input="a b", output="c"), Example(input="the world", output="good")),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """The process and the database at one tenth of a stage.

    :param seconds: of the processor, since the process began
    :param rss: resident memory in bytes
    :param files: open file descriptors
    :param rows: inputs and outputs in the database
    :param size: of the database in bytes
    """

    stage: str
    done: int
    seconds: float
    rss: int
    files: int
    rows: int
    size: int


class _Meter(NullListener):
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
        used = self._process.cpu_times()
        rss, files = self._process.memory_info().rss, self._process.num_fds()
        measured = Measured(stage, done, used.user + used.system, rss, files, rows, size)
        print(json.dumps(asdict(measured)), flush=True)


def _long_run(folder: Path, inputs: int, samples: int) -> None:
    settings = Settings(
        rounds=-(-inputs // _PROMPTS), prompts_per_round=_PROMPTS, samples=samples, method="sample",
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
    with Store.open(folder / DB) as store, open_engine(model, EngineOptions(tune=False)) as engine:
        task_id = store.add_task(TASK.model_copy(update={"settings": settings}))
        meter, prompts = _Meter(store), Prompts()
        generate(RunContext(store, task_id, settings, prompts, 42, meter), engine)
        annotate(RunContext(store, task_id, settings, prompts, 42, meter), engine)


def long_run(folder: Path, inputs: int, samples: int) -> list[Measured]:
    """Write so many inputs, answer each so often, and return what was measured on the way."""
    command = [sys.executable, __file__, str(folder), str(inputs), str(samples)]
    root = str(Path(__file__).resolve().parents[1])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root}, check=False)
    assert done.returncode == 0, done.stderr
    return [Measured(**json.loads(line)) for line in done.stdout.splitlines()]


def check_flat(found: list[Measured], inputs: int) -> None:
    """Memory, open files and the database's growth for a row are in the end what they were at the beginning."""
    for stage in ("generate", "annotate"):
        tenths = [one for one in found if one.stage == stage]
        assert len(tenths) >= 10
        first, last = tenths[0], tenths[-1]
        assert max(one.rss for one in tenths) - first.rss < _SLACK + _PER_INPUT * inputs, table(found)
        assert max(one.files for one in tenths) == first.files, table(found)
        # pages and indexes grow in steps: halves are compared, not tenths
        middle = tenths[len(tenths) // 2]
        early = (middle.size - first.size) / (middle.rows - first.rows)
        late = (last.size - middle.size) / (last.rows - middle.rows)
        assert 0.75 * early < late < 1.25 * early, table(found)


def table(found: list[Measured]) -> str:
    """The figures as lines for people."""
    lines = ["stage     done       rows   memory  files  bytes a row  ms of the processor a row"]
    for before, now in zip([None, *found], found, strict=False):
        grown = ""
        if before is not None:
            rows = max(1, now.rows - before.rows)
            grown = f"{(now.size - before.size) / rows:11.0f}  {1000 * (now.seconds - before.seconds) / rows:11.2f}"
        lines.append(f"{now.stage:8} {now.done:7,} {now.rows:9,} {now.rss / 2**20:6.1f} M {now.files:5} {grown}")
    return "\n".join(lines)


if __name__ == "__main__":
    _long_run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
