"""Schemas in both forms, values in one form, scores by field; everything wrong with them has one clear line."""

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_schemas import NAMES, random_schema

from selfguide_lite.check import check_file
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.resources import resource
from selfguide_lite.fields import Schema, checked, counts, f1, parsed, read_schema, sized
from selfguide_lite.llm.counter import Counter
from selfguide_lite.task import Task, load_task
from selfguide_lite.task.eval_rows import eval_rows

TASK = """\
name: adverts
kind: extraction
instruction: Read the advert.
schema:
  price: {type: number, description: euros a month}
  rooms: integer, optional
  kind: {type: enum, values: [flat, house]}
  free: {type: date, optional: true}
  extras: list of string
examples:
  - input: A flat for 1,250.50, with a garden.
    output: {price: "1,250.50", kind: Flat, extras: [garden]}
  - input: House, 5 rooms, 2000 euros, from 1 March 2027.
    output: '{"price": 2000.0, "rooms": 5, "kind": "house", "free": "1 March 2027", "extras": []}'
"""
SCHEMA = sized(read_schema({"a": "string", "n": "number, optional", "d": "date, optional", "l": "list of string"}), [])


def load(folder: Path, text: str) -> Task:
    path = folder / "task.yaml"
    path.write_text(text)
    return load_task(path)


