"""Extraction: an answer is an object with the fields of the task's schema, scored by its right values."""

from collections.abc import Sequence
from typing import Any, Self

from selfguide_lite.core.settings import Settings
from selfguide_lite.fields import Schema, f1, parsed
from selfguide_lite.kinds.base import TaskKind


class Kind(TaskKind):
    """An object with named fields.

    :param schema: of one task; None: of no task yet
    """

    summary = "an object with named fields"
    metric = "field F1"
    structured = True
    starter = """\
instruction: >-
  Note what the guest of the hotel books.

# Each field with its type: string, integer, number, boolean, date, enum (with values), or a list of one of these. An
# optional field may be null. verbatim: its value must occur in the input.
schema:
  guest: {type: string, verbatim: true}
  room: {type: enum, values: [single, double, suite], optional: true}
  arrival: date, optional
  wishes: list of string

# About three, as different from one another as the inputs you expect: their lengths set what is kept.
examples:
  - input: I am Ann Lund. A double room from 3 May 2027, please, with a bed for a child.
    output: {guest: Ann Lund, room: double, arrival: 2027-05-03, wishes: [bed for a child]}
  - input: We need a quiet room and tea. Tom Brand
    output: {guest: Tom Brand, room: null, arrival: null, wishes: [quiet room, tea]}
  - input: Ines Cole here, a single, on 12 May 2027.
    output: {guest: Ines Cole, room: single, arrival: 2027-05-12, wishes: []}
"""

    def __init__(self, schema: Schema | None = None):
        self._schema = schema

    def of(self, schema: Schema | None) -> Self:
        """Return the kind with the schema of one task."""
        return type(self)(schema)

    def check(self, labels: Sequence[str], answers: Sequence[str]) -> None:
        """Refuse labels, and require a schema that the examples fit."""
        if labels:
            raise ValueError("labels: an extraction task has none; give its fields as schema")
        if self._schema is None:
            raise ValueError("schema: an extraction task needs one: each field's name with its type")
        for number, answer in enumerate(answers):
            if parsed(self._schema, answer) != answer:
                raise ValueError(f"examples.{number}.output: must be a mapping with the fields of the schema")

    def parse(self, text: str, labels: Sequence[str]) -> str | None:
        """Return the object in a text in the one form in which objects are written, or None."""
        return None if self._schema is None else parsed(self._schema, text)

    def score(self, text: str, references: Sequence[str], labels: Sequence[str]) -> float:
        """Return the F1 of an answer's values."""
        return 0.0 if self._schema is None else f1(self._schema, text, references)

    def accepts(self, answer: str, labels: Sequence[str]) -> bool:
        """Tell whether an answer is an object of the schema."""
        return self.parse(answer, labels) is not None

    def defaults(self, settings: Settings) -> dict[str, Any]:
        """Return the usual defaults: objects are made up first.

        Where they are not, several answers are drawn, since their fields vote.
        """
        direction = settings.direction or ("output-first" if settings.method in (None, "asked") else "input-first")
        usual = "sample" if direction == "input-first" else "asked"
        drawn = settings if settings.method is not None else settings.model_copy(update={"method": usual})
        return super().defaults(drawn) | {"direction": direction, "output_length_filter": False}
