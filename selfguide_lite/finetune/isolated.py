"""The training in a process of its own: one that the system kills for lack of memory is reported in a line.

Jobs go in and events come out as lines of JSON. The process ends with the one that started it.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from selfguide_lite.core.battery import BatteryGuard
from selfguide_lite.core.errors import SelfguideError, in_plain_words
from selfguide_lite.core.progress import TrainStep
from selfguide_lite.core.resources import child_environment
from selfguide_lite.finetune.job import LOG, Fit, FitJob
from selfguide_lite.finetune.memory import OutOfMemory, release_memory
from selfguide_lite.finetune.trainers import trainer_named

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
# Variables that are read once, when a process or a library begins. All others are handed over with every job.
_READ_AT_START = ("PYTHON", "LD_", "OMP_", "MKL_", "CUDA_")


def fit_apart(job: FitJob, on_step: Callable[[TrainStep], None], note: Callable[[str], None]) -> Fit:
    """Do what the trainer's `fit` does, in a child process. What it prints goes into the log in the job's folder.

    :raises SelfguideError: as the trainer; also where the process is killed or fails in any other way
    """
    job.out.mkdir(parents=True, exist_ok=True)
    keeper = _keeper.get()
    child = (keeper and keeper.take()) or _Child(job.out / LOG)
    try:
        done = child.fit(job, on_step, note)
    except BaseException:
        child.end()
        raise
    if keeper and done.device == "CPU":  # on a card it would hold memory that the model needs next
        keeper.child = child
    else:
        child.end()
    return done


@contextmanager
def kept_process() -> Iterator[None]:
    """Let the trainings within this block that come apart share one process: torch is loaded for the first alone.

    A training on a card, or one that fails, ends its process all the same. Threads have no part in it.
    """
    if _keeper.get() is not None:
        yield
        return
    keeper = _Keeper()
    token = _keeper.set(keeper)
    try:
        yield
    finally:
        _keeper.reset(token)
        if keeper.child:
            keeper.child.end()


class _Child:
    """A process that trains, one job after the other.

    :param log: takes what it prints until its first job has begun
    """

    def __init__(self, log: Path):
        environment = child_environment()
        self._read = _read_at_start(environment)
        receive, send = os.pipe()
        self._events = os.fdopen(receive, encoding="utf-8")
        try:
            with log.open("ab") as opened:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", __name__, str(send), str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=opened,
                    stderr=opened,
                    text=True,
                    pass_fds=(send,),
                    start_new_session=True,  # Ctrl-C is for this process alone, which then ends the child
                    env=environment,
                )
        except BaseException:
            self._events.close()
            raise
        finally:
            os.close(send)

    @property
    def usable(self) -> bool:
        """Whether it lives, in the surroundings in which one would begin now."""
        return self._process.poll() is None and self._read == _read_at_start(child_environment())

    def fit(self, job: FitJob, on_step: Callable[[TrainStep], None], note: Callable[[str], None]) -> Fit:
        """Do a job.

        :raises SelfguideError: as the trainer; also where the process is killed or fails in any other way
        """
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died at once: why is said below
            place = {"folder": _folder(), "environment": child_environment()}
            json.dump(place | job.as_json(), self._process.stdin)
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        done = _follow(self._events, on_step, note)
        if done is None:
            raise SelfguideError(_epitaph(self._process.wait(), job.out / LOG))
        return done

    def end(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._events.close()
        with suppress(BrokenPipeError):
            assert self._process.stdin is not None
            self._process.stdin.close()


@dataclass(slots=True)
class _Keeper:
    """Keeps a process from one training to the next."""

    child: _Child | None = None

    def take(self) -> _Child | None:
        """Return the process, where there is one to use."""
        child, self.child = self.child, None
        if child is None or child.usable:
            return child
        child.end()
        return None


def _folder() -> str | None:
    """Return the folder that relative paths start from; None where it was removed."""
    with suppress(FileNotFoundError):
        return str(Path.cwd())
    return None


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


_keeper: ContextVar[_Keeper | None] = ContextVar("_keeper", default=None)


def in_one_line(error: Exception, out: Path) -> str:
    """Return what to say of a failure that nobody foresaw; the log gets all of it."""
    with suppress(OSError), (out / LOG).open("a", encoding="utf-8") as log:
        traceback.print_exception(error, file=log)
    first = next(iter(str(error).strip().splitlines()), "")
    words = in_plain_words(error) or f"{type(error).__name__}: {first}"
    return f"the training failed: {words}; {out / LOG} has more"


def _follow(events: IO[str], on_step: Callable[[TrainStep], None], note: Callable[[str], None]) -> Fit | None:
    """Pass on what the child tells; None where it ends without a result."""
    for line in events:
        try:
            kind, told = json.loads(line)
        except ValueError:  # it was killed in the middle of a line
            return None
        if kind == "step":
            on_step(TrainStep(**told))
        elif kind == "note":
            note(told)
        elif kind == "memory":
            raise OutOfMemory(told)
        elif kind == "error":
            raise SelfguideError(told)
        else:
            return Fit(**told)
    return None


def _epitaph(status: int, log: Path) -> str:
    again = "the same command goes on from the last checkpoint"
    if status == -signal.SIGKILL:
        return (
            "the training was killed (SIGKILL), most likely because memory ran out: close other programs, or lower "
            f"--set batch_size or --set max_seq_length; {again}"
        )
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return f"the training {how}; {log} has its last lines; {again}"


def main() -> None:
    """Do the jobs on standard input, a line each, and tell what happens: `main DESCRIPTOR PARENT`.

    The process ends with its parent; where Linux does not see to that, the broken pipe ends it at the next step.
    """
    descriptor, parent = map(int, sys.argv[1:])
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as events:
        for line in sys.stdin:
            _do(json.loads(line), events)


def _do(sent: Mapping[str, Any], events: IO[str]) -> None:
    """Do one job."""

    def tell(kind: str, told: object) -> None:
        events.write(json.dumps([kind, told]) + "\n")
        events.flush()

    def note(message: str) -> None:
        tell("note", message)

    if sent["folder"] is not None:
        os.chdir(sent["folder"])
    os.environ.clear()
    os.environ.update(sent["environment"])
    guard = BatteryGuard(note)

    def on_step(step: TrainStep) -> None:
        tell("step", asdict(step))
        guard.wait_while_low()

    try:
        job = FitJob.of_json(sent)
        _print_into(job.out / LOG)
        done = trainer_named(job.options.trainer).fit(job, on_step, note)
        release_memory()  # it may wait for the next job while a model is asked beside it
    except OutOfMemory as error:
        tell("memory", str(error))
    except SelfguideError as error:
        tell("error", str(error))
    except Exception as error:
        tell("error", in_one_line(error, Path(sent["out"])))
    else:
        tell("done", asdict(done))


def _print_into(log: Path) -> None:
    """Send what is printed from here on into a job's log."""
    with log.open("ab") as opened:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(opened.fileno(), stream.fileno())


if __name__ == "__main__":
    main()
