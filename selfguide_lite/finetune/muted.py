"""Keeps what the training libraries print away from standard output."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


class Muted(contextlib.AbstractContextManager["Muted"]):
    """Sends what the libraries print to standard output into a log file: standard output belongs to the answer.

    Standard error stays, for a progress display may be drawing on it.
    """

    def __init__(self, log: Path):
        self._path = log
        self._open = contextlib.ExitStack()
        self._stdout: TextIO = sys.stdout
        self._logging = logging.NOTSET

    def __enter__(self) -> "Muted":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stdout = sys.stdout
        log = self._open.enter_context(self._path.open("a", encoding="utf-8"))
        self._open.enter_context(contextlib.redirect_stdout(log))
        self._open.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        self._logging = logging.root.manager.disable
        logging.disable(logging.ERROR)
        return self

    def __exit__(self, *_: object) -> None:
        logging.disable(self._logging)
        self._open.close()

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """Let through what is said inside."""
        muted, sys.stdout = sys.stdout, self._stdout
        try:
            yield
        finally:
            sys.stdout = muted
