"""A whole run, stage by stage: as it is now, as it was before, beside busy programs, and with bare prompts.

Every run is a process of its own with a database of its own. The one with bare prompts goes on where the first ended:
the model that this one finetuned is its teacher.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.paths import files_dir
from selfguide_lite.core.progress import NullListener, Stage
from selfguide_lite.core.resources import child_environment

# What a run was like before prompts shared draws and slow types had copies, as far as settings bring it back.
BEFORE: Mapping[str, Any] = {"prompts_per_draw": 1}
BEFORE_ENGINE = "exact=on"
STAGES = ("generate", "annotate", "train", "evaluate")
SHORTEST = "system"  # the answer style with the fewest tokens
_INPUT, _ANSWER = "input/", "answer/"  # what the keys of requests begin with; those of evaluations are numbers
_SPIN = "while True: pass"


@dataclass(slots=True)
class Job:
    """One run.

    :param task: the task file
    :param engine: engine settings, as `--engine` takes them
    """

    task: str
    db: str
    model: str | None
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    engine: str = ""


def bench_run(
    task: Path, model: Path | None = None, *, seed: int = 42, busy: int = 2, say: Callable[[str], None] = lambda _: None
) -> dict[str, dict[str, float]]:
    """Measure whole runs of a task one after the other.

    :param model: the GGUF file; None: the default model
    :param busy: programs that take a processor core each, beside one of the runs; 0: no such run
    :param say: told what is being measured
    :return: rows `run` and `predict`, and the seconds by stage of each run
    :raises SelfguideError: where a run fails, with its last line
    """
    with TemporaryDirectory(prefix="selfguide-bench-") as name:
        folder = Path(name)

        def done(run: str, settings: Mapping[str, Any] | None = None, engine: str = "") -> dict[str, Any]:
            say(f"running {task.stem}: {run}")
            place = str(folder / f"{run.replace(' ', '-')}.db")
            given = None if model is None else str(model.resolve())
            return _apart(Job(str(task.resolve()), place, given, seed, settings or {}, engine))

        now = done("as it is")
        shutil.copy2(folder / "as-it-is.db", folder / "bare.db")
        shutil.copytree(files_dir(folder / "as-it-is.db"), files_dir(folder / "bare.db"))
        bare = done("bare", {"answer_style": SHORTEST})
        before = done("before", BEFORE, BEFORE_ENGINE)
        with _busy_programs(busy):
            beside = done("beside busy programs") if busy else {}
    run = {
        "seconds": now["seconds"],
        "vs_before": before["seconds"] / now["seconds"],
        **{stage: now["stages"][stage] for stage in STAGES},
        **({"busy_vs_quiet": beside["seconds"] / now["seconds"]} if busy else {}),
        "tokens_read_per_pair": _per_pair(now),
        "read_vs_before": _per_pair(now) / max(_per_pair(before), 1e-9),
        "tokens_written_per_pair": now["written"] / max(1, now["pairs"]),
        "pairs": now["pairs"],
    }
    rows = {
        "run": run,
        "before": _told(before),
        **({"busy": _told(beside)} if busy else {}),
        "predict": _compared(now, bare),
    }
    return {row: {name: float(f"{value:.4g}") for name, value in numbers.items()} for row, numbers in rows.items()}


def _per_pair(done: Mapping[str, Any]) -> float:
    return float(done["read"]) / max(1, int(done["pairs"]))


def _told(done: Mapping[str, Any]) -> dict[str, float]:
    return {
        "seconds": done["seconds"],
        **done["stages"],
        "tokens_read_per_pair": _per_pair(done),
        "pairs": done["pairs"],
    }


def _compared(full: Mapping[str, Any], bare: Mapping[str, Any]) -> dict[str, float]:
    """What a bare prompt costs and is worth beside the full one: its tokens, and the score with its interval."""
    from selfguide_lite.evaluate.statistics import paired_gain

    numbers = {
        "full_tokens": full["prompt_tokens"],
        "bare_tokens": bare["prompt_tokens"],
        "bare_vs_full_tokens": bare["prompt_tokens"] / max(1.0, full["prompt_tokens"]),
        "bare_train_seconds": bare["stages"]["train"],
    }
    if full["scores"] and len(full["scores"]) == len(bare["scores"]):
        gain = paired_gain(full["scores"], bare["scores"], "", "")
        numbers |= {"bare_vs_full_quality": gain.after - gain.before, "low": gain.low, "high": gain.high}
    return numbers


@contextmanager
def _busy_programs(count: int) -> Iterator[None]:
    programs = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def _apart(job: Job) -> dict[str, Any]:
    """Do a run in a process of its own and return what it measured."""
    environment = child_environment() | ({"SELFGUIDE_ENGINE": job.engine} if job.engine else {})
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode != 0:
        words = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
        raise SelfguideError(f"{Path(job.task).name}: {words}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


# in the process of a run


class Watched:
    """An engine that counts what its answers take, by what they are for."""

    def __init__(self, engine: Any, seconds: dict[str, float]):
        self._engine, self._seconds = engine, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    def complete(self, requests: Iterable[Any]) -> Iterator[Any]:
        """Do as the engine does."""
        return self._timed(self._engine.complete(requests))

    def score(self, requests: Iterable[Any]) -> Iterator[Any]:
        """Do as the engine does."""
        return self._timed(self._engine.score(requests))

    def _timed(self, results: Iterator[Any]) -> Iterator[Any]:
        began, last = time.perf_counter(), ""
        for result in results:
            last = result.key
            yield result
        what = "generate" if last.startswith(_INPUT) else "annotate" if last.startswith(_ANSWER) else "evaluate"
        self._seconds[what] = self._seconds.get(what, 0.0) + time.perf_counter() - began


class Clock(NullListener):
    """Adds up the seconds of training and of evaluating, each from its first start to its last end."""

    def __init__(self) -> None:
        self.began: dict[Stage, float] = {}
        self.ended: dict[Stage, float] = {}

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        """Take in that a stage begins."""
        self.began.setdefault(stage, time.perf_counter())

    def done(self, stage: Stage, summary: str) -> None:
        """Take in that a stage ended."""
        self.ended[stage] = time.perf_counter()

    def seconds(self, stage: Stage) -> float:
        """Return how long a stage took; 0 where it had no work."""
        return self.ended.get(stage, 0.0) - self.began[stage] if stage in self.began else 0.0


def measured(job: Job) -> dict[str, Any]:
    """Do a run, and return its seconds, those of each stage, and the tokens that writing the data took."""
    from selfguide_lite.methods.asking import answer_prompt
    from selfguide_lite.methods.names import FINETUNED, named, usual_form
    from selfguide_lite.pipeline import run
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.run_options import RunOptions
    from selfguide_lite.task import load_task

    clock, seconds, engines = Clock(), dict[str, float](), list[Any]()

    def watch(engine: Any) -> Any:
        engines.append(engine)
        return Watched(engine, seconds)

    task = load_task(Path(job.task))
    options = RunOptions(model=job.model, settings=job.settings, seed=job.seed, listener=clock, watch=watch)
    began = time.perf_counter()
    result = run(task, job.db, options)
    whole = time.perf_counter() - began
    # The first engine writes the data, where any was to be written, and the last one evaluates.
    wrote = engines[0].stats if len(engines) > 1 else None
    rows = result.measurement.evaluations if result.measurement else {}
    finetuned = rows.get(named(FINETUNED, usual_form(task.kind)))
    style = str(job.settings.get("answer_style", task.settings.answer_style))
    ask = answer_prompt(Prompts(), style)
    prompts = [ask(task, one.input) for one in finetuned.predictions] if finetuned else []
    lengths = _lengths(job, prompts)
    return {
        "seconds": whole,
        "stages": {
            "generate": clock.seconds("generate") - seconds.get("annotate", 0.0) if "generate" in clock.began else 0.0,
            "annotate": seconds.get("annotate", 0.0),
            "train": clock.seconds("train"),
            "evaluate": clock.seconds("evaluate"),
        },
        "pairs": result.pairs,
        "read": wrote.prompt_tokens if wrote else 0,
        "written": wrote.sampled_tokens if wrote else 0,
        "prompt_tokens": sum(lengths) / len(lengths) if lengths else 0.0,
        "scores": finetuned.scores if finetuned else [],
    }


def _lengths(job: Job, prompts: Sequence[Any]) -> list[int]:
    from selfguide_lite.llm import model_path
    from selfguide_lite.llm.counter import Counter

    counter = Counter(model_path(job.model))
    try:
        return [counter.count_tokens(prompt) for prompt in prompts]
    finally:
        counter.close()


def main() -> None:
    """Do the job on standard input; the last line tells what it took."""
    try:
        print(json.dumps(measured(Job(**json.loads(sys.stdin.read())))))
    except SelfguideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
