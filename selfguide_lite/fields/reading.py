"""Reads a schema: the short form of a task file, or a subset of JSON Schema; what is not read is refused by name."""

from collections.abc import Mapping
from typing import Any

from selfguide_lite.core.errors import short
from selfguide_lite.fields.model import (
    LONGEST_NAME,
    LONGEST_STRING,
    MOST_FIELDS,
    MOST_ITEMS,
    MOST_VALUES,
    TYPES,
    Field,
    FieldType,
    Schema,
)

_LIST_OF = "list of "
_OPTIONAL = ", optional"
_KEYS = ("type", "optional", "description", "values", "verbatim", "max_length", "max_items")
_OTHER_SPELLING = {"maxLength": "max_length", "maxItems": "max_items", "enum": "values"}
_TOP = ("type", "properties", "required", "additionalProperties", "$schema", "$id", "title", "description")
_PROPERTY = (
    "type", "enum", "format", "maxLength", "minLength", "maxItems", "items", "description", "title", "verbatim",
)  # fmt: skip
_ITEM = tuple(key for key in _PROPERTY if key not in ("maxItems", "items", "verbatim"))
_REFERENCES = ("$ref", "$defs", "definitions")
_YES, _NO = ("true", "yes", "on"), ("false", "no", "off")


def read_schema(data: Any) -> Schema:
    """Return the schema that a mapping describes.

    :param data: field name to type, or to a mapping with `type` and more; or a JSON Schema of type `object`
    :raises ValueError: `FIELD: what is wrong`, the field empty for the whole
    """
    if not isinstance(data, Mapping) or not data:
        raise ValueError("a mapping of field names to types, or a JSON Schema of type object, must stand here")
    if isinstance(data.get("properties"), Mapping) and str(data.get("type")) == "object":
        fields = _json_schema(data)
    else:
        fields = [_short(_name(name), given) for name, given in data.items()]
    if not fields:
        raise ValueError("has no fields")
    if len(fields) > MOST_FIELDS:
        raise ValueError(f"has {len(fields)} fields; {MOST_FIELDS} are the most")
    return Schema(tuple(fields))


def _name(name: Any) -> str:
    text = str(name)
    if not text.strip() or len(text) > LONGEST_NAME:
        raise ValueError(f"a field's name has 1 to {LONGEST_NAME} characters, not {short(text, 40)!r}")
    if any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in text):
        raise ValueError(f"{short(text, 40)!r}: a field's name has no control characters and no half characters")
    return text


def _short(name: str, given: Any) -> Field:
    """Read `type` or a mapping with it. Every value may be a text, as a YAML file here has it."""
    if isinstance(given, str):
        given = {"type": given}
    if not isinstance(given, Mapping):
        raise ValueError(f"{name}: must be a type, or a mapping with one")
    options = {_OTHER_SPELLING.get(str(key), str(key)): value for key, value in given.items()}
    if unknown := [key for key in options if key not in _KEYS]:
        raise ValueError(f"{name}: there is no {unknown[0][:40]!r}; there are: {', '.join(_KEYS)}")
    kind = options.get("type", "enum" if "values" in options else None)
    if not isinstance(kind, str):
        raise ValueError(f"{name}: has no type; types: {', '.join(TYPES)}, list of one of these")
    kind = " ".join(kind.split())
    optional = kind.endswith(_OPTIONAL) or _switch(name, "optional", options.get("optional", False))
    kind = kind.removesuffix(_OPTIONAL)
    many = kind.startswith(_LIST_OF)
    kind = kind.removeprefix(_LIST_OF)
    return _field(
        name,
        kind,
        {
            "many": many,
            "optional": optional,
            "description": options.get("description", ""),
            "values": options.get("values"),
            "verbatim": _switch(name, "verbatim", options.get("verbatim", False)),
            "max_length": options.get("max_length"),
            "max_items": options.get("max_items"),
        },
    )


def _field(name: str, kind: str, given: Mapping[str, Any]) -> Field:
    """Return a field after checking that what is said of it goes together."""
    found = next((one for one in TYPES if one == kind), None)
    if found is None:
        raise ValueError(
            f"{name}: there is no type {short(kind, 40)!r}; types: {', '.join(TYPES)}, list of one of these"
        )
    many, verbatim = bool(given["many"]), bool(given["verbatim"])
    values = _values(name, found, given["values"])
    if verbatim and found in ("boolean", "date"):
        raise ValueError(
            f"{name}: verbatim is for texts and numbers; a {found} is rarely written in the input as it is"
        )
    if given["max_length"] is not None and found != "string":
        raise ValueError(f"{name}: max_length is for strings")
    if given["max_items"] is not None and not many:
        raise ValueError(f"{name}: max_items is for lists")
    description = given["description"]
    if not isinstance(description, str) or len(description) > 1000:
        raise ValueError(f"{name}: its description must be a text of at most 1,000 characters")
    return Field(
        name=name,
        type=found,
        many=many,
        optional=bool(given["optional"]),
        description=" ".join(description.split()),
        values=values,
        verbatim=verbatim,
        max_length=_size(name, "max_length", given["max_length"], LONGEST_STRING),
        max_items=_size(name, "max_items", given["max_items"], MOST_ITEMS),
    )


