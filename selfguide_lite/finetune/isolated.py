"""The training in a process of its own: one that the system kills for lack of memory is reported in a line.

The job goes in and the events come out as lines of JSON. The process ends with the one that started it.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from selfguide_lite.core.battery import BatteryGuard
from selfguide_lite.core.errors import SelfguideError, in_plain_words
from selfguide_lite.core.progress import TrainStep
from selfguide_lite.core.resources import child_environment
from selfguide_lite.finetune.job import LOG, Fit, FitJob
from selfguide_lite.finetune.memory import OutOfMemory
from selfguide_lite.finetune.trainers import trainer_named

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def fit_apart(job: FitJob, on_step: Callable[[TrainStep], None], note: Callable[[str], None]) -> Fit:
    """Do what the trainer's `fit` does, in a child process. What it prints goes into the log in the job's folder.

    :raises SelfguideError: as the trainer; also where the process is killed or fails in any other way
    """
    job.out.mkdir(parents=True, exist_ok=True)
    log_path = job.out / LOG
    receive, send = os.pipe()
    with os.fdopen(receive, encoding="utf-8") as events, log_path.open("ab") as log:
        try:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(send)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                pass_fds=(send,),
                start_new_session=True,  # Ctrl-C is for this process alone, which then ends the child
                env=child_environment(),
            )
        finally:
            os.close(send)
        try:
            assert child.stdin is not None
            with suppress(BrokenPipeError):  # it died at once: why is said below
                json.dump({"parent": os.getpid(), **job.as_json()}, child.stdin)
                child.stdin.write("\n")
                child.stdin.flush()
            done = _follow(events, on_step, note)
            if done is None:
                raise SelfguideError(_epitaph(child.wait(), log_path))
            return done
        finally:
            child.kill()
            child.wait()
            with suppress(BrokenPipeError):
                assert child.stdin is not None
                child.stdin.close()


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
    """Do the job on standard input; tell what happens on the descriptor that was given."""
    sent: dict[str, Any] = json.loads(sys.stdin.readline())
    with suppress(AttributeError, OSError):  # elsewhere than on Linux the broken pipe ends it at the next step
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != sent["parent"]:
        return
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as events:

        def tell(kind: str, told: object) -> None:
            events.write(json.dumps([kind, told]) + "\n")
            events.flush()

        def note(message: str) -> None:
            tell("note", message)

        guard = BatteryGuard(note)

        def on_step(step: TrainStep) -> None:
            tell("step", asdict(step))
            guard.wait_while_low()

        try:
            job = FitJob.of_json(sent)
            done = trainer_named(job.options.trainer).fit(job, on_step, note)
        except OutOfMemory as error:
            tell("memory", str(error))
        except SelfguideError as error:
            tell("error", str(error))
        except Exception as error:
            tell("error", in_one_line(error, Path(sent["out"])))
        else:
            tell("done", asdict(done))


if __name__ == "__main__":
    main()
