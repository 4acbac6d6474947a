"""Output first: what an object takes from an example, which of its texts stays, and what a text says of it."""

import json

from selfguide_lite.fields import Field, Schema, says_all
from selfguide_lite.llm.base import Completion
from selfguide_lite.synthesis.objects import TEXTS, _after_example, best_texts

SCHEMA = Schema(
    (
        Field("kind", "enum", values=("flat", "house", "room")),
        Field("city", "string"),
        Field("rent", "number"),
        Field("size", "integer", optional=True),
        Field("free_from", "date", optional=True),
        Field("places", "string", many=True),
        Field("extras", "enum", many=True, values=("lift", "garden", "parking", "balcony")),
    )
)


def made(**changed: object) -> str:
    values = {
        "kind": "flat", "city": "York", "rent": 1350, "size": 80, "free_from": "2027-03-15",
        "places": ["river", "hill"], "extras": ["lift"],
    }  # fmt: skip
    return json.dumps(values | changed, separators=(",", ":"))


def test_a_text_says_all_of_an_object_or_not() -> None:
    text = "To let in york: 80 sqm by River and hill. 1,350 euros, from 15 March 2027."
    assert says_all(SCHEMA, made(), text)
    assert says_all(SCHEMA, made(kind="house", extras=["garden"], size=None), text)  # choices are said in other words
    for absent in (
        {"city": "Yorkshire"},
        {"rent": 135},
        {"size": 81},
        {"free_from": "2027-03-16"},
        {"places": ["sea"]},
    ):
        assert not says_all(SCHEMA, made(**absent), text), absent
    assert says_all(SCHEMA, made(rent=1), text)


def written(key: str, sample: int, text: str, reason: str = "stop") -> Completion:
    return Completion(key, sample, text, reason, 1, 1, 0.0)  # type: ignore[arg-type]


def test_the_text_that_says_most_stays_and_of_equals_the_first() -> None:
    assert TEXTS == 2
    one = [written("a", 0, "nothing"), written("a", 1, "York, 1350")]
    other = [written("b", 0, "Ulm 7 flats"), written("b", 1, "Ulm 8 flats")]
    cut = [written("c", 0, "York 1350 80", "length"), written("c", 1, "Ulm")]
    drawn = [one[1], other[1], cut[1], cut[0], one[0], other[0]]
    found = list(best_texts(drawn, dict.fromkeys("abc", made()), SCHEMA))
    assert [(each.key, each.sample) for each in found] == [("c", 1), ("a", 1), ("b", 0)]
    failed = written("d", 0, "", "error")
    assert list(best_texts([failed], {"d": made()}, SCHEMA)) == [failed]


def test_an_object_has_an_examples_choices_and_values_where_that_has_some() -> None:
    example = made(kind="room", city="Ulm", size=None, extras=["garden", "lift"])
    assert _after_example(SCHEMA, made(extras=["garden"] * 4), example) == made(
        kind="room", size=None, extras=["garden", "lift"]
    )
    # Where the object lacks one, the text would have the example's all the same.
    assert _after_example(SCHEMA, made(size=None, free_from=None), made(rent=2)) == made()
