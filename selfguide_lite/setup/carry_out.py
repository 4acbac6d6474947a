"""Does what a plan says, step by step, with all output in a log."""

import fcntl
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from selfguide_lite.core.cache import cache_dir
from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.resources import child_environment
from selfguide_lite.setup.lock import of_sets
from selfguide_lite.setup.machine import Installed, Machine, look_at_installed, nvcc_folder
from selfguide_lite.setup.plan import Command, Places, Plan, Step, Wanted, make_plan

_STAMP = "made-for"
_TELLING = ("error", "no space", "not found", "no matching")
_TOLD = 5
_EVERY = 30.0  # seconds between two signs of life


def plan_here(machine: Machine, wanted: Wanted) -> Plan:
    """Return what is to be done in this environment, of which nothing is done yet."""
    return make_plan(machine, _installed(), wanted, places())


def places() -> Places:
    """Return where a set-up puts what it makes: all of it lies in the cache folder."""
    return Places(cache_dir() / "setup", _tools_dir(), nvcc_folder())


def _tools_dir() -> Path:
    """Return the folder of the environment with pip and what builds llama.cpp; it need not be there."""
    return cache_dir() / "setup" / f"tools-{sys.version_info.major}.{sys.version_info.minor}"


def _installed() -> Installed:
    built = places().folder / "llama-cpp"
    wheels = frozenset(wheel.parent.name for wheel in built.glob("*/*.whl"))
    return replace(look_at_installed(), wheels=wheels, tools=_tools_ready())


def _tools_ready() -> bool:
    with suppress(OSError):
        return (_tools_dir() / _STAMP).read_text(encoding="utf-8") == _tools_mark() and (
            _tools_dir() / "bin" / "python"
        ).exists()
    return False


def _tools_mark() -> str:
    return hashlib.sha256("\n".join(pin.requirement() for pin in of_sets("build")).encode()).hexdigest()


def carry_out(plan: Plan, say: Callable[[str], None]) -> None:
    """Do all steps of a plan. One that was interrupted is begun again by the same command; those before it are not.

    :param say: told what is being done, a line at a time
    :raises SelfguideError: where a step fails, with where its output is, or another set-up is running
    """
    folder = places().folder
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        log = folder / "setup.log"
        log.write_bytes(b"")
        for step in plan.steps:
            say(step.what)
            for path, pins in step.files.items():
                with atomic_write(Path(path)) as part:
                    part.write_text("".join(f"{pin.requirement()}\n" for pin in pins), encoding="utf-8")
            done = all(_run(command, log, say) for command in step.commands)
            if not done or (step.either and not any(_run(command, log, say) for command in step.either)):
                raise SelfguideError(_failed(step, log))
            if step.name == "tools":
                (_tools_dir() / _STAMP).write_text(_tools_mark(), encoding="utf-8")


def _run(command: Command, log: Path, say: Callable[[str], None]) -> bool:
    """Run a command and return whether it succeeded."""
    environment = child_environment()
    for name, value in command.environment.items():
        environment[name] = value.replace("$PATH", environment.get("PATH", ""))
    begun = told = time.monotonic()
    with log.open("ab") as output:
        output.write(f"$ {command}\n".encode())
        output.flush()
        job = subprocess.Popen(
            command.words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
        try:
            while job.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    job.wait(0.5)
                if time.monotonic() - told >= _EVERY:
                    told = time.monotonic()
                    say(f"  ... {told - begun:.0f} s")
        finally:
            if job.poll() is None:  # Ctrl-C: the compilers end too
                with suppress(ProcessLookupError):
                    os.killpg(job.pid, signal.SIGTERM)
                job.wait()
    return job.returncode == 0


def _failed(step: Step, log: Path) -> str:
    """Say which step failed, with the lines of the log that tell why."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    # what the commands themselves are is no reason
    reasons = [line.strip() for line in lines if any(word in line.lower() for word in _TELLING) and line[:2] != "$ "]
    why = "; ".join(short(line, 200) for line in reasons[-_TOLD:])
    return f"this step failed: {step.what}{f': {why}' if why else ''} (all of its output: {log})"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second set-up out while one is running.

    :raises SelfguideError: where one is
    """
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SelfguideError(f"another set-up is running ({folder}): wait for it") from error
        yield
