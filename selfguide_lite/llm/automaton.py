"""A schema as an automaton over bytes: which byte may come next, in objects of one fixed form.

The form is JSON without blanks, the keys in the schema's order. A state is a part's number and a state inside the part:
literal text, then a field's value, in turns. The automaton knows nothing of tokens and models.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from selfguide_lite.fields import Field, Schema
from selfguide_lite.llm.text_automaton import Text
from selfguide_lite.llm.value_automata import Boolean, Choice, Date, Items, Literal, Local, Number, Optional, Part

State = tuple[int, Local]

_DIGITS, _DECIMALS = 15, 6


def part_of(field: Field) -> Part:
    """Return the automaton of a field's value."""
    item: Part
    match field.type:
        case "string":
            item = Text(field.max_length or 1)
        case "integer":
            item = Number(_DIGITS, 0)
        case "number":
            item = Number(_DIGITS, _DECIMALS)
        case "boolean":
            item = Boolean()
        case "date":
            item = Date()
        case "enum":
            item = Choice([_json(value) for value in field.values])
    value: Part = Items(item, field.max_items or 1) if field.many else item
    return Optional(value) if field.optional else value


def _json(value: str) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class InText:
    """A place inside a string.

    :param mode: of `text_automaton`: what of a character is still to come
    :param left: characters that may still come
    :param closed: the state after the closing quote
    """

    mode: int
    left: int
    closed: State


class Automaton:
    """The objects of a schema, byte by byte.

    :param schema: with a largest size for every string and list
    :param lead: blanks that stand before the object
    """

    def __init__(self, schema: Schema, lead: str = ""):
        self.parts: list[Part] = []
        for number, field in enumerate(schema.fields):
            self.parts += [
                Literal((b"," if number else lead.encode() + b"{") + _json(field.name) + b":"),
                part_of(field),
            ]
        self.parts.append(Literal(b"}"))
        self.start: State = (0, self.parts[0].start)
        self.end: State = (len(self.parts), None)

    def step(self, state: State, byte: int) -> State | None:
        """Return the state after a byte; None where the byte may not stand there."""
        place, local = state
        while place < len(self.parts):
            part = self.parts[place]
            after = part.step(local, byte)
            if after is not None:
                return self._settled(place, after)
            if not part.accepting(local):
                return None
            place += 1
            local = self.parts[place].start if place < len(self.parts) else None
        return None

    def _settled(self, place: int, local: Local) -> State:
        """Return a state that is not at the end of a part which nothing can be added to."""
        while place < len(self.parts) and self.parts[place].finished(local):
            place += 1
            local = self.parts[place].start if place < len(self.parts) else None
        return place, local

    def walk(self, state: State, data: bytes) -> State | None:
        """Return the state after several bytes; None where they may not stand there."""
        found: State | None = state
        for byte in data:
            if found is None:
                return None
            found = self.step(found, byte)
        return found

    def choices(self, state: State) -> Sequence[int]:
        """Return the bytes that may come next."""
        place, local = state
        found: list[int] = []
        while place < len(self.parts):
            part = self.parts[place]
            found += part.choices(local)
            if not part.accepting(local):
                break
            place += 1
            local = self.parts[place].start if place < len(self.parts) else None
        return found

    def forced(self, state: State) -> tuple[bytes, State]:
        """Return the text that must come next, and the state after it."""
        data = bytearray()
        while self.in_text(state) is None and len(following := self.choices(state)) == 1:
            after = self.step(state, following[0])
            assert after is not None
            data.append(following[0])
            state = after
        return bytes(data), state

    def in_text(self, state: State) -> InText | None:
        """Return where in a string a state is, or None."""
        place, local = state
        if place >= len(self.parts):
            return None
        found = self.parts[place].in_text(local)
        return None if found is None else InText(found[0], found[1], self._settled(place, found[2]))

    def closing(self, state: State) -> list[bytes]:
        """Return a short text that makes the object whole, by parts."""
        place, local = state
        if place >= len(self.parts):
            return []
        return [self.parts[place].closing(local), *(part.closing(part.start) for part in self.parts[place + 1 :])]
