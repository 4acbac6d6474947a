"""Commands of the program without the second that importing it takes: a process that has imported it forks for each.

What runs is the program itself, in a process of its own that can be killed as any other. It can also be told to kill
itself at a moment that no clock hits: before its n-th SQL statement, or before the n-th time that it opens, renames,
makes or removes a file in a folder.
"""

import importlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

from robust_runs import environment

STATEMENTS, FILES = "statements", "files"
_FILE_EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree"}


@dataclass(frozen=True, slots=True)
class Moment:
    """When a command kills itself, and all that it has started.

    :param kind: ``statements`` or ``files``
    :param number: which of them it does not live to do; 0: it counts them and says how many there were
    :param folder: files outside of it are not counted
    """

    kind: str
    number: int
    folder: str


class Forked:
    """A command that was forked, with what the tests use of `subprocess.Popen`."""

    def __init__(self, server: "ForkServer", pid: int, stderr: IO[str]):
        self.pid, self.stderr = pid, stderr
        self.returncode: int | None = None
        self._server = server

    def poll(self) -> int | None:
        """The exit status; None while it is running."""
        if self.returncode is None:
            self.returncode = self._server.ask("poll", self.pid)
        return self.returncode

    def wait(self) -> int:
        """Wait for its end and return its exit status."""
        if self.returncode is None:
            self.returncode = self._server.ask("wait", self.pid)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stderr.close()


class ForkServer:
    """The process that has imported the program.

    :param variables: of the environment, to set
    """

    def __init__(self, **variables: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(OPENBLAS_NUM_THREADS="1", **variables),
        )
        self._folder = tempfile.TemporaryDirectory()
        self._begun = 0

    def begin(self, *words: object, moment: Moment | None = None) -> Forked:
        """Start a command of the program."""
        self._begun += 1
        said = Path(self._folder.name) / str(self._begun)
        os.mkfifo(said)
        pid = self.ask("begin", [list(map(str, words)), str(said), moment and asdict(moment)])
        return Forked(self, pid, said.open(encoding="utf-8"))

    def ask(self, what: str, about: Any) -> Any:
        """Ask the process for something and return its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, about]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._folder.cleanup()


_IMPORTED = (
    "llama_cpp",
    "sqlite_utils",
    "selfguide_lite.pipeline",
    "selfguide_lite.exporting.writing",
    "selfguide_lite.export.adapter",
    *(f"selfguide_lite.cli.{module}" for module in ("run", "train", "evaluate", "export", "settings", "store")),
)


class _Counted:
    """Counts what a command does, and kills it and its process group before one of them."""

    def __init__(self, moment: Moment):
        self._moment = moment
        self._seen = 0

    def watch(self) -> None:
        if self._moment.kind == FILES:
            sys.addaudithook(self._hook)
            return
        connect = sqlite3.connect

        def connected(*given: Any, **named: Any) -> sqlite3.Connection:
            connection = connect(*given, **named)
            connection.set_trace_callback(lambda sql: self._one())
            return connection

        sqlite3.connect = connected  # type: ignore[assignment]

    def tell(self) -> None:
        if not self._moment.number:
            os.write(2, f"{self._seen} moments\n".encode())

    def _hook(self, event: str, given: tuple[Any, ...]) -> None:
        if event in _FILE_EVENTS and str(given[0]).startswith(self._moment.folder):
            self._one()

    def _one(self) -> None:
        self._seen += 1
        if self._seen == self._moment.number:
            os.killpg(0, signal.SIGKILL)


def _serve() -> None:
    for name in _IMPORTED:  # what a command imports on its way, so that no child has to
        importlib.import_module(name)
    for line in sys.stdin:
        what, about = json.loads(line)
        if what == "begin":
            answer: int | None = os.fork()
            if not answer:
                _be(*about)
                return
        else:
            pid, status = os.waitpid(about, os.WNOHANG if what == "poll" else 0)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        print(json.dumps(answer), flush=True)


def _be(words: list[str], said: str, moment: dict[str, Any] | None) -> None:
    """Be the command."""
    from selfguide_lite.cli import main

    os.setsid()
    for descriptor, path, flags in ((0, os.devnull, os.O_RDONLY), (1, os.devnull, os.O_WRONLY), (2, said, os.O_WRONLY)):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = ["selfguide", *words]
    counted = _Counted(Moment(**moment)) if moment else None
    if counted:
        counted.watch()
    try:
        main(prog_name="selfguide")
    finally:
        if counted:
            counted.tell()


if __name__ == "__main__":
    _serve()
