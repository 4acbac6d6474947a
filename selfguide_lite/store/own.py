"""Reads and writes inputs of a person's own: added without an answer, or given with the right one."""

from collections.abc import Sequence

from selfguide_lite.core.settings import Settings
from selfguide_lite.store.rows import OwnInput
from selfguide_lite.store.similar import sketch
from selfguide_lite.store.store import Store
from selfguide_lite.store.stored_values import clean
from selfguide_lite.task import fold


def own_inputs(store: Store, task_id: int) -> list[OwnInput]:
    """Return a task's own inputs in the order in which they came."""
    rows = store._rows(
        "SELECT text, ifnull(source, ''), answer FROM input WHERE task_id = ? AND origin <> 'generated' ORDER BY id",
        task_id,
    )
    return [OwnInput(*row) for row in rows]


def add_own_inputs(store: Store, task_id: int, new: Sequence[OwnInput], what: str) -> int:
    """Commit inputs of a person's own, all of them or none, and return how many were new.

    An added input that is there already, and a given row that is there with the same answer, are not added again.

    :param what: what they are from; the run that notes their coming ends with it
    """
    known = {(fold(one.text), one.answer) for one in own_inputs(store, task_id)}
    texts = {folded for folded, _ in known}
    fresh: list[tuple[OwnInput, str, str]] = []
    for one in new:
        text = clean(one.text)
        folded = fold(text)
        if (folded, one.answer) in known or (one.answer is None and folded in texts):
            continue
        known.add((folded, one.answer))
        texts.add(folded)
        fresh.append((one, text, folded))
    if not fresh:
        return 0
    run_id = store.start_run(task_id, "add", None, Settings(), 0, None)
    with store._writing() as connection:
        for one, text, folded in fresh:
            cursor = connection.execute(
                "INSERT INTO input(task_id, run_id, text, length, folded, origin, source, answer, sketched)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
                (task_id, run_id, text, len(text), folded, one.origin, clean(one.source), one.answer),
            )
            sketch(connection, task_id, int(cursor.lastrowid or 0), folded)
    store.finish_run(run_id, f"{len(fresh)} from {what}")
    return len(fresh)


def given_count(store: Store, task_id: int) -> int:
    """Return how many rows were given with their answers."""
    return int(store._value("SELECT count(*) FROM input WHERE task_id = ? AND origin = 'given'", task_id))


def evaluation_file(store: Store, task_id: int) -> str | None:
    """Return the evaluation set that the task's file named, or None."""
    found: str | None = store._value("SELECT eval FROM task WHERE id = ?", task_id)
    return found
