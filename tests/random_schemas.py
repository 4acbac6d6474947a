"""Random schemas of all types, sizes and names, and a check of objects that shares no code with the package."""

import json
from datetime import date
from random import Random
from typing import Any

from selfguide_lite.fields import Schema, read_schema

TYPES = ("string", "integer", "number", "boolean", "date", "enum")
NAMES = (
    "price",
    "größe",
    "名前",
    "a b",
    'say "no"',
    "back\\slash",
    "<|im_end|>",
    "x.y",
    "émoji 🏡",
    "null",
    "{",
    "nested:",
)
VALUES = ("red", "rot", "röt", "r", "red wine", 'a "b"', "<|im_start|>", "🍷", "10", "true", "\\n", "ニャ")


def random_schema(random: Random) -> Schema:
    """Return a schema of one to seven fields with every size given."""
    form: dict[str, Any] = {}
    for name in random.sample(NAMES, random.randint(1, 7)):
        kind = random.choice(TYPES)
        field: dict[str, Any] = {"type": kind, "optional": random.random() < 0.4}
        if kind == "enum":
            field["values"] = random.sample(VALUES, random.randint(1, len(VALUES)))
        if random.random() < 0.3:
            field |= {"type": f"list of {kind}", "max_items": random.randint(1, 4)}
        if kind == "string":
            field["max_length"] = random.choice((1, 2, 7, 30))
        form[name] = field
    return read_schema(form)


def problem(schema: Schema, text: str) -> str | None:
    """Return what is wrong with an object that was written under a schema, or None."""
    try:
        given = json.loads(text)
    except ValueError as error:
        return f"no JSON: {error}"
    if list(given) != [field.name for field in schema.fields]:
        return f"fields {list(given)}"
    if json.dumps(given, ensure_ascii=False, separators=(",", ":")).count(" ") > text.count(" "):
        return "blanks are missing"
    for field in schema.fields:
        value = given[field.name]
        if value is None:
            if not field.optional:
                return f"{field.name} is null"
            continue
        if field.many and (not isinstance(value, list) or len(value) > (field.max_items or 0)):
            return f"{field.name}: {value!r} is no list of that size"
        for item in value if field.many else [value]:
            if not _fits(field.type, item, field.values, field.max_length or 0):
                return f"{field.name}: {item!r} is no {field.type}"
    return None


def _fits(kind: str, item: Any, values: tuple[str, ...], longest: int) -> bool:
    if kind == "string":
        return isinstance(item, str) and 1 <= len(item) <= longest and not item.startswith(" ")
    if kind == "enum":
        return isinstance(item, str) and item in values
    if kind == "boolean":
        return isinstance(item, bool)
    if kind == "date":
        return isinstance(item, str) and date.fromisoformat(item).isoformat() == item
    if isinstance(item, bool):
        return False
    return isinstance(item, int) and abs(item) < 2**63 if kind == "integer" else isinstance(item, int | float)
