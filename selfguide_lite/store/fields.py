"""Reads and writes the fields of a task's schema, and the view that shows them as columns."""

import json
import re
import sqlite3
from dataclasses import dataclass

from selfguide_lite.fields import Field, Schema
from selfguide_lite.store.filter_views import quoted_name
from selfguide_lite.store.store_file import StoreFile

_COLUMNS = 'name, type, many, optional, description, "values", verbatim, max_length, max_items'


def add_fields(connection: sqlite3.Connection, task_id: int, name: str, schema: Schema | None) -> None:
    """Insert the fields of a task's schema, and make the view that has a column for each.

    :param name: the task's
    """
    if schema is None:
        return
    connection.executemany(
        f"INSERT INTO field(task_id, number, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                task_id,
                number,
                one.name,
                one.type,
                one.many,
                one.optional,
                one.description,
                json.dumps(one.values, ensure_ascii=False),
                one.verbatim,
                one.max_length,
                one.max_items,
            )
            for number, one in enumerate(schema.fields)
        ],
    )
    view = quoted_name(fields_view(task_id, name))
    taken = {"input_id", "input"}
    columns = []
    for one in schema.fields:
        column = one.name
        while column.lower() in taken:
            column += "_"
        taken.add(column.lower())
        value = one.name.replace("'", "''")
        columns.append(
            f"(SELECT e.value FROM json_each(d.output) AS e WHERE e.key = '{value}') AS \"{quoted_name(column)}\""
        )
    connection.execute(f'DROP VIEW IF EXISTS "{view}"')
    connection.execute(
        f'CREATE VIEW "{view}" AS SELECT d.input_id, d.input, {", ".join(columns)} '
        f"FROM dataset AS d WHERE d.task_id = {int(task_id)} AND json_valid(d.output)"
    )


def fields_view(task_id: int, name: str) -> str:
    """Return the name of the view that shows a task's pairs with a column for each field."""
    plain = re.sub(r"\W+", "_", name).strip("_")
    return f"fields_{plain or task_id}"


def read_fields(connection: sqlite3.Connection, task_id: int) -> Schema | None:
    """Return a task's schema; None where its answers are no objects."""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM field WHERE task_id = ? ORDER BY number", (task_id,)).fetchall()
    if not rows:
        return None
    return Schema(
        tuple(
            Field(
                name, kind, bool(many), bool(optional), text, tuple(json.loads(values)), bool(verbatim), longest, most
            )
            for name, kind, many, optional, text, values, verbatim, longest, most in rows
        )
    )


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """What the answers hold in one field.

    :param field: None for the whole object
    :param empty_share: of answers that have nothing there
    :param different: values that differ
    :param agreement: mean share of the value that won the vote
    """

    field: str | None
    answers: int
    empty_share: float
    different: int | None
    agreement: float | None


def field_summary(store: StoreFile, task_id: int) -> list[FieldSummary]:
    """Return what a task's answers hold, by field, the whole object last; nothing where they are no objects."""
    rows = store._rows(
        "SELECT field, answers, empty_share, different, agreement FROM field_summary WHERE task_id = ?"
        " ORDER BY number IS NULL, number",
        task_id,
    )
    return [FieldSummary(*row) for row in rows]
