"""Runs foreign code, such as a chat template, in a process of its own that may take so much time and memory, not more.

The process is a fork, so it starts in milliseconds and shares what is loaded. It computes a text and ends at once.
"""

import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MOST_SECONDS = 10  # of the processor
MOST_MEMORY = 512 * 2**20  # bytes beside what this process has
_MOST_TEXT = 64 * 2**20  # bytes
_MOST_WAIT = 300.0  # seconds: a busy machine gives a process little of its time
_TEXT, _REFUSED, _MEMORY = b"t", b"r", b"m"


class NotDone(Exception):
    """The work was refused, or would take too much; the message says which."""


def bounded(work: Callable[[], str]) -> str:
    """Return what `work` returns; it runs in a process of its own and can change nothing in this one.

    :raises NotDone: with the message of any exception that it raises, or what it takes too much of
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python warns of forks where threads run. The child waits for no thread: it computes a text and ends.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reading)
        _work(work, writing)
    os.close(writing)
    try:
        said = _read(reading)
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(reading)
        _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise NotDone(
            f"it takes more than {MOST_SECONDS} s of the processor"
            if os.WTERMSIG(status) == signal.SIGXCPU
            else f"its process was ended by signal {os.WTERMSIG(status)}"
        )
    kind, text = said[:1], said[1:].decode("utf-8", "surrogatepass")
    if kind == _TEXT:
        return text
    raise NotDone(f"it takes more than {MOST_MEMORY // 2**20} MiB of memory" if kind == _MEMORY else text)


def _work(work: Callable[[], str], writing: int) -> None:
    """Do the work in the child, write down what came of it, and end."""
    try:
        _limit()
        try:
            said = _TEXT + work().encode("utf-8", "surrogatepass")
        except MemoryError:
            said = _MEMORY
        except RecursionError:
            said = _REFUSED + b"it is nested too deep, or calls itself without end"
        except Exception as error:  # foreign code may raise any
            said = _REFUSED + (str(error) or type(error).__name__).encode("utf-8", "surrogatepass")
        while said:
            said = said[os.write(writing, said) :]
    finally:
        os._exit(0)  # nothing of the parent's may run twice: no handlers, no buffers


def _limit() -> None:
    with suppress(OSError, ValueError):  # a system may lack one, or allow less already
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 1))
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _read(reading: int) -> bytes:
    """Read what the child writes.

    :raises NotDone: where that is too much, or does not come
    """
    until = time.monotonic() + _MOST_WAIT
    parts: list[bytes] = []
    size = 0
    while select.select([reading], [], [], max(0.0, until - time.monotonic()))[0]:
        part = os.read(reading, 2**20)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > _MOST_TEXT:
            raise NotDone(f"it writes more than {_MOST_TEXT // 2**20} MiB")
    raise NotDone(f"it does not end within {_MOST_WAIT:.0f} s")