def _values(name: str, kind: FieldType, values: Any) -> tuple[str, ...]:
    if kind != "enum":
        if values is not None:
            raise ValueError(f"{name}: values are for an enum")
        return ()
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(f"{name}: an enum has values, a list of texts")
    if len(values) > MOST_VALUES:
        raise ValueError(f"{name}: has {len(values):,} values; {MOST_VALUES:,} are the most")
    for value in values:
        if not isinstance(value, str) or not value.strip() or len(value) > 1000:
            raise ValueError(f"{name}: each value of an enum is a text of 1 to 1,000 characters")
        if any(0xD800 <= ord(character) < 0xE000 for character in value):
            raise ValueError(f"{name}: a value holds half a character (a lone surrogate)")
    if len(set(values)) < len(values):
        raise ValueError(f"{name}: a value is given twice")
    return tuple(values)


def _size(name: str, what: str, value: Any, most: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not str(value).isdecimal() or not 1 <= int(value) <= most:
        raise ValueError(f"{name}: {what} must be a whole number from 1 to {most:,}")
    return int(value)


def _switch(name: str, what: str, value: Any) -> bool:
    text = str(value).lower()
    if text not in _YES + _NO:
        raise ValueError(f"{name}: {what} is true or false")
    return text in _YES


def _json_schema(data: Mapping[str, Any]) -> list[Field]:
    _only(data, _TOP, "")
    if data.get("additionalProperties", False) not in (False, "false"):
        raise ValueError("additionalProperties: only false is supported; an object has the fields that are named")
    required = data.get("required", [])
    if not isinstance(required, list) or not all(isinstance(one, str) for one in required):
        raise ValueError("required: must be a list of field names")
    if missing := [one for one in required if one not in data["properties"]]:
        raise ValueError(f"required: {short(missing[0], 40)!r} is no field")
    return [_from_property(_name(name), given, name in required) for name, given in data["properties"].items()]


def _from_property(name: str, given: Any, required: bool) -> Field:
    if not isinstance(given, Mapping):
        raise ValueError(f"{name}: must be a JSON Schema, an object")
    _only(given, _PROPERTY, name)
    kind, null = _json_type(name, given)
    many = kind == "array"
    item: Mapping[Any, Any] = given
    if many:
        if not isinstance(given.get("items"), Mapping):
            raise ValueError(f"{name}: an array has items, a JSON Schema")
        item = given["items"]
        _only(item, _ITEM, f"{name}.items")
        kind, null_item = _json_type(f"{name}.items", item)
        if null_item:
            raise ValueError(f"{name}.items: items of a list cannot be null")
    elif "items" in given:
        raise ValueError(f"{name}: items are for an array")
    values = item.get("enum")
    if isinstance(values, list) and None in values:
        values, null = [value for value in values if value is not None], True
    if kind in ("array", "object"):
        raise ValueError(f"{name}: type {kind} is not supported in this place; fields are values or lists of values")
    if values is not None:
        kind = "enum"
    elif "format" in item:
        if kind != "string" or item["format"] != "date":
            raise ValueError(f"{name}: format {short(str(item['format']), 40)!r} is not supported; date is")
        kind = "date"
    if item.get("minLength") not in (None, 0, 1, "0", "1"):
        raise ValueError(f"{name}: minLength is not supported; a string has at least one character")
    return _field(
        name,
        kind,
        {
            "many": many,
            "optional": null or not required,
            "description": given.get("description", item.get("description", "")),
            "values": values,
            "verbatim": _switch(name, "verbatim", given.get("verbatim", False)),
            "max_length": item.get("maxLength"),
            "max_items": given.get("maxItems"),
        },
    )


def _json_type(name: str, given: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the type of a JSON Schema, and whether null is one beside it."""
    kind = given.get("type", "string" if "enum" in given else None)
    kinds = [kind] if isinstance(kind, str) else kind
    if not isinstance(kinds, list) or not all(isinstance(one, str) for one in kinds):
        raise ValueError(f"{name}: has no type; a field has one of string, integer, number, boolean, array")
    others = [one for one in kinds if one != "null"]
    if len(others) != 1:
        raise ValueError(f"{name}: has {len(others)} types; one is supported, and null beside it")
    return others[0], len(others) < len(kinds)


def _only(given: Mapping[str, Any], known: tuple[str, ...], name: str) -> None:
    for key in given:
        if key not in known:
            where = f"{name}: " if name else ""
            raise ValueError(
                f"{where}{short(str(key), 40)!r} is not supported here; supported: {', '.join(known)}"
                + (
                    "; write the field out in place of a reference"
                    if str(key) in ("$ref", "$defs", "definitions")
                    else ""
                )
            )