def test_a_task_with_a_schema_has_its_examples_in_one_form(tmp_path: Path) -> None:
    task = load(tmp_path, TASK)
    assert [one.output for one in task.examples] == [
        '{"price":1250.5,"rooms":null,"kind":"flat","free":null,"extras":["garden"]}',
        '{"price":2000,"rooms":5,"kind":"house","free":"2027-03-01","extras":[]}',
    ]
    assert task.answer_schema is not None
    assert [(one.name, one.max_length, one.max_items) for one in task.answer_schema.fields][-1] == ("extras", 40, 5)
    assert "- price: number (euros a month)" in task.question and "- kind: one of flat, house" in task.question
    settings = task.settings.changed({"field_max_length": 7, "field_max_items": 2})
    shorter = task.model_copy(update={"settings": settings}).answer_schema
    assert shorter is not None and (shorter.fields[-1].max_length, shorter.fields[-1].max_items) == (7, 2)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("rooms: integer, optional", "rooms: integr", "line 6, column 3: schema.rooms: there is no type 'integr'"),
        ("rooms: integer, optional", "rooms: {type: integer, optonal: true}", "schema.rooms: there is no 'optonal'"),
        ("rooms: integer, optional", "rooms: {type: integer, values: [1]}", "schema.rooms: values are for an enum"),
        ("values: [flat, house]", "values: []", "schema.kind: an enum has values"),
        ("values: [flat, house]", "values: [flat, flat]", "schema.kind: a value is given twice"),
        ("optional: true}\n", "verbatim: true}\n", "schema.free: verbatim is for texts and numbers"),
        ("  extras: list of string\n", "  extras: list of list of string\n", "extras: there is no type 'list of"),
        ("  extras: list of string\n", "  extras: {type: list of string, max_items: 0}\n", "max_items must be a whole"),
        ("rooms: integer, optional", "'': integer", "schema: a field's name has 1 to 100 characters"),
        ("kind: Flat,", "kind: villa,", "examples.0.output.kind: 'villa' is not one of flat, house"),
        ("[garden]", "garden", "examples.0.output.extras: must be a list"),
        ('"1,250.50", ', "cheap, ", "examples.0.output.price: 'cheap' is no number"),
        ('price: "1,250.50", ', "", "examples.0.output.price: is missing, and the field is not optional"),
        ('"rooms": 5', '"rooms": 9223372036854775808', "examples.1.output.rooms: is an integer beyond 2^63"),
        ('"rooms": 5', '"rooms": 5.5', "examples.1.output.rooms: 5.5 is no whole number"),
        ('"rooms": 5', '"beds": 5', "examples.1.output.beds: is no field; fields: price, rooms"),
        ("1 March 2027\"", '31.2.2027"', "examples.1.output.free: '31.2.2027' is no date"),
        ("kind: extraction", "kind: generation", "schema: a generation task has none"),
        ("schema:", "labels: [a, b]\nschema:", "labels: an extraction task has none"),
        ('"free":', '"wrong":', "examples.1.output.wrong: is no field"),
        (TASK[TASK.index("schema:") : TASK.index("examples:")], "", "schema: a task of the kind extraction needs one"),
        ('{price: "1,250.50", kind: Flat, extras: [garden]}', "[1]", "examples.0.output: must be an object with the"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_schema_is_named(tmp_path: Path, before: str, after: str, message: str) -> None:
    assert before in TASK
    with pytest.raises(SelfguideError) as caught:
        load(tmp_path, TASK.replace(before, after))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_check_says_what_a_run_would_refuse_or_drop(tmp_path: Path) -> None:
    """That the smallest object does not fit, and that an example breaks its own `verbatim`."""
    path = tmp_path / "task.yaml"
    path.write_text(
        TASK.replace("{type: number,", "{type: number, verbatim: true,") + "settings: {output_max_tokens: 20}\n"
    )
    counter = Counter(resource("data/tiny_vicuna/tiny-vicuna.gguf"))
    found = {(one.level, one.field): one.message for one in check_file(path, counter=counter)[1]}
    assert "more than the 20 that output_max_tokens allows" in found["error", "schema"]
    assert ("warning", "examples.0.output.price") not in found  # 1,250.50 and 1250.5 are one number
    path.write_text(path.read_text().replace("A flat for 1,250.50", "A flat for 1,300"))
    found = {(one.level, one.field): one.message for one in check_file(path)[1]}
    assert found["warning", "examples.0.output.price"] == "verbatim, and '1250.5' is not in the input"


def test_a_json_schema_file_is_read(tmp_path: Path) -> None:
    properties = {
        "price": {"type": "number", "description": "euros"},
        "rooms": {"type": ["integer", "null"]},
        "kind": {"enum": ["flat", "house", None]},
        "free": {"type": "string", "format": "date"},
        "extras": {"type": "array", "items": {"type": "string", "maxLength": 9}, "maxItems": 2},
    }
    whole = {"type": "object", "properties": properties, "required": ["price", "kind", "extras"]}
    (tmp_path / "s.json").write_text(json.dumps(whole))
    text = TASK[: TASK.index("schema:")] + "schema: s.json\n" + TASK[TASK.index("examples:") :]
    schema = load(tmp_path, text).output_schema
    assert schema is not None and [one.optional for one in schema.fields] == [False, True, True, True, False]
    assert (schema.fields[4].many, schema.fields[4].max_length, schema.fields[4].max_items) == (True, 9, 2)
    assert read_schema(schema.json_schema()) == schema and read_schema(schema.short_form()) == schema
    properties["price"] = {"$ref": "#/properties/price"}  # a cycle
    (tmp_path / "s.json").write_text(json.dumps(whole))
    with pytest.raises(SelfguideError, match=r"price: '\$ref' is not supported here.*write the field out"):
        load(tmp_path, text)
    (tmp_path / "s.json").write_text("{")
    with pytest.raises(SelfguideError, match=r"s\.json: cannot read this schema: not valid JSON"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        (
            {"type": "object", "properties": {"a": {"type": "object", "properties": {}}}},
            "'properties' is not supported",
        ),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}, "a: 'pattern' is not supported"),
        ({"type": "object", "properties": {"a": {"type": ["string", "integer"]}}}, "a: has 2 types"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, "a: an array has items"),
        ({"type": "object", "properties": {"a": {"enum": [1]}}}, "a: each value of an enum is a text"),
        ({"type": "object", "properties": {"a": {"type": "string", "format": "email"}}}, "format 'email' is not"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "oneOf": []}, "'oneOf' is not supported here"),
        ({"type": "object", "properties": {}, "required": []}, "has no fields"),
        ({f"f{n}": "string" for n in range(201)}, "has 201 fields; 200 are the most"),
        ({"a": {"type": "enum", "values": [str(n) for n in range(10_001)]}}, "has 10,001 values; 10,000 are the most"),
        ([], "a mapping of field names to types"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(given_: object, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        read_schema(given_)


@given(st.integers(0, 2**32))
def test_schemas_are_the_same_in_every_form(seed: int) -> None:
    schema = random_schema(Random(seed))
    assert read_schema(schema.short_form()) == schema
    by_json = read_schema(schema.json_schema())
    assert [(one.name, one.type, one.many, one.optional, one.values) for one in by_json.fields] == [
        (one.name, one.type, one.many, one.optional, one.values) for one in schema.fields
    ]
    assert "\n".join(one.name for one in schema.fields if one.name in NAMES)


VALUES = st.one_of(st.none(), st.text(), st.floats(), st.integers(), st.lists(st.text()))


@given(st.dictionaries(st.sampled_from("andlx"), VALUES))
def test_any_object_is_written_in_one_form_or_refused(values: dict[str, object]) -> None:
    try:
        text = checked(SCHEMA, values)
    except ValueError as error:
        assert str(error)
        return
    assert parsed(SCHEMA, text) == text and parsed(SCHEMA, f"Sure! {text} Anything else?") == text


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ('{"a":"Anna Berg","n":5,"l":["x","y"]}', '{"a":"anna  berg.","n":5.0,"l":["y","x"]}', 1.0),
        ('So: {"a": "A", "n": "1,250", "d": "3 May 2027", "l": []}', '{"a":"A","n":1250,"d":"2027-05-03","l":[]}', 1.0),
        ('{"a":"Anna","n":"many","l":[]}', '{"a":"Anna","n":5,"l":[]}', 2 / 3),
        ('{"a":"Anna","n":5,"l":["x"]}', '{"a":"Bo","l":["x","y"]}', 2 / 6),
        ("I do not know", '{"a":"Anna","l":[]}', 0.0),
    ],
)  # fmt: skip
def test_values_are_compared_by_type(answer: str, right: str, score: float) -> None:
    assert f1(SCHEMA, answer, [right]) == pytest.approx(score)
    assert f1(SCHEMA, answer, ['{"a":"other","l":["q"]}', right]) == pytest.approx(max(score, 0.0))


def test_counts_by_field() -> None:
    found = counts(SCHEMA, '{"a":"x","l":["p","q"]}', '{"a":"x","n":1,"l":["q","r","s"]}')
    assert {name: (one.right, one.given, one.wanted) for name, one in found.items()} == {
        "a": (1, 1, 1), "n": (0, 0, 1), "d": (0, 0, 0), "l": (1, 2, 3),
    }  # fmt: skip
    assert found["l"].f1 == pytest.approx(0.4) and found["d"].f1 == 1.0


def test_evaluation_rows_are_objects_of_the_schema(tmp_path: Path) -> None:
    task = load(tmp_path, TASK)
    good = {
        "input": "x",
        "output": [{"price": 1, "kind": "flat", "extras": []}, {"price": 2, "kind": "flat", "extras": []}],
    }
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps(good) + "\n")
    assert len(eval_rows(task, path)[0].references) == 2
    path.write_text(json.dumps(good) + '\n{"input": "y", "output": {"price": "none", "kind": "flat", "extras": []}}\n')
    with pytest.raises(SelfguideError, match=r"e\.jsonl: line 2: output: price: 'none' is no number"):
        eval_rows(task, path)
    assert isinstance(task.output_schema, Schema)
