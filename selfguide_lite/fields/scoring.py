"""How good an object is, field by field: each value is found, missing or wrong. Lists are compared as sets.

F1 counts values: of those that were given and those that are right, twice the ones in common. A field that is null
gives no value, and a right null that is answered with null counts as nothing; a row that has no value on either side is
right.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from selfguide_lite.core.matching import normalize
from selfguide_lite.fields.model import Schema
from selfguide_lite.fields.values import fitting_values


@dataclass(frozen=True, slots=True)
class FieldCount:
    """Values of one field, or of all.

    :param right: given and right
    :param given: in the answer
    :param wanted: in the right answer
    """

    right: int = 0
    given: int = 0
    wanted: int = 0

    def __add__(self, other: "FieldCount") -> "FieldCount":
        return FieldCount(self.right + other.right, self.given + other.given, self.wanted + other.wanted)

    @property
    def wrong(self) -> bool:
        """Whether anything is missing or too much."""
        return not self.right == self.given == self.wanted

    @property
    def f1(self) -> float:
        """F1 of the values; 1 where there is none on either side."""
        return 2 * self.right / (self.given + self.wanted) if self.given + self.wanted else 1.0


def counts(schema: Schema, text: str, reference: str) -> dict[str, FieldCount]:
    """Count the values of every field of an answer against those of the right one.

    :param text: an answer, be it free text with an object in it
    """
    answer, right = fitting_values(schema, text), fitting_values(schema, reference)
    return {one.name: _count(answer.get(one.name), right.get(one.name)) for one in schema.fields}


def _count(answer: Any, right: Any) -> FieldCount:
    given, wanted = _items(answer), _items(right)
    return FieldCount(len(given & wanted), len(given), len(wanted))


def _items(value: Any) -> frozenset[Any]:
    """Return a value as the set of what is compared: texts without case, punctuation and further blanks."""
    if value is None:
        return frozenset()
    values = value if isinstance(value, list) else [value]
    return frozenset((normalize(one) or one) if isinstance(one, str) else (type(one) is bool, one) for one in values)


def total(by_field: Mapping[str, FieldCount]) -> FieldCount:
    """Return the counts of all fields together."""
    return sum(by_field.values(), FieldCount())


def f1(schema: Schema, text: str, references: Iterable[str]) -> float:
    """Return the F1 of an answer's values, the best over several right answers."""
    return max((total(counts(schema, text, reference)).f1 for reference in references), default=0.0)


def best_counts(schema: Schema, text: str, references: Iterable[str]) -> dict[str, FieldCount]:
    """Return the counts by field against the right answer that an answer comes nearest to."""
    return max(
        (counts(schema, text, reference) for reference in references), key=lambda found: total(found).f1, default={}
    )
