"""Rows of another SQLite file, as a table. That file is only read."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.store.connection import guard, in_one_line
from selfguide_lite.tabular import Row, Table


def database_table(path: Path, statement: str) -> Table:
    """Return what a SELECT gives over another SQLite file; rows are counted from 1.

    :raises SelfguideError: where the file is no database, or the statement is wrong, writes or is more than one
    """

    def rows() -> Iterator[Row]:
        with closing(_opened(path)) as connection:
            cursor = _run(connection, path, statement)
            names = [column[0] for column in cursor.description]
            with in_one_line(lambda message: f"{path}: {message}"):
                for number, values in enumerate(cursor, 1):
                    yield Row(number, dict(zip(names, values, strict=True)))

    with closing(_opened(path)) as connection:
        columns = tuple(column[0] for column in _run(connection, path, statement).description or ())
    if not columns:
        raise SelfguideError(f"{path}: --sql must be a SELECT")
    return Table(str(path), "row", columns, rows)


def _opened(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise SelfguideError(f"{path}: no such database")
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    guard(connection)
    connection.execute("PRAGMA query_only = ON")
    connection.set_authorizer(_authorize)
    return connection


def _authorize(action: int, _first: str | None, second: str | None, _database: str | None, _source: str | None) -> int:
    """Allow reading this one file and nothing else."""
    reads = action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE)
    computes = action == sqlite3.SQLITE_FUNCTION and second != "load_extension"
    return sqlite3.SQLITE_OK if reads or computes else sqlite3.SQLITE_DENY


def _run(connection: sqlite3.Connection, path: Path, statement: str) -> sqlite3.Cursor:
    def words(message: str) -> str:
        refused = "the statement may only read this one file" if "authoriz" in message else message
        return f"{path}: --sql: {refused}"

    with in_one_line(words):
        return connection.execute(statement)
