"""Output first: what an object is planned to have, which of its texts stays, and what a text says of it."""

import json
import random
from collections import Counter

from selfguide_lite.fields import Field, Schema, as_said
from selfguide_lite.llm.base import Completion
from selfguide_lite.synthesis.objects import TEXTS, _planned, best_texts

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


def test_an_object_keeps_what_its_text_says() -> None:
    text = "To let in york: 80 sqm near the River. 1,350 euros, from 15 March 2027."
    assert as_said(SCHEMA, made(), text) == (made(places=["river"]), True)
    text = "To let in York: 80 sqm by river and hill. EUR 1350, from March 2027."
    assert as_said(SCHEMA, made(), text) == (made(free_from=None), True)
    text = "To let in York: eighty sqm by river and hill. 15 March 2027."
    assert as_said(SCHEMA, made(), text) == (made(size=None), False)  # the rent is missing, and stays
    assert as_said(SCHEMA, made(rent=1, size=None), "york, 15 March 2027; river, hill")[1]


def written(key: str, sample: int, text: str, reason: str = "stop") -> Completion:
    return Completion(key, sample, text, reason, 1, 1, 0.0)  # type: ignore[arg-type]


def test_the_text_that_says_most_stays_and_of_equals_the_first() -> None:
    one = [written("a", number, text) for number, text in enumerate(("York", "York, 1350", "nothing", "York 1350"))]
    other = [written("b", number, "Ulm 7 flats, 1350 a month") for number in range(TEXTS)]
    cut = [written("c", 0, "York 1350 80", "length"), *(written("c", number, "Ulm") for number in range(1, TEXTS))]
    assert len(one) == TEXTS
    drawn = [one[3], other[0], one[0], cut[1], cut[0], *one[1:3], *other[1:], cut[3], cut[2]]
    found = list(best_texts(drawn, dict.fromkeys("abc", made()), SCHEMA))
    assert [(each.key, each.sample) for each in found] == [("a", 1), ("b", 0), ("c", 1)]
    failed = written("d", 0, "", "error")
    assert list(best_texts([failed], {"d": made()}, SCHEMA)) == [failed]


def test_choices_are_drawn_evenly_and_optional_values_are_missing_as_often_as_in_the_examples() -> None:
    examples = [
        made(),
        made(size=None),
        made(size=None, extras=[]),
        made(size=None, extras=["lift", "garden", "parking"]),
    ]
    rng = random.Random(1)
    found = [json.loads(_planned(SCHEMA, made(extras=["garden"] * 4), examples, rng)) for _ in range(2000)]
    kinds, extras = Counter(one["kind"] for one in found), Counter(item for one in found for item in one["extras"])
    assert set(kinds) == {"flat", "house", "room"} and min(kinds.values()) > 0.9 * max(kinds.values())
    assert set(extras) == {"lift", "garden", "parking", "balcony"} and min(extras.values()) > 0.8 * max(extras.values())
    assert all(len(set(one["extras"])) == len(one["extras"]) <= 3 for one in found)
    assert 0.7 < sum(one["size"] is None for one in found) / len(found) < 0.8
    assert all(one["city"] == "York" and one["free_from"] == "2027-03-15" for one in found)
    assert json.loads(_planned(SCHEMA, made(size=None), [made()], rng))["size"] is None  # what is not there stays away
