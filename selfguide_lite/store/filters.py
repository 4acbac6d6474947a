"""The filters of a task: which there are, how much each rejects, a user's own ones, and their thresholds.

A user's filter is a view named `filter_input_...`, `filter_output_...` or `filter_answer_...`: SQLite lets a view read
and nothing else.
"""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.store.connection import clear_errors, guard
from selfguide_lite.store.filter_views import STAGES, problem_of, quoted_name, shipped_filters, user_filters, view_files
from selfguide_lite.store.store import Store
from selfguide_lite.store.stored_values import clean_term
from selfguide_lite.store.view_building import refresh_views

Stage = Literal["input", "output", "answer"]
# A new filter that takes longer than this over the rows that are there is refused, in seconds.
PATIENCE = 60.0
# The table whose rows a stage's filters list: the answer of an input goes by the input's id.
_TABLES: dict[str, str] = {"input": "input", "output": "output", "answer": "input"}


@dataclass(frozen=True, slots=True)
class FilterRow:
    """A filter and what it does to a task's texts.

    :param own: whether the user made it
    :param rejects: texts that it rejects
    :param alone: texts that it rejects and no other filter does
    :param problem: why the verdicts do not count it, or None
    """

    stage: Stage
    name: str
    own: bool
    rejects: int
    alone: int
    problem: str | None = None


def list_filters(store: Store, task_id: int) -> list[FilterRow]:
    """Return every filter in the order in which the verdicts look at them, inputs first."""
    own = user_filters(store.connection, view_files())
    rows: list[FilterRow] = []
    stages: tuple[Stage, ...] = ("input", "output", "answer")
    for stage in stages:
        shipped = shipped_filters(stage)
        names = {f"filter_{stage}_{name}": name for name in shipped}
        names |= {filter_.view: filter_.name for filter_ in own if filter_.stage == stage and not filter_.problem}
        counts = _counts(store, task_id, stage, list(names))
        rows += [FilterRow(stage, name, name not in shipped, *counts[view]) for view, name in names.items()]
        rows += [
            FilterRow(stage, filter_.name, True, 0, 0, filter_.problem)
            for filter_ in own
            if filter_.stage == stage and filter_.problem
        ]
    return rows


def _counts(store: Store, task_id: int, stage: str, views: list[str]) -> dict[str, tuple[int, int]]:
    rejected = " UNION ALL ".join(
        f'SELECT DISTINCT id, {number} AS filter FROM "{quoted_name(view)}"' for number, view in enumerate(views)
    )
    rows_of_task = {
        "input": "SELECT id FROM input WHERE task_id = ?",
        "output": "SELECT o.id FROM input AS i JOIN output AS o ON o.input_id = i.id WHERE i.task_id = ?",
        # Of answers, those of kept inputs: the others were not asked for.
        "answer": "SELECT id FROM input_verdict WHERE task_id = ? AND reason IS NULL",
    }[stage]
    with clear_errors(store.path, "read"):
        found = store.connection.execute(
            f"SELECT filter, count(*), sum(filters = 1) FROM (SELECT filter, count(*) OVER (PARTITION BY id) AS filters"
            f" FROM ({rejected}) WHERE id IN ({rows_of_task})) GROUP BY filter",
            (task_id,),
        ).fetchall()
    counts = {views[number]: (int(n), int(alone)) for number, n, alone in found}
    return {view: counts.get(view, (0, 0)) for view in views}


