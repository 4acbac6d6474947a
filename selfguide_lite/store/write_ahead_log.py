"""Keeps the write-ahead log small where other programs read the database all the time.

SQLite begins the log anew only at a moment at which nobody reads from it. Where another program always holds a
snapshot, that moment never comes by itself, and the log takes fifty times the room of the rows in it. See SQLite's
documentation, "Write-Ahead Logging", section 6.
"""

import sqlite3

LARGE = 2**30  # bytes
_PATIENCE = 60.0  # seconds; snapshots that are held longer are waited for in vain
_AT_ONCE = 1.0  # seconds, after which Ctrl-C is looked for


class WriteAheadLog:
    """Empties a connection's log when it has become large.

    :param busy_timeout: the connection's own, in seconds
    """

    def __init__(self, connection: sqlite3.Connection, busy_timeout: float):
        self._connection = connection
        self._busy_timeout = busy_timeout
        self._large = LARGE

    def empty_when_large(self, size: int) -> None:
        """Wait for other readers' snapshots to end and empty the log; after a vain wait it may grow to twice its size.

        :param size: of the log, in bytes
        """
        if size < self._large:
            return
        try:
            self._connection.execute(f"PRAGMA busy_timeout = {round(1000 * _AT_ONCE)}")
            done = any(self._emptied() for _ in range(round(_PATIENCE / _AT_ONCE)))
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {round(1000 * self._busy_timeout)}")
        self._large = LARGE if done else 2 * size

    def _emptied(self) -> bool:
        try:
            (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError:  # a read of this very connection is not at its end
            return False
        return not busy
