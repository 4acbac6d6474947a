"""Changes what a task is, and keeps every version of it. Answers to other prompts are put aside, never lost."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from selfguide_lite.store.store import Store
from selfguide_lite.store.triggers import GROUP_NEW_ANSWERS
from selfguide_lite.task import Task

_OUTPUT = (
    "input_id, run_id, sample, method, text, length, label, answer_length, weight, logprob, finish_reason,"
    " prompt_tokens, completion_tokens, created_at"
)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a task, with the newest verdict over it.

    :param number: from 1
    :param changed: what was changed to it from the one before
    :param before: score of the best prompting; None where nothing was measured
    """

    number: int
    created_at: str
    changed: str
    sentence: str | None
    over: str | None
    before: float | None
    after: float | None
    low: float | None
    high: float | None


def versions(store: Store, task_id: int) -> list[Version]:
    """Return the versions of a task, oldest first."""
    rows = store._rows(
        "SELECT n.number, n.created_at, n.changed, v.sentence, v.over, v.before, v.after, v.low, v.high"
        " FROM task_version AS n LEFT JOIN verdict AS v ON v.id = (SELECT max(w.id) FROM verdict AS w"
        " WHERE w.task_id = n.task_id AND w.version = n.number) WHERE n.task_id = ? ORDER BY n.number",
        task_id,
    )
    return [Version(*row) for row in rows]


def definition(task: Task) -> str:
    """Return what a version of a task is, as JSON: all that its file says but settings and files."""
    kept = task.model_dump(
        mode="json", include={"kind", "instruction", "labels", "label_meanings", "label_shares", "examples"}
    )
    if task.output_schema is not None:
        kept["schema"] = task.output_schema.short_form()
    return json.dumps(kept, sort_keys=True, ensure_ascii=False)


def asks_alike(one: Task, other: Task) -> bool:
    """Whether two versions ask for an answer in the very same words."""
    return (one.question, one.examples, one.labels) == (other.question, other.examples, other.labels)


def change_definition(store: Store, task_id: int, task: Task, changed: str, renamed: Mapping[str, str]) -> int:
    """Make a task what its file says now, and return the number of this version.

    Where answers are asked for in other words, those that are there are put aside and the ones that were made with
    these words come back; where labels were renamed alone, the answers stay under the new names.

    :param changed: what changed, in a line
    :param renamed: labels' old names with their new ones
    """
    before = store.task(task_id)
    same_words = asks_alike(before, task)
    with store._writing() as connection:
        number, key = connection.execute("SELECT version, prompt_key FROM task WHERE id = ?", (task_id,)).fetchone()
        connection.execute(
            "UPDATE task_version SET definition = ? WHERE task_id = ? AND number = ? AND definition IS NULL",
            (definition(before), task_id, number),
        )
        number += 1
        known = key if same_words else _key(store, task_id, task)
        new_key = f"version {number}" if known is None else known
        for old, new in renamed.items():
            for sql in _RENAMES:
                connection.execute(sql, (new, old, task_id))
        if not same_words and not only_renamed(before, task, renamed):
            connection.execute(
                f"INSERT INTO output_shelf(prompt_key, raw, {_OUTPUT})"
                f" SELECT ?, (SELECT r.text FROM raw_text AS r WHERE r.output_id = output.id), {_OUTPUT} FROM output"
                " WHERE input_id IN (SELECT id FROM input WHERE task_id = ?)",
                (key, task_id),
            )
            of_task = "input_id IN (SELECT id FROM input WHERE task_id = ?)"
            connection.execute(f"DELETE FROM output WHERE {of_task}", (task_id,))
            back = f"prompt_key = ? AND {of_task}"
            connection.execute(
                f"INSERT INTO output({_OUTPUT}, answer_id) SELECT {_OUTPUT}, 0 FROM output_shelf"
                f" WHERE {back} ORDER BY id",
                (new_key, task_id),
            )
            connection.execute(
                "INSERT INTO raw_text(output_id, text) SELECT o.id, s.raw FROM output_shelf AS s JOIN output AS o"
                " ON o.input_id = s.input_id AND o.method = s.method AND o.sample = s.sample"
                " WHERE s.raw IS NOT NULL AND s.prompt_key = ? AND s.input_id IN"
                " (SELECT id FROM input WHERE task_id = ?)",
                (new_key, task_id),
            )
            connection.execute(f"DELETE FROM output_shelf WHERE {back}", (new_key, task_id))
            connection.execute(
                f"{GROUP_NEW_ANSWERS} AND {of_task}",
                (task_id,),
            )
        connection.execute("DELETE FROM example WHERE task_id = ?", (task_id,))
        connection.execute("DELETE FROM label WHERE task_id = ?", (task_id,))
        connection.execute("DELETE FROM field WHERE task_id = ?", (task_id,))
        store._add_definition(task_id, task)
        connection.execute(
            "UPDATE task SET instruction = ?, version = ?, prompt_key = ? WHERE id = ?",
            (task.instruction, number, new_key, task_id),
        )
        connection.execute(
            "INSERT INTO task_version(task_id, number, definition, prompt_key, changed) VALUES (?, ?, ?, ?, ?)",
            (task_id, number, definition(task), new_key, changed),
        )
    store.forget_labels()
    return int(number)


# new name, old name, task
_RENAMES = (
    "UPDATE input SET label = ?1 WHERE label = ?2 AND task_id = ?3",
    "UPDATE input SET answer = ?1 WHERE answer = ?2 AND task_id = ?3",
    "UPDATE review SET answer = ?1 WHERE answer = ?2 AND task_id = ?3",
    "UPDATE output SET label = ?1, answer_length = length(?1)"
    " WHERE label = ?2 AND input_id IN (SELECT id FROM input WHERE task_id = ?3)",
)


def only_renamed(before: Task, now: Task, renamed: Mapping[str, str]) -> bool:
    """Whether nothing but names of labels differs, so that an answer then is the same answer now."""
    if not renamed:
        return False
    examples = tuple((one.input, renamed.get(one.output, one.output)) for one in before.examples)
    return (
        before.instruction == now.instruction
        and tuple(renamed.get(label, label) for label in before.labels) == now.labels
        and examples == tuple((one.input, one.output) for one in now.examples)
    )


def _key(store: Store, task_id: int, task: Task) -> str | None:
    """Return the key of an older version that asks in the same words, or None."""
    rows = store._rows(
        "SELECT definition, prompt_key FROM task_version WHERE task_id = ? ORDER BY number DESC", task_id
    )
    wanted = _words(definition(task))
    for text, key in rows:
        if text is not None and _words(text) == wanted:
            return str(key)
    return None


def _words(definition: str) -> tuple[object, ...]:
    """Return what of a version's JSON stands in the prompts for answers."""
    kept = json.loads(definition)
    return kept["instruction"], kept["labels"], kept["examples"], kept.get("schema")
