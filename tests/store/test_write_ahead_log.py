"""The write-ahead log stays small beside a program that always reads, and a run waits in vain only now and then."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewInput, Store, write_ahead_log
from selfguide_lite.task import Example, Task

TASK = Task(name="t", kind="generation", instruction="Say.", examples=(Example(input="a b c", output="d"),))
LARGE = 200_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LARGE", LARGE), ("_PATIENCE", 6.0), ("_AT_ONCE", 0.1)):
        monkeypatch.setattr(write_ahead_log, name, value)


@contextmanager
def reading(path: Path, seconds: float) -> Iterator[list[int]]:
    """Hold a snapshot, and so soon as it ends the next one; what each saw at its beginning and its end."""
    stop, begun, seen = threading.Event(), threading.Event(), []

    def read() -> None:
        connections = [sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) for _ in range(2)]
        for connection in connections:
            connection.isolation_level = None
        count = "SELECT count(*) FROM input"
        turn = 0
        connections[0].execute("BEGIN")
        while not stop.is_set():
            now, then = connections[turn % 2], connections[(turn + 1) % 2]
            seen.append(now.execute(count).fetchone()[0])
            begun.set()
            stop.wait(seconds)
            then.execute("BEGIN")  # before the other ends: at no moment is there no reader
            then.execute(count).fetchone()
            assert now.execute(count).fetchone()[0] == seen[-1]
            now.execute("COMMIT")
            turn += 1
        for connection in connections:
            connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait(10)
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def write(store: Store, rows: int) -> int:
    """Write inputs, each in a transaction of its own, and return how large the log was at most."""
    task_id = store.add_task(TASK)
    run, largest = store.start_run(task_id, "generate", None, Settings(), 1, None), 0
    for number in range(rows):
        store.add_input(NewInput(task_id, run, 0, number, f"{number} " + "word " * 20))
        largest = max(largest, store.path.with_name(store.path.name + "-wal").stat().st_size)
    return largest


def test_beside_snapshots_that_never_cease_the_log_stays_small(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store, reading(store.path, 0.05) as seen:
        assert write(store, 100) < 2 * LARGE
        assert store.connection.execute("SELECT count(*) FROM input").fetchone() == (100,)
        assert store.connection.execute("PRAGMA busy_timeout").fetchone() == (60_000,)
    assert seen == sorted(seen)


def test_beside_one_that_does_not_end_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_ahead_log, "_PATIENCE", 0.2)
    tries: list[int] = []
    emptied = write_ahead_log.WriteAheadLog._emptied

    def counted(log: write_ahead_log.WriteAheadLog) -> bool:
        tries.append(1)
        return emptied(log)

    monkeypatch.setattr(write_ahead_log.WriteAheadLog, "_emptied", counted)
    with Store.open(tmp_path / "a.db") as store:
        with reading(store.path, 1000):
            largest = write(store, 100)
            assert largest > 2 * LARGE
            assert 2 <= len(tries) <= 2 * (largest // LARGE).bit_length()
        write(store, 1)
        assert store.connection.execute("SELECT count(*) FROM input").fetchone() == (100,)


def test_a_read_of_its_own_that_is_not_at_its_end_is_no_error(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        write(store, 40)
        cursor = store.connection.execute("SELECT id FROM input ORDER BY id")
        assert cursor.fetchone() == (1,)
        store._write_ahead_log.empty_when_large(LARGE)
        assert len(cursor.fetchall()) == 39
