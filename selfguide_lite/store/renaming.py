"""The migration that gives columns and settings their standard names, also in what a user's views say of them."""

import json
import re
import sqlite3
from collections.abc import Mapping
from types import MappingProxyType

from selfguide_lite.store.filter_views import columns_read, quoted_name, view_files
from selfguide_lite.store.stored_values import settings_json

_COLUMNS: Mapping[str, str] = MappingProxyType({"good": "seed_inputs", "flawed": "pool_inputs"})
_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "fruitless_rounds": "patience_rounds",
        "min_share": "min_vote_share",
        "accumulation": "gradient_accumulation_steps",
        "max_length": "max_seq_length",
        "checkpointing": "gradient_checkpointing",
    }
)
_NEW_NAMES: Mapping[str, str] = MappingProxyType({**_COLUMNS, **_SETTINGS})
# Columns, by the table or view that has them, whose name changes.
_RENAMED = frozenset(
    {(place, name) for place in ("input", "provenance") for name in _COLUMNS} | {("filter_setting", "min_share")}
)
# Columns that hold the names of settings: as a value, or as keys of JSON.
_HOLD_NAMES = frozenset(
    {("setting", "key"), ("provenance", "input_settings"), ("provenance", "output_settings")}
    | {(table, "settings") for table in ("task", "run", "adapter", "evaluation")}
)
# A comment, a text, a quoted name or a word of SQL; a doubled quote stands for itself.
_TOKEN = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|\w+""", re.DOTALL)
_KEY = re.compile(r"""'(\$\.)?("?)(\w+)\2'""")  # 'key', or a path of JSON such as '$.key'


def rename_2026_11_24(connection: sqlite3.Connection) -> None:
    """Rename the columns of `input`, and the settings in every table. Runs in the caller's transaction.

    SQLite renames no column while a view is broken, or breaks by it. So all views are taken away and put back, those
    of the user with the new names in them; ours are built again after every migration. A view that is broken already
    stays as it is.
    """
    _rename_keys(connection)
    views = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'").fetchall())
    # Of triggers only those that name a view have to go; SQLite renames in the others.
    triggers = {
        name: _renewed(sql, set(_COLUMNS) if table == "input" else set(), literals=False)
        for name, table, sql in connection.execute(
            "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'"
        )
        if any(re.search(rf"(?<!\w){re.escape(view)}(?!\w)", sql, re.IGNORECASE) for view in views)
    }
    renewed = _with_new_names(connection, views)
    for kind, names in (("TRIGGER", triggers), ("VIEW", views)):
        for name in names:
            connection.execute(f'DROP {kind} "{quoted_name(name)}"')
    for old, new in _COLUMNS.items():
        connection.execute(f"ALTER TABLE input RENAME COLUMN {old} TO {new}")
    for sql in (*renewed.values(), *triggers.values()):
        connection.execute(sql)


def _rename_keys(connection: sqlite3.Connection) -> None:
    for old, new in _SETTINGS.items():
        connection.execute("UPDATE OR IGNORE setting SET key = ? WHERE key = ?", (new, old))
        connection.execute("DELETE FROM setting WHERE key = ?", (old,))  # both names were there: the new one counts
    for table in ("task", "run", "adapter", "evaluation"):
        for row, text in connection.execute(f"SELECT id, settings FROM {table}").fetchall():
            try:
                given = json.loads(text)
            except ValueError:
                continue  # edited by hand: nothing of ours can be read from it
            if isinstance(given, dict) and not given.keys().isdisjoint(_SETTINGS):
                renamed = {_SETTINGS.get(key, key): value for key, value in given.items()}
                connection.execute(
                    f"UPDATE OR IGNORE {table} SET settings = ? WHERE id = ?", (settings_json(renamed), row)
                )


def _with_new_names(connection: sqlite3.Connection, views: Mapping[str, str]) -> dict[str, str]:
    """Return the views' SQL with the new names of what they read.

    A column of a view that gets a new name in this way has it for the views that read that one, too.
    """
    own = {view: sql for view, sql in views.items() if view not in view_files()}
    reads = {view: _reads_of(connection, view, views) for view in own}
    renamed, found = set(_RENAMED), dict(views)
    changed = True
    while changed:
        changed = False
        for view, sql in own.items():
            names = {column for place, column in reads[view] if (place, column) in renamed}
            found[view] = _renewed(sql, names, literals=not reads[view].isdisjoint(_HOLD_NAMES))
            more = {(view.lower(), name) for name in names & _columns_of(connection, view)} - renamed
            renamed |= more
            changed |= bool(more)
    return found


def _reads_of(connection: sqlite3.Connection, view: str, views: Mapping[str, str]) -> set[tuple[str, str]]:
    """Return table and column, in lower case, of all that a view's own text reads; nothing where it is broken."""
    others = {name.lower() for name in views} - {view.lower()}
    try:
        found = columns_read(connection, f'SELECT * FROM "{quoted_name(view)}"')
    except sqlite3.Error:
        return set()
    return {(place.lower(), column.lower()) for place, column, by in found if by and by.lower() not in others}


def _columns_of(connection: sqlite3.Connection, view: str) -> set[str]:
    try:
        described = connection.execute(f'SELECT * FROM "{quoted_name(view)}" LIMIT 0').description
    except sqlite3.Error:
        return set()
    return {str(column[0]).lower() for column in described}


def _renewed(sql: str, names: set[str], *, literals: bool) -> str:
    """Return SQL in which columns have their new names.

    :param names: the columns that were renamed, in lower case
    :param literals: whether a text that is the name of a setting, or a path to it in JSON, is renamed too
    """

    def token(match: re.Match[str]) -> str:
        text = match[0]
        if text[0] == "'":
            key = _KEY.fullmatch(text) if literals else None
            return text if key is None or key[3] not in _SETTINGS else text.replace(key[3], _SETTINGS[key[3]])
        name = text.strip('"`[]').lower()
        return text if text.startswith(("--", "/*")) or name not in names else _NEW_NAMES[name]

    return _TOKEN.sub(token, sql)
