"""The open file: its connection, transactions, and reads with clear errors. Knows nothing of what the rows mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from selfguide_lite.core.errors import ReplacedError, SelfguideError
from selfguide_lite.store.connection import BUSY_TIMEOUT, clear_errors, connect, transaction
from selfguide_lite.store.similar import sketch_pending
from selfguide_lite.store.write_ahead_log import WriteAheadLog


class StoreFile:
    """One run's database file and its connection. Use `open`, as a context manager.

    :param connection: in autocommit mode
    :param path: the file, for messages
    :param keeper: a second connection, closed after the first, see `_keeper`
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, keeper: sqlite3.Connection | None = None):
        self.connection = connection
        self.path = path
        self._keeper = keeper
        self._file = _identity(path)
        self._log_path = path.with_name(path.name + "-wal")
        self._log: tuple[int, int] | None = None
        self._write_ahead_log = WriteAheadLog(connection, BUSY_TIMEOUT)

    @classmethod
    def open(cls, path: Path | str, *, read_only: bool = False, create: bool = True) -> Self:
        """Open a database, made where it is missing, its tables and views brought up to date.

        :param read_only: SQLite itself then refuses every write
        :param create: whether a missing file is made
        :raises SelfguideError: where the file is missing, no database, of a newer version, or not writable
        """
        path = Path(path)
        if read_only:
            keeper = _keeper(path)
            try:
                return cls(connect(path, read_only=True, create=False), path, keeper)
            except BaseException:
                if keeper is not None:
                    keeper.close()
                raise
        store = cls(connect(path, read_only=False, create=create), path)
        if store._value(
            "SELECT 1 FROM setting WHERE key = 'near_duplicate_threshold' AND value IS NOT NULL"
            " AND EXISTS (SELECT 1 FROM input WHERE sketched IS NULL)"
        ):
            with store._writing() as connection:
                sketch_pending(connection)
        return store

    def close(self) -> None:
        """Close the file. What was written is in it already."""
        self._check_in_place()
        self.connection.close()
        if self._keeper is not None:
            self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is committed, or none.

        :raises SelfguideError: where SQLite refuses, or the file is no longer the one that was opened: rows written to
            a file that was deleted would be lost without a word
        """
        self._refuse_replaced()
        with clear_errors(self.path, "write to"):
            with transaction(self.connection):
                yield self.connection
            with suppress(OSError):
                self._write_ahead_log.empty_when_large(self._log_path.stat().st_size)

    def _refuse_replaced(self) -> None:
        if not self._check_in_place():
            raise ReplacedError(f"{self.path}: was deleted or replaced while in use; put it back, or start again")

    def _check_in_place(self) -> bool:
        """Tell whether the file is still the one that was opened; if not, take its write-ahead log away.

        SQLite would take a log that is left behind for that of the file which took the place, and break that. So what
        the log holds is brought into this file, wherever it is now.
        """
        log = _identity(self._log_path)
        if _identity(self.path) == self._file:
            self._log = log or self._log
            return True
        if log is not None and log == self._log:  # else another program has begun a log of its own
            with suppress(sqlite3.Error):
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return False

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with clear_errors(self.path, "read"):
            return self.connection.execute(sql, values).fetchall()

    def _each(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as they are asked for: for as many as may not be held together."""
        with clear_errors(self.path, "read"):
            for row in self.connection.execute(sql, values):  # noqa: UP028 (`yield from` would close the cursor later)
                yield row

    def _value(self, sql: str, *values: Any) -> Any:
        rows = self._rows(sql, *values)
        return rows[0][0] if rows else None


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells one file from another of the same name."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _keeper(path: Path) -> sqlite3.Connection | None:
    """Return a connection that may write, to stand beside one that only reads; None where the file may not be written.

    It brings the views up to date (filters made with plain SQL are counted from then on), and, closed last, it takes
    away the two files of the write-ahead log, which a connection that only reads leaves behind.
    """
    try:
        return connect(path, read_only=False, create=False)
    except SelfguideError:
        return None
