"""Builds the views: fills the filters into the views that count them, and puts all of them in place in a database."""

import logging
import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.store.filter_views import (
    INCLUDED_VIEW,
    STAGES,
    UserFilter,
    added_filters,
    problem_of,
    quoted_name,
    ranked_filters,
    user_filters,
    view_files,
)

if TYPE_CHECKING:
    import sqlite3

_FILTERS = re.compile(r"/\* filters( of all rows)?: (\w+) \*/")
_EXPRESSION = re.compile(r"/\* (reason|detail): (\w+) \*/")
_ONE_ROW = re.compile(
    r"SELECT a\.\w+ AS id,\s+(?P<detail>.+) AS detail\nFROM (?P<read>\w+) AS a\n"
    r"(?P<joins>(?:CROSS JOIN [^\n]+\n)*)WHERE (?P<condition>.+)",
    re.DOTALL,
)
# What a verdict of answers has for each row, under the names that the filters' files use.
_AT_HAND = frozenset(
    ("CROSS JOIN filter_setting AS s ON s.task_id = a.task_id", "CROSS JOIN input AS i ON i.id = a.input_id")
)
_MORE_THAN_ONE_ROW = re.compile(
    r"--|\b(?:SELECT|GROUP BY|ORDER BY|HAVING|LIMIT|UNION|INTERSECT|EXCEPT|OVER|WINDOW)\b"
    r"|\b(?:avg|count|group_concat|max|min|sum|total)\s*\(",
    re.IGNORECASE,
)
_LOG = logging.getLogger(__name__)
_OWN_RANK = 1000  # a user's filters come after all of ours


def wanted_views(connection: "sqlite3.Connection", *, with_own: bool = True) -> dict[str, str]:
    """Return every view of ours as it must stand in this file: the verdicts count the user's filters too."""
    shipped = view_files()
    own = [filter_ for filter_ in user_filters(connection, shipped) if filter_.problem is None] if with_own else []
    return {name: f"CREATE VIEW {name} AS\n{_expanded(sql, shipped, own).rstrip(';')}" for name, sql in shipped.items()}


def _expanded(sql: str, shipped: Mapping[str, str], own: Sequence[UserFilter]) -> str:
    """Return a view's file with its marks filled in, so that a filter is one file and nothing else.

    `/* filters: STAGE */` becomes the rows of all filters of a stage. Filters that look at one row at a time, as the
    shipped ones of answers do, need no reading of all rows for each: `/* reason: STAGE or FILTER */` and
    `/* detail: ... */` become the same as an expression, and `/* filters of all rows: STAGE */` becomes the rows of
    the other filters, whose first for a row is called `f`. `/* VIEW, OTHER as NAME */` becomes the text of a view that
    reads NAME in place of the view OTHER.

    SQLite works a view out again for everything that reads it, and prepares all that it reads as often again: what
    has a name in a WITH is computed once, but prepared for each that names it. So views name one another as
    rarely as possible.
    """

    def filters(mark: re.Match[str]) -> str:
        stage = mark[2]
        rows = [
            f"SELECT id, {rank}, '{name}', detail FROM filter_{stage}_{name}"
            for rank, name in ranked_filters(stage)
            if not mark[1] or _one_row(stage, shipped[f"filter_{stage}_{name}"]) is None
        ] + [
            f"SELECT id, {_OWN_RANK + number}, '{_quoted(filter_.name)}', detail FROM \"{quoted_name(filter_.view)}\""
            for number, filter_ in enumerate(own)
            if filter_.stage == stage
        ]
        return "\n    UNION ALL ".join(rows) or "SELECT NULL, NULL, NULL, NULL WHERE 0"

    def expression(mark: re.Match[str]) -> str:
        if mark[2] not in STAGES:
            return f"CASE {_when(mark[1], mark[2].split('_', 2)[2], _ONE_ROW.search(shipped[mark[2]]))} END"
        stage, cases = mark[2], []
        for rank, name in ranked_filters(stage):
            parts = _one_row(stage, shipped[f"filter_{stage}_{name}"])
            cases.append(f"WHEN f.rank = {rank} THEN f.{mark[1]}" if parts is None else _when(mark[1], name, parts))
        return f"CASE {' '.join(cases)} END"

    def view(mark: re.Match[str]) -> str:
        return _body(_expanded(shipped[mark[1]], shipped, own), mark[2])

    return INCLUDED_VIEW.sub(view, _EXPRESSION.sub(expression, _FILTERS.sub(filters, sql)))


def _one_row(stage: str, sql: str) -> re.Match[str] | None:
    """Return the parts of a filter that looks at one row at a time, by what its stage has, or None."""
    parts = _ONE_ROW.fullmatch(_body(sql))
    if parts is None or parts["read"] != stage or not set(parts["joins"].splitlines()) <= _AT_HAND:
        return None
    return None if _MORE_THAN_ONE_ROW.search(parts["detail"] + parts["condition"]) else parts


def _when(what: str, name: str, parts: re.Match[str] | None) -> str:
    """Return the branch of a CASE in which a filter rejects a row and gives its reason or detail."""
    assert parts is not None, f"{name}: looks at more than a row"
    return f"WHEN {parts['condition'].rstrip(';')} THEN " + (parts["detail"] if what == "detail" else f"'{name}'")


def _body(sql: str, renamed: str = "") -> str:
    """Return a view's text without the comment on top, reading other names, such as `, vote as counted`."""
    lines = sql.rstrip(";").split("\n")
    body = "\n".join(line for line in lines if not line.startswith("--"))
    for before, after in re.findall(r"(\w+) as (\w+)", renamed):
        body = re.sub(rf"\b{before}\b", after, body)
    return body


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def refresh_views(connection: "sqlite3.Connection") -> bool:
    """Make the views what they should be. True where something had to change. Runs in the caller's transaction.

    :raises SelfguideError: where a filter of an added folder cannot be counted
    """
    if views_current(connection):
        return False
    _make_way(connection)
    # Whether a user's filter can be counted is seen on our views as they will be, so these come first.
    for with_own in (False, True):
        present = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
        for name, sql in wanted_views(connection, with_own=with_own).items():
            if present.get(name) != sql:
                connection.execute(f"DROP VIEW IF EXISTS {name}")
                connection.execute(sql)
    for stage, view in added_filters():
        if problem := problem_of(connection, stage, view):
            raise SelfguideError(f"{view}.sql: cannot be counted: {problem}")
    return True


def _make_way(connection: "sqlite3.Connection") -> None:
    """Give a user's filter whose name a filter of ours has taken since another name, under which it still counts.

    A view of ours begins with its file's comment on a line of its own; it may be that of an earlier version.
    """
    ours = wanted_views(connection, with_own=False)
    present = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
    for name in sorted(present.keys() & ours.keys()):
        known = present[name] == ours[name] or present[name].startswith(f"CREATE VIEW {name} AS\n--")
        if known or not name.startswith(tuple(f"filter_{stage}_" for stage in STAGES)):
            continue
        free = next(new for number in count(1) if (new := f"{name}_own{number}") not in present)
        body = re.sub(r"""^CREATE VIEW\s+("[^"]*"|'[^']*'|`[^`]*`|\[[^]]*\]|\w+)""", "", present[name], count=1)
        connection.execute(f"DROP VIEW {name}")
        connection.execute(f"CREATE VIEW {free}{body}")
        _LOG.warning("your filter %s is named %s from now on: a shipped or installed filter has its name", name, free)


def views_current(connection: "sqlite3.Connection") -> bool:
    """Whether the views in this file are what they should be."""
    present = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
    return all(present.get(name) == sql for name, sql in wanted_views(connection).items())
