"""Which views there are: those in the folder `views/`, one `.sql` file each, and the filters among them.

Also finds the user's own filters in a database, and says why one cannot be counted. Every view is plain SQL: the file
opens in `sqlite3`, `sqlite-utils` and Datasette with none of our code.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from sqlite3 import SQLITE_OK, SQLITE_READ, SQLITE_SELECT, Error
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

VIEWS = Path(__file__).parent / "views"
STAGES = ("input", "output", "answer")
_RANK = re.compile(r"^-- rank: (\d+)$", re.MULTILINE)
# In a view's file: here stands the text of another view, reading other names.
INCLUDED_VIEW = re.compile(r"/\* (\w+)((?:, \w+ as \w+)*) \*/")


@cache
def view_files() -> Mapping[str, str]:
    """Return the shipped views: name and SQL, comment on top included."""
    return MappingProxyType(
        {path.stem: path.read_text(encoding="utf-8").strip() for path in sorted(VIEWS.glob("*.sql"))}
    )


@dataclass(frozen=True, slots=True)
class UserFilter:
    """A view of the user's that is named as a filter.

    :param problem: why the verdicts cannot count it, or None
    """

    stage: str
    view: str
    sql: str
    problem: str | None

    @property
    def name(self) -> str:
        """The filter's short name: the reason that the verdicts give."""
        return self.view.removeprefix(f"filter_{self.stage}_")


def shipped_filters(stage: str) -> list[str]:
    """Return the names of the shipped filters of a stage, in the order in which the verdicts look at them.

    A filter's rank stands in its file. One without a rank is looked at last, by the verdict itself: it reads what the
    others left.
    """
    prefix = f"filter_{stage}_"
    found = {name.removeprefix(prefix): rank_of(sql) for name, sql in view_files().items() if name.startswith(prefix)}
    return sorted(found, key=lambda name: (found[name] is None, found[name]))


def rank_of(sql: str) -> int | None:
    """Return the place of a filter among those of its stage, as its file says it, or None."""
    found = _RANK.search(sql)
    return int(found[1]) if found else None


def user_filters(connection: "sqlite3.Connection", shipped: Iterable[str]) -> list[UserFilter]:
    """Return the user's own filter views, also those that were made with plain SQL."""
    views = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY name").fetchall()
    return [
        UserFilter(stage, view, sql, problem_of(connection, stage, view))
        for stage in STAGES
        for view, sql in views
        if view.startswith(f"filter_{stage}_") and view not in shipped
    ]


def problem_of(connection: "sqlite3.Connection", stage: str, view: str) -> str | None:
    """Return why the verdicts cannot count a filter view, or None."""
    statement = f'SELECT id, detail FROM "{quoted_name(view)}"'
    try:
        if not _counting(stage) & _reads(connection, statement):
            return None
        circular = sorted(
            name
            for name in _reads(connection, statement, view)
            if ({name} | _reads(connection, f'SELECT 1 FROM "{quoted_name(name)}"')) & _counting(stage)
        )
    except Error as error:
        return str(error)
    return f"it reads {', '.join(circular)}, which is made from the {stage} filters"


@cache
def _counting(stage: str) -> frozenset[str]:
    """Return the views into whose text a stage's filters are written: what reads one of them is made from them."""
    marks = re.compile(rf"/\* (?:(?:own )?filters|reason): {stage} \*/")
    found = {name for name, sql in view_files().items() if marks.search(sql)}
    while more := {
        name
        for name, sql in view_files().items()
        if name not in found and any(mark[1] in found for mark in INCLUDED_VIEW.finditer(sql))
    }:
        found |= more
    return frozenset(found)


def _reads(connection: "sqlite3.Connection", statement: str, by: str | None = None) -> set[str]:
    """Return the tables and views that a statement reads, those behind its views too, as SQLite itself sees them.

    :param by: only what this view reads directly
    """
    found: set[str] = set()

    def note(action: int, name: str | None, _column: str | None, _database: str | None, view: str | None) -> int:
        if action == SQLITE_READ and name and by in (None, view):
            found.add(name)
        if action in (SQLITE_READ, SQLITE_SELECT) and view and by is None:
            found.add(view)
        return SQLITE_OK

    connection.set_authorizer(note)
    try:
        connection.execute(f"EXPLAIN {statement}")
    finally:
        connection.set_authorizer(None)
    return found


def quoted_name(text: str) -> str:
    """Return a view's name as it stands between double quotes in SQL."""
    return text.replace('"', '""')
