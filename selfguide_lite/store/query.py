"""Read-only SQL over a run's database, and its rows as JSON, CSV or lines of JSON.

The file is opened read-only, so SQLite itself refuses every write; attaching another file is refused too.
"""

import csv
import io
import math
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selfguide_lite.core.plain_json import plain_json
from selfguide_lite.store.connection import in_one_line
from selfguide_lite.store.store import Store

_PRAGMAS = frozenset(
    {
        "compile_options",
        "database_list",
        "foreign_key_check",
        "foreign_key_list",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)
_READABLE = frozenset(("user_version", "application_id", "page_count", "page_size", "journal_mode", "schema_version"))


@contextmanager
def query(path: Path, statement: str) -> Iterator[tuple[list[str], Iterator[tuple[Any, ...]]]]:
    """Run one statement and give its column names and its rows, which are read as they are asked for.

    :raises SelfguideError: where the statement is wrong, writes, attaches a file or is more than one
    """
    with Store.open(path, read_only=True) as store:
        connection = store.connection
        connection.set_authorizer(_authorize)
        with in_one_line(_problem):
            cursor = connection.execute(statement)
            yield [column[0] for column in cursor.description or ()], _clear(cursor)


def _clear(cursor: sqlite3.Cursor) -> Iterator[tuple[Any, ...]]:
    with in_one_line(_problem):
        for row in cursor:  # noqa: UP028 (`yield from` would close the cursor after its database)
            yield row


def _authorize(action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA:
        allowed = first in _PRAGMAS or (first in _READABLE and second is None)
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and second == "load_extension":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _problem(message: str) -> str:
    if "readonly" in message:
        message += ": this command only reads; `selfguide set` changes a setting, `sqlite3` the rest"
    elif "not authorized" in message or "authorization denied" in message:
        message += ": this command reads this one database; it attaches no other and sets nothing"
    elif "one statement at a time" in message:
        message = "several statements; give one"
    return f"sql: {message}"


def plain(value: Any) -> Any:
    """Return a value of SQLite as JSON can hold it: blobs as SQL's own hex form, infinities as texts."""
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def json_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield each row as an object on a line."""
    for row in rows:
        yield plain_json(dict(zip(columns, map(plain, row), strict=True))) + "\n"


def json_array(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the pieces of one JSON array of objects, an object a line."""
    separator = "["
    for line in json_lines(columns, rows):
        yield separator + line.rstrip("\n")
        separator = ",\n "
    yield "]\n" if separator != "[" else "[]\n"


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield lines of CSV with a header, every text harmless to a spreadsheet (see `harmless`)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(harmless, columns))
    for row in rows:
        writer.writerow([harmless(plain(value)) for value in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


_FORMULA = tuple("=+-@\t\n＝＋－＠")
# Control codes, direction overrides and isolates: a terminal obeys the first, and both show another text than there is.
_OBEYED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def harmless(value: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula and no terminal obeys.

    An apostrophe goes before = + - @, tab and line breaks. CSV has no escapes, so control codes and direction overrides
    become U+FFFD, and every line break becomes a newline; JSON and Parquet have texts as they are.
    """
    if not isinstance(value, str):
        return value
    text = _OBEYED.sub("\N{REPLACEMENT CHARACTER}", value.replace("\r\n", "\n").replace("\r", "\n"))
    return "'" + text if text.lstrip(" ").startswith(_FORMULA) else text
