"""How many pairs are right as far as a program can tell: all values that can be looked for are in the text."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from selfguide_lite.fields import Schema
from selfguide_lite.fields.grounding import is_in, judged, judged_values
from selfguide_lite.store import Pair

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
    """Look for the values of every pair in its text; a null, an enum's value and a switch are not judged."""
    found = {one.name: 0 for one in schema.fields if judged(one)}
    given = dict(found)
    right = 0
    for pair in pairs:
        missing = False
        for field, value in judged_values(schema, pair.output):
            there = is_in(field, value, pair.input)
            given[field.name] += 1
            found[field.name] += there
            missing |= not there
        right += not missing
    return Grounding(len(pairs), right, found, given)


def shown(pairs: Sequence[Pair], seed: int) -> list[list[str]]:
    """Return a few pairs at random, as input and output."""
    chosen = random.Random(f"pairs/{seed}").sample(list(pairs), min(_SHOWN, len(pairs)))
    return [[one.input, one.output] for one in chosen]
