"""A person's own inputs and rows on their way from a table into the store.

Inputs without answers are answered like written ones. Rows with answers go into the dataset as they are. Neither may
be in the evaluation set. Knows nothing of models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.core.progress import Listener
from selfguide_lite.fields import Schema, checked
from selfguide_lite.store import OwnInput, Store
from selfguide_lite.store.own import add_own_inputs, evaluation_file, own_inputs
from selfguide_lite.tabular import INPUT_COLUMNS, OUTPUT_COLUMNS, Table, read_table
from selfguide_lite.tabular.base import Row
from selfguide_lite.task import Task, fold
from selfguide_lite.task.eval_rows import EvalRow, load_eval

_NAMED = 8  # places that a message names


@dataclass(frozen=True, slots=True)
class Taken:
    """What happened to inputs or rows that were to be taken in.

    :param new: that are in the store now
    :param known: that were there before, or came twice
    :param refused: places of those that are in the evaluation set
    :param contradictions: two places each whose inputs are equal and whose answers differ: the first counts
    """

    new: int
    known: int
    refused: tuple[str, ...] = ()
    contradictions: tuple[tuple[str, str], ...] = ()

    @property
    def notes(self) -> list[str]:
        """What a person should read of it, a line each."""
        told = []
        if self.refused:
            told.append(f"left out, since they are in the evaluation set: {_named(self.refused)}")
        if self.contradictions:
            pairs = _named([f"{one} and {other}" for one, other in self.contradictions])
            told.append(f"the same input with different answers, of which the first counts: {pairs}")
        return told


def _named(places: Sequence[str]) -> str:
    more = f", and {len(places) - _NAMED:,} more" if len(places) > _NAMED else ""
    return "; ".join(places[:_NAMED]) + more


def inputs_of(table: Table, column: str | None = None) -> list[OwnInput]:
    """Return a table's inputs.

    :param column: None: `input`, else `text`, else the only column
    :raises SelfguideError: naming file, row and column
    """
    chosen = table.column(column, INPUT_COLUMNS, "--column")
    return _filled(table, [OwnInput(table.text(row, chosen), table.place(row)) for row in table.read()])


def rows_of(table: Table, task: Task, given: str | None = None, answer: str | None = None) -> list[OwnInput]:
    """Return a table's rows, each an input with its right answer.

    :param given: column of the inputs; None: `input`, else `text`
    :param answer: column of the answers; None: `output`, else `label`
    :raises SelfguideError: naming file, row and column; also where an answer is not one of the task's labels, or no
        object of its schema
    """
    of_input = table.column(given, INPUT_COLUMNS, "--input-column")
    of_output = table.column(answer, OUTPUT_COLUMNS, "--output-column")
    labels = {fold(label): label for label in task.labels}
    rows = []
    for row in table.read():
        text = table.text(row, of_input)
        output = _object(table, row, of_output, task) if task.answer_schema else table.text(row, of_output)
        if task.labels:
            label = labels.get(fold(output))
            if label is None:
                listed = ", ".join(short(name, 40) for name in task.labels[:10])
                raise SelfguideError(
                    f"{table.place(row, of_output)}: {short(output)!r} is not one of the labels ({listed})"
                )
            output = label
        rows.append(OwnInput(text, table.place(row), output))
    return _filled(table, rows)


def _object(table: Table, row: Row, column: str, task: Task) -> str:
    """Return the object in a cell: written as JSON, or given as an object by a JSON file."""
    given = row.values.get(column)
    try:
        return checked(cast(Schema, task.answer_schema), given if isinstance(given, dict) else table.text(row, column))
    except ValueError as error:
        raise SelfguideError(f"{table.place(row, column)}: {error}") from error


def _filled(table: Table, found: list[OwnInput]) -> list[OwnInput]:
    if not found:
        raise SelfguideError(f"{table.name}: holds no {table.unit} with a text")
    return found


def take_in(
    store: Store, task_id: int, own: Sequence[OwnInput], what: str, rows: Sequence[EvalRow] | None = None
) -> Taken:
    """Add a person's inputs or rows to a task.

    :param what: the file that they are from
    :param rows: the evaluation rows; None: those of the set that the task's file named, where that is still there
    """
    held = {fold(row.input) for row in (_known_rows(store, task_id) if rows is None else rows)}
    refused = tuple(one.source for one in own if fold(one.text) in held)
    fit = [one for one in own if fold(one.text) not in held]
    answers: dict[str, OwnInput] = {}
    contradictions = []
    coming = {one.source for one in fit if one.answer is not None}  # what was there before was told when it came
    for one in [*own_inputs(store, task_id), *fit]:
        if one.answer is None:
            continue
        first = answers.setdefault(fold(one.text), one)
        if first.answer != one.answer and one.source in coming:
            contradictions.append((first.source, one.source))
    new = add_own_inputs(store, task_id, fit, what)
    return Taken(new, len(fit) - new, refused, tuple(dict.fromkeys(contradictions)))


def is_held_out(store: Store, task_id: int, text: str) -> bool:
    """Whether an input is in the evaluation set that the task's file named, where that is still there."""
    return fold(text) in {fold(row.input) for row in _known_rows(store, task_id)}


def _known_rows(store: Store, task_id: int) -> list[EvalRow]:
    named = evaluation_file(store, task_id)
    return load_eval(Path(named)) if named is not None and Path(named).is_file() else []


@dataclass(frozen=True, slots=True)
class OwnData:
    """What a task's file names of a person's own, read and checked, with the names of the files."""

    parts: tuple[tuple[str, tuple[OwnInput, ...]], ...] = ()

    @classmethod
    def of(cls, task: Task) -> "OwnData":
        """Read the files that a task names as `inputs` and `train`.

        :raises SelfguideError: naming file, row and column
        """
        parts = []
        if task.train is not None:
            table = read_table(task.train.file)
            parts.append((table.name, tuple(rows_of(table, task, task.train.input, task.train.output))))
        if task.inputs is not None:
            table = read_table(task.inputs.file)
            parts.append((table.name, tuple(inputs_of(table, task.inputs.column))))
        return cls(tuple(parts))

    def take_in(self, store: Store, task_id: int, rows: Sequence[EvalRow], listener: Listener) -> None:
        """Bring it into the store, what is there already left as it is, and tell the result."""
        for name, own in self.parts:
            taken = take_in(store, task_id, own, name, rows)
            if taken.new:
                what = "rows with answers" if own[0].answer is not None else "inputs"
                listener.note(f"{name}: {taken.new:,} {what} of your own")
            for note in taken.notes:
                listener.note(note)
