"""Builds the views: fills the filters into the views that count them, and puts all of them in place in a database."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from selfguide_lite.store.filter_views import (
    INCLUDED_VIEW,
    STAGES,
    UserFilter,
    quoted_name,
    rank_of,
    shipped_filters,
    user_filters,
    view_files,
)

if TYPE_CHECKING:
    import sqlite3

_FILTERS = re.compile(r"/\* (own )?filters: (\w+) \*/")
_EXPRESSION = re.compile(r"/\* (reason|detail): (\w+) \*/")
_ROWWISE = re.compile(r"^SELECT a\.\w+ AS id,\s+(.+) AS detail\nFROM .+\nWHERE (.+);$", re.MULTILINE | re.DOTALL)
_OWN_RANK = 1000  # a user's filters come after all of ours


def wanted_views(connection: "sqlite3.Connection", *, with_own: bool = True) -> dict[str, str]:
    """Return every view of ours as it must stand in this file: the verdicts count the user's filters too."""
    shipped = view_files()
    own = [filter_ for filter_ in user_filters(connection, shipped) if filter_.problem is None] if with_own else []
    return {name: f"CREATE VIEW {name} AS\n{_expanded(sql, shipped, own).rstrip(';')}" for name, sql in shipped.items()}


def _expanded(sql: str, shipped: Mapping[str, str], own: Sequence[UserFilter]) -> str:
    """Return a view's file with its marks filled in, so that a filter is one file and nothing else.

    `/* filters: STAGE */` becomes the rows of all filters of a stage, `/* own filters: STAGE */` those of the user's.
    `/* reason: STAGE or FILTER */` and `/* detail: ... */` become the same as an expression: filters that look at a row
    alone, as the shipped ones of answers do, need no reading of all rows for each. Their rows are called as in the
    filters' files. `/* VIEW, OTHER as NAME */` becomes the text of a view that reads NAME in place of the view OTHER.

    SQLite works a view out anew for everything that reads it, and prepares all that it reads as often again: what
    stands in a WITH under a name is worked out once, but prepared for each that names it. So views name one another as
    seldom as can be.
    """

    def ranked(stage: str) -> list[tuple[int, str]]:
        found = [(rank_of(shipped[f"filter_{stage}_{name}"]), name) for name in shipped_filters(stage)]
        return [(rank, name) for rank, name in found if rank is not None]

    def filters(mark: re.Match[str]) -> str:
        stage = mark[2]
        rows = [
            f"SELECT id, {rank}, '{name}', detail FROM filter_{stage}_{name}"
            for rank, name in ([] if mark[1] else ranked(stage))
        ] + [
            f"SELECT id, {_OWN_RANK + number}, '{_quoted(filter_.name)}', detail FROM \"{quoted_name(filter_.view)}\""
            for number, filter_ in enumerate(own)
            if filter_.stage == stage
        ]
        return "\n    UNION ALL ".join(rows) or "SELECT NULL, NULL, NULL, NULL WHERE 0"

    def expression(mark: re.Match[str]) -> str:
        stage = mark[2]
        views = [f"filter_{stage}_{name}" for _, name in ranked(stage)] if stage in STAGES else [stage]
        cases = []
        for view in views:
            parts = _ROWWISE.search(shipped[view])
            assert parts is not None, f"{view}: looks at more than a row"
            told = parts[1] if mark[1] == "detail" else f"'{'_'.join(view.split('_')[2:])}'"
            cases.append(f"WHEN {parts[2]} THEN {told}")
        return f"CASE {' '.join(cases)} END"

    def view(mark: re.Match[str]) -> str:
        return _body(_expanded(shipped[mark[1]], shipped, own), mark[2])

    return INCLUDED_VIEW.sub(view, _EXPRESSION.sub(expression, _FILTERS.sub(filters, sql)))


def _body(sql: str, renamed: str) -> str:
    """Return a view's text without the comment on top, reading other names, such as `, vote as counted`."""
    lines = sql.rstrip(";").split("\n")
    body = "\n".join(line for line in lines if not line.startswith("--"))
    for before, after in re.findall(r"(\w+) as (\w+)", renamed):
        body = re.sub(rf"\b{before}\b", after, body)
    return body


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def refresh_views(connection: "sqlite3.Connection") -> bool:
    """Make the views what they should be. True where something had to change. Runs in the caller's transaction."""
    if views_current(connection):
        return False
    # Whether a user's filter can be counted is seen on our views as they will be, so these come first.
    for with_own in (False, True):
        present = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
        for name, sql in wanted_views(connection, with_own=with_own).items():
            if present.get(name) != sql:
                connection.execute(f"DROP VIEW IF EXISTS {name}")
                connection.execute(sql)
    return True


def views_current(connection: "sqlite3.Connection") -> bool:
    """Whether the views in this file are what they should be."""
    present = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
    return all(present.get(name) == sql for name, sql in wanted_views(connection).items())
