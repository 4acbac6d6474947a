"""Are the values of an object in a text? What a program can tell where nobody knows the right answer."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from selfguide_lite.core.matching import normalize
from selfguide_lite.fields.model import Field, Schema
from selfguide_lite.fields.values import found_object, value_of, values_of

_JUDGED = ("string", "integer", "number", "date")  # an enum's value and a switch are said in other words
_NUMBER = re.compile(r"(?P<whole>\d{1,3}(?:[ ,.'’]\d{3}(?!\d))+|\d+)(?:[.,](?P<rest>\d+))?")
_MARKS = re.compile(r"[ ,.'’]")
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_LONGEST_DATE = 4  # words
_AROUND = " .,;:!?()[]\"'"


def judged(field: Field) -> bool:
    """Tell whether a field's values can be looked for in a text: texts, numbers and dates can."""
    return field.type in _JUDGED


def is_in(field: Field, value: Any, text: str) -> bool:
    """Tell whether a value is in a text.

    A text is there as whole words, without case and punctuation; a number in figures, with or without marks between
    thousands, or as a word up to twelve; a date in full. The number 1 is taken to be there: of one thing the number is
    rarely written.

    :param value: of a field that is `judged`, in the form of `values_of`
    """
    if field.type == "date":
        return value in set(_dates(text))
    if field.type in ("integer", "number"):
        return value == 1 or Decimal(value) in set(_numbers(text))
    return f" {normalize(value)} " in f" {normalize(text)} "


def judged_values(schema: Schema, answer: str) -> Iterator[tuple[Field, Any]]:
    """Yield each value of an object that can be looked for, an item of a list at a time, with its field."""
    values = values_of(schema, found_object(answer) or {})
    for one in schema.fields:
        if judged(one) and values[one.name] is not None:
            yield from ((one, item) for item in (values[one.name] if one.many else [values[one.name]]))


def says_all(schema: Schema, answer: str, text: str) -> bool:
    """Tell whether all values of an object that can be looked for are in a text.

    :param answer: an object of the schema
    """
    return all(is_in(field, value, text) for field, value in judged_values(schema, answer))


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
