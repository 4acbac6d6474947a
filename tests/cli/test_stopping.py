"""A signal that comes at a bad moment ends a long job all the same."""

import io
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from selfguide_lite.cli.common import stoppable
from selfguide_lite.report.progress import listener_for
from selfguide_lite.store import Store


class Signals:
    """Sends its own process a signal while it is taken away."""

    def __init__(self, number: signal.Signals):
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        for _ in range(1000):  # here Python calls the handler, and loses what it raises
            pass


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_a_destructor_is_not_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals, status: int
) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as ended, stoppable(tmp_path / "no.db"):
        del_at_once = Signals(number)
        del del_at_once
        time.sleep(20)
        raise AssertionError("it went on")
    assert ended.value.code == status
    assert capsys.readouterr().err == "Stopped. The same command goes on where this one stopped.\n"
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


class StoppedWriting(io.StringIO):
    """A signal comes right after something was written to it."""

    def write(self, text: str, /) -> int:
        super().write(text)
        os.kill(os.getpid(), signal.SIGTERM)
        return len(text)


def test_the_farewell_has_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, usual = StoppedWriting(), sys.stderr
    with pytest.raises(SystemExit), stoppable(tmp_path / "no.db"), listener_for(False, ("evaluate",)) as listener:
        monkeypatch.setattr(sys, "stderr", shown)
        try:
            listener.note("5 of 48")
        finally:
            monkeypatch.setattr(sys, "stderr", usual)
        raise AssertionError("it went on")
    assert shown.getvalue() == "5 of 48\n"
    assert capsys.readouterr().err == "Stopped. The same command goes on where this one stopped.\n"


class StoppedBeginning:
    """A connection to which Python reports a signal right after a transaction has begun."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def execute(self, statement: str) -> sqlite3.Cursor:
        done = self.connection.execute(statement)
        if statement.startswith("BEGIN"):
            raise KeyboardInterrupt
        return done


def test_a_signal_while_a_transaction_begins_leaves_none_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the run could not write down that it was interrupted."""
    with Store.open(tmp_path / "run.db") as store:
        usual = store.connection
        monkeypatch.setattr(store, "connection", StoppedBeginning(usual))
        with pytest.raises(KeyboardInterrupt), store._writing():
            raise AssertionError("it went on")
        monkeypatch.setattr(store, "connection", usual)
        assert not usual.in_transaction
        with store._writing() as connection:
            assert connection.in_transaction
