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

from selfguide_lite.core.errors import SelfguideError

if TYPE_CHECKING:
    import sqlite3

STAGES = ("input", "output", "answer")
UNRANKED = 900  # a filter whose file has no rank comes after those that have one
_RANK = re.compile(r"^-- rank: (\d+)$", re.MULTILINE)
# In a view's file: here stands the text of another view, reading other names.
INCLUDED_VIEW = re.compile(r"/\* (\w+)((?:, \w+ as \w+)*) \*/")
_EXPRESSION_OF = re.compile(r"/\* (?:reason|detail): (\w+) \*/")
# An entry point of this group names a package whose folder has filters, one `.sql` file each.
VIEW_GROUP = "selfguide_lite.store.views"
# The folders whose `.sql` files are views. A program that uses this package may append one with filters of its own.
# A database keeps the views of such a folder: opened without it, they count as the user's own filters.
VIEW_FOLDERS: list[Path] = [Path(__file__).parent / "views"]


def view_folders() -> tuple[Path, ...]:
    """Return the folders whose `.sql` files are views: ours first, then those that were appended or installed.

    :raises SelfguideError: where an installed package names a folder that cannot be found
    """
    return (*VIEW_FOLDERS, *_installed())


@cache
def _installed() -> tuple[Path, ...]:
    from importlib.metadata import entry_points  # takes 40 ms
    from importlib.util import find_spec

    found = []
    for point in sorted(entry_points(group=VIEW_GROUP), key=lambda point: point.name):
        try:
            spec = find_spec(point.value)
        except (ImportError, ValueError):
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise SelfguideError(f"filters {point.name!r}: {point.value} is no package that can be found")
        found += [Path(place) for place in spec.submodule_search_locations]
    return tuple(found)


def forget_folders() -> None:
    """Look at the folders and their files again: a program that changed what is installed gets the new ones."""
    for known in (_installed, _read, _ranked):
        known.cache_clear()


def view_files() -> Mapping[str, str]:
    """Return the shipped views: name and SQL, comment on top included.

    :raises SelfguideError: where a file of another folder than ours is not a filter, or takes a place that is taken
    """
    return _read(view_folders())


@cache
def _read(folders: tuple[Path, ...]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.sql")):
            sql = path.read_text(encoding="utf-8").strip()
            if folder != folders[0]:
                _check_added(path, sql, found)
            found[path.stem] = sql
    return MappingProxyType(found)


def _check_added(path: Path, sql: str, found: Mapping[str, str]) -> None:
    """Refuse a file of an added folder that is no filter, or that takes the name or the rank of another view."""
    stage = next((stage for stage in STAGES if re.fullmatch(rf"filter_{stage}_[a-z][a-z0-9_]*", path.stem)), None)
    if stage is None:
        raise SelfguideError(f"{path}: a filter's file is named filter_STAGE_NAME.sql; stages: {', '.join(STAGES)}")
    if path.stem in found:
        raise SelfguideError(f"{path}: there is a filter of that name already; choose another name")
    rank = rank_of(sql)
    taken = [name for name, other in found.items() if name.startswith(f"filter_{stage}_") and rank_of(other) == rank]
    if rank is not None and (taken or not 0 < rank < UNRANKED):
        problem = f"is that of {taken[0]}" if taken else f"is not between 1 and {UNRANKED - 1}"
        raise SelfguideError(f"{path}: rank {rank} {problem}; choose another number")


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

    Last come those that read what the others left: the verdict itself looks at them.
    """
    ranked = [name for _, name in ranked_filters(stage)]
    prefix = f"filter_{stage}_"
    names = [name.removeprefix(prefix) for name in view_files() if name.startswith(prefix)]
    return ranked + [name for name in names if name not in ranked]


def ranked_filters(stage: str) -> list[tuple[int, str]]:
    """Return rank and name of the filters that a verdict counts side by side, lowest rank first.

    A filter's rank stands in its file; those without one follow in alphabetical order. A filter that another view
    names in its text is not among them: that view counts it.
    """
    return list(_ranked(stage, view_folders()))


@cache
def _ranked(stage: str, folders: tuple[Path, ...]) -> tuple[tuple[int, str], ...]:
    prefix = f"filter_{stage}_"
    files = _read(folders)
    counted = {
        mark[1] for sql in files.values() for mark in (*INCLUDED_VIEW.finditer(sql), *_EXPRESSION_OF.finditer(sql))
    }
    names = sorted(name for name in files if name.startswith(prefix) and name not in counted)
    unranked = [name for name in names if rank_of(files[name]) is None]
    ranks = {name: UNRANKED + place for place, name in enumerate(unranked)}
    ranks |= {name: rank for name in names if (rank := rank_of(files[name])) is not None}
    return tuple(sorted((rank, name.removeprefix(prefix)) for name, rank in ranks.items()))


def added_filters() -> list[tuple[str, str]]:
    """Return stage and view of the filters that come from added folders."""
    return [
        (path.stem.split("_", 2)[1], path.stem)
        for folder in view_folders()[1:]
        for path in sorted(folder.glob("*.sql"))
    ]


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


def _counting(stage: str) -> frozenset[str]:
    """Return the views into whose text a stage's filters are written: what reads one of them is made from them."""
    marks = re.compile(rf"/\* (?:filters|filters of all rows|reason): {stage} \*/")
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
    for name, _, view in columns_read(connection, statement):
        if name and by in (None, view):
            found.add(name)
        if view and by is None:
            found.add(view)
    return found


def columns_read(connection: "sqlite3.Connection", statement: str) -> set[tuple[str, str, str | None]]:
    """Return what a statement reads, as SQLite itself sees it: table or view, column, and the view that reads it.

    Both names are empty where a view reads without naming a column. A common table expression counts as a view.

    :raises sqlite3.Error: where the statement is wrong
    """
    found: set[tuple[str, str, str | None]] = set()

    def note(action: int, name: str | None, column: str | None, _database: str | None, view: str | None) -> int:
        if action == SQLITE_READ:
            found.add((name or "", column or "", view))
        elif action == SQLITE_SELECT:
            found.add(("", "", view))
        return SQLITE_OK

    connection.set_authorizer(note)
    try:
        connection.execute(f"EXPLAIN {statement}")
    finally:
        connection.set_authorizer(None)
    return found


def quoted_name(text: str) -> str:
    """Return a view's name as it is between double quotes in SQL."""
    return text.replace('"', '""')