def add_filter(store: Store, stage: Stage, name: str, statement: str) -> int:
    """Make a user's statement a filter that the verdicts count from now on, and return how many texts it rejects.

    The statement is tried on the rows that are there before anything is kept.

    :param statement: a SELECT that gives `id` (of a row of `output`, else of `input`) and `detail` (why it is rejected)
    :raises SelfguideError: where the name or the statement is wrong; the file is then as it was
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise SelfguideError(f"filter {name!r}: a name has lower-case letters, digits and _, and begins with a letter")
    if name in shipped_filters(stage):
        raise SelfguideError(f"filter {name!r}: is one of the shipped {stage} filters; choose another name")
    view = f"filter_{stage}_{name}"
    body = statement.strip().rstrip(";").strip()
    if not re.match(r"(?is)(\s*--[^\n]*\n|\s)*(select|with|values)\b", body):
        raise SelfguideError(f"filter {name!r}: the statement must be a SELECT; a filter reads and never writes")
    if store.connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (view,)).fetchone():
        raise SelfguideError(f"filter {name!r}: exists; drop it first with `selfguide filter drop {name}`")
    with _changing(store, name) as connection:
        connection.execute(f"CREATE VIEW {view} AS {body}")
        columns = [column[0] for column in connection.execute(f"SELECT * FROM {view} LIMIT 0").description]
        if [column.lower() for column in columns] != ["id", "detail"]:
            raise SelfguideError(
                f"filter {name!r}: must give the columns id, detail and gives {', '.join(columns)}; "
                "name them, as in: select id, 'why' as detail from ..."
            )
        problem = problem_of(connection, stage, view)
        if problem:
            raise SelfguideError(f"filter {name!r}: {problem.replace('it reads', 'may not read', 1)}")
        table = _TABLES[stage]
        stray = connection.execute(
            f"SELECT id FROM {view} WHERE id IS NULL OR id NOT IN (SELECT id FROM {table}) LIMIT 1"
        ).fetchone()
        if stray:
            raise SelfguideError(f"filter {name!r}: gives the id {stray[0]!r}, which no row of {table} has")
        refresh_views(connection)
        for verdict in ("input_verdict", "output_verdict", "answer_verdict"):
            connection.execute(f"SELECT count(*) FROM {verdict}").fetchone()
        return int(connection.execute(f"SELECT count(DISTINCT id) FROM {view}").fetchone()[0])


def drop_filter(store: Store, name: str, stage: Stage | None = None) -> None:
    """Take a user's filter away.

    :param stage: needed where filters of several stages have that name
    :raises SelfguideError: where there is no such filter, or it is a shipped one (which a setting switches off)
    """
    own = user_filters(store.connection, view_files())
    found = [filter_ for filter_ in own if filter_.name == name and stage in (None, filter_.stage)]
    if not found:
        if any(name in shipped_filters(each) for each in STAGES):
            raise SelfguideError(
                f"filter {name!r}: is shipped and stays; `selfguide set` changes its settings, see `filter list`"
            )
        there = ", ".join(filter_.name for filter_ in own) or "none"
        raise SelfguideError(f"filter {name!r}: no such filter of yours; there are: {there}")
    if len(found) > 1:
        stages = " or ".join(f"--stage {filter_.stage}" for filter_ in found)
        raise SelfguideError(f"filter {name!r}: there are several; say {stages}")
    with _changing(store, name) as connection:
        connection.execute(f'DROP VIEW "{quoted_name(found[0].view)}"')
        refresh_views(connection)


def add_noise_term(store: Store, task_id: int, term: str) -> None:
    """Reject texts that contain a term from now on."""
    if not term:
        raise SelfguideError("noise term: is empty; every text contains it")
    store.change_noise_terms(task_id, add=[clean_term(term)])


def drop_noise_term(store: Store, task_id: int, term: str) -> None:
    """No longer reject texts for a term.

    :raises SelfguideError: where it is not among the task's
    """
    if clean_term(term) not in store.noise_terms(task_id):
        raise SelfguideError(f"noise term {term!r}: is not among this task's; `selfguide filter noise` lists them")
    store.change_noise_terms(task_id, drop=[clean_term(term)])


@contextmanager
def _changing(store: Store, name: str) -> Iterator[sqlite3.Connection]:
    """A transaction that is taken back with one clear line where SQLite objects or the statement takes too long."""
    connection = store.connection
    end = time.monotonic() + PATIENCE
    store._refuse_replaced()
    with clear_errors(store.path, "write to"):
        connection.execute("BEGIN IMMEDIATE")
    connection.set_progress_handler(lambda: int(time.monotonic() > end), 100_000)
    try:
        yield connection
        connection.execute("COMMIT")
    except (sqlite3.Error, sqlite3.Warning) as error:
        message = str(error)
        for stage in STAGES:
            message = message.replace(f"main.filter_{stage}_{name}", name)
        if "interrupted" in message:
            message = f"it takes more than {PATIENCE:.0f} seconds over the rows that are there"
        elif "one statement at a time" in message:
            message = "it holds several statements; a filter is one SELECT"
        raise SelfguideError(f"filter {name!r}: {message}") from error
    finally:
        guard(connection)
        if connection.in_transaction:
            connection.execute("ROLLBACK")
