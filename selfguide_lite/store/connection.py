"""Opens the SQLite file: is it ours, is it new enough, may we write; and turns SQLite's errors into one clear line.

Knows the schema, nothing of rows.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError, is_interrupt
from selfguide_lite.store.migrations import APPLICATION_ID, FORMAT, migrations
from selfguide_lite.store.view_building import refresh_views, views_current

# A reader or a second writer waits this long for the lock before it gives up, in seconds.
BUSY_TIMEOUT = 60.0
_LONGEST_VALUE = 256 * 2**20  # bytes; far above any text of ours
_OFTEN = 1_000_000  # steps of SQLite's, some milliseconds


@contextmanager
def in_one_line(words: Callable[[str], str]) -> Iterator[None]:
    """Turn any error of SQLite inside into one line. What Ctrl-C stopped stays an interrupt.

    :param words: makes the line of SQLite's message
    :raises SelfguideError: in place of `sqlite3.Error` and `sqlite3.Warning`
    """
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from error
        raise SelfguideError(words(str(error))) from error


@contextmanager
def clear_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn any error of SQLite inside into one line that names the file and says what to do.

    :param doing: what was being done, such as `write to`
    :raises SelfguideError: in place of `sqlite3.Error`
    """
    with in_one_line(lambda message: f"{path}: cannot {doing} this database: {_advice(message)}"):
        yield


def _advice(message: str) -> str:
    known = {
        "database or disk is full": "the disk is full; everything committed so far is kept: free some space and go on",
        "database is locked": "another program holds it locked; close that program and try again",
        "readonly database": "it is read-only; change its permissions or choose another file with -d",
        "unable to open database file": "no such file or folder, or no permission",
        "not a database": "it is not a SQLite database; choose another file with -d",
        "malformed": "it is damaged; restore it from a copy, or rescue what is there with `sqlite3 FILE .recover`",
        "too big": f"a text in it is larger than {_LONGEST_VALUE // 2**20} MiB, which no run writes; delete its row",
        "disk I/O error": "the disk is full or reported an error; free some space or check it, then go on",
    }
    return next((advice for sign, advice in known.items() if sign in message), message)


def connect(path: Path, *, read_only: bool, create: bool) -> sqlite3.Connection:
    """Open a run's database, made or brought up to date unless it is opened for reading.

    :param read_only: SQLite itself then refuses every write
    :param create: whether a missing file is made
    :raises SelfguideError: where the file is missing, no database, another program's, of a newer version, not writable
    """
    if path.is_dir():
        raise SelfguideError(f"{path}: is a folder; name a database file with -d")
    if not path.exists() or path.stat().st_size == 0:
        if read_only or not create:
            raise SelfguideError(f"{path}: no such database; make one with `selfguide run TASK.yaml -d {path}`")
        if not path.parent.is_dir():
            raise SelfguideError(f"{path}: the folder {path.parent} does not exist; make it or choose another with -d")
    with clear_errors(path, "open"):
        connection = _open(path, "ro" if read_only else "rwc")
        try:
            _check_ours(connection, path)
            # What a view works out on its way goes to a file where it is large, or memory would grow with the rows.
            connection.execute("PRAGMA temp_store = FILE")
            if read_only:
                connection = _up_to_date_copy(connection)
                connection.execute("PRAGMA query_only = ON")
            else:
                _bring_up_to_date(connection)
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection


def _open(path: Path, mode: str) -> sqlite3.Connection:
    """Open with a mode of SQLite's URIs. A file in a folder that may not be written is read as immutable.

    A database in WAL mode needs a file beside it even to be read; where none can be made there is no writer either.
    """
    uri = path.resolve().as_uri()
    connection = sqlite3.connect(f"{uri}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    guard(connection)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if mode != "ro" or path.with_name(path.name + "-wal").exists():
            raise
        connection = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
        guard(connection)
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    return connection


def guard(connection: sqlite3.Connection) -> None:
    """Bound what a file of a stranger can do through its views, triggers and generated columns.

    No value fills the memory, and what computes without end is stopped by Ctrl-C, which SQLite alone does not look for.
    No function that Python's SQLite has reaches out of the database: `load_extension` is off.
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    # Python looks for signals when it runs code of its own. An exception from there ends SQLite's work as interrupted.
    connection.set_progress_handler(lambda: 0, _OFTEN)


def _up_to_date_copy(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return the connection, or where its file has an older format and may not be written, one to a copy.

    The copy is brought up to date. SQLite keeps it in memory while it is small, else in a file that is gone afterwards.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not 0 < version < FORMAT:
        return connection
    copy = sqlite3.connect("", isolation_level=None)
    guard(copy)
    connection.backup(copy)
    connection.close()
    copy.execute("PRAGMA temp_store = FILE")
    _bring_up_to_date(copy)
    return copy


def _check_ours(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and application != APPLICATION_ID:
        raise SelfguideError(f"{path}: is a database of another program; choose another file with -d")
    if version > FORMAT:
        raise SelfguideError(
            f"{path}: was made by a newer selfguide (format {version}, this one knows {FORMAT}): upgrade selfguide-lite"
        )


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Apply pending migrations and put the views in place, all or nothing; a file already up to date is not touched."""
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = OFF")  # a migration may make a table again; no effect in a transaction
    if connection.execute("PRAGMA user_version").fetchone()[0] < FORMAT:
        with transaction(connection):
            if connection.execute("PRAGMA user_version").fetchone()[0] < FORMAT:  # no other process was quicker
                _migrate(connection)
                refresh_views(connection)  # the old ones may not fit the new tables
    if not views_current(connection):
        with transaction(connection):
            refresh_views(connection)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit all that is done in it, or nothing."""
    try:
        # In here, since a signal that comes while SQLite begins is raised right after it has begun.
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _migrate(connection: sqlite3.Connection) -> None:
    from sqlite_utils import Database

    migrations().apply(Database(connection))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
