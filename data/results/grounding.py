"""Are the values of a pair in its text? What a program can tell of a pair whose right answer nobody knows."""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from selfguide_lite.core.matching import normalize
from selfguide_lite.fields import Field, Schema, found_object, values_of
from selfguide_lite.fields.values import value_of
from selfguide_lite.store import Pair

_JUDGED = ("string", "integer", "number", "date")  # an enum's value and a switch are said in other words
_NUMBER = re.compile(r"(?P<whole>\d{1,3}(?:[ ,.'’]\d{3}(?!\d))+|\d+)(?:[.,](?P<rest>\d+))?")
_MARKS = re.compile(r"[ ,.'’]")
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_LONGEST_DATE = 4  # words
_AROUND = " .,;:!?()[]\"'"
_SHOWN = 8  # pairs that are kept with a record, for people to read


@dataclass(frozen=True, slots=True)
class Grounding:
    """How far the values of a dataset are in its texts.

    :param right: pairs all of whose judged values are in their text
    :param found: judged values that are in their text, by field
    :param given: judged values, by field
    """

    pairs: int
    right: int
    found: dict[str, int]
    given: dict[str, int]


def grounding(schema: Schema, pairs: Sequence[Pair]) -> Grounding:
    """Look for the values of every pair in its text.

    Judged are texts, numbers and dates; a null, an enum's value and a switch are not. A text is there as whole words,
    without case and punctuation; a number in figures, with or without marks between thousands, or as a word up to
    twelve; a date in full. The number 1 is taken to be there: of one thing the number is rarely written.
    """
    found = {one.name: 0 for one in schema.fields if one.type in _JUDGED}
    given = dict(found)
    right = 0
    for pair in pairs:
        missing = False
        for field, value in _values(schema, pair.output):
            there = is_in(field, value, pair.input)
            given[field.name] += 1
            found[field.name] += there
            missing |= not there
        right += not missing
    return Grounding(len(pairs), right, found, given)


def _values(schema: Schema, text: str) -> Iterator[tuple[Field, Any]]:
    values = values_of(schema, found_object(text) or {})
    for one in schema.fields:
        if one.type in _JUDGED and values[one.name] is not None:
            items = values[one.name] if one.many else [values[one.name]]
            yield from ((one, item) for item in items)


def is_in(field: Field, value: Any, text: str) -> bool:
    """Tell whether a value is in a text."""
    if field.type == "date":
        return value in set(_dates(text))
    if field.type in ("integer", "number"):
        return value == 1 or Decimal(value) in set(_numbers(text))
    return f" {normalize(value)} " in f" {normalize(text)} "


def _dates(text: str) -> Iterator[str]:
    day = Field("", "date")
    words = text.split()
    for start in range(len(words)):
        for end in range(start + 1, min(start + _LONGEST_DATE, len(words)) + 1):
            try:
                yield value_of(day, " ".join(words[start:end]).strip(_AROUND))
            except ValueError:
                continue


def _numbers(text: str) -> Iterator[Decimal]:
    for written in _NUMBER.finditer(text):
        yield Decimal(f"{_MARKS.sub('', written['whole'])}.{written['rest'] or 0}")
    for word in re.findall(r"[a-z]+", text.lower()):
        if word in _WORDS:
            yield Decimal(_WORDS.index(word) + 1)


def shown(pairs: Sequence[Pair], seed: int) -> list[list[str]]:
    """Return a few pairs at random, as input and output."""
    chosen = random.Random(f"pairs/{seed}").sample(list(pairs), min(_SHOWN, len(pairs)))
    return [[one.input, one.output] for one in chosen]
