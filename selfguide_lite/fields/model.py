"""A schema: the fields of an object in their order, each with its type and largest size."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

FieldType = Literal["string", "integer", "number", "boolean", "date", "enum"]
TYPES: tuple[FieldType, ...] = ("string", "integer", "number", "boolean", "date", "enum")
MOST_FIELDS = 200
MOST_VALUES = 10_000  # of an enum
LONGEST_NAME = 100
LONGEST_STRING = 100_000
MOST_ITEMS = 1000
# Where neither the schema nor a setting says a size: this many times the largest in the examples, and at least this.
_FACTOR = 3
_SHORTEST = 40
_FEWEST = 5


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an object.

    :param many: its value is a list of the type
    :param optional: its value may be null, which says that there is none
    :param values: of an enum, in their order
    :param verbatim: its value must occur in the input
    :param max_length: characters of a string at most; None: by the examples
    :param max_items: of a list at most; None: by the examples
    """

    name: str
    type: FieldType
    many: bool = False
    optional: bool = False
    description: str = ""
    values: tuple[str, ...] = ()
    verbatim: bool = False
    max_length: int | None = None
    max_items: int | None = None

    @property
    def kind(self) -> str:
        """What its value is, in words, such as `list of string, optional`."""
        what = f"one of {', '.join(self.values[:20])}" if self.type == "enum" else self.type
        what += ", ..." if len(self.values) > 20 else ""
        return ("list of " if self.many else "") + what + (" or null" if self.optional else "")


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of an object, in the order in which they are written."""

    fields: tuple[Field, ...]

    def described(self) -> str:
        """Return what a prompt says of the fields, a line each."""
        lines = [f"- {one.name}: {one.kind}{f' ({one.description})' if one.description else ''}" for one in self.fields]
        return "\n".join(("Answer with one JSON object that has these fields:", *lines))

    def short_form(self) -> dict[str, dict[str, Any]]:
        """Return the schema as a task file has it, with everything that is not a default."""
        plain = asdict(Field("", "string"))
        form: dict[str, dict[str, Any]] = {}
        for one in self.fields:
            given = {
                key: value for key, value in asdict(one).items() if key not in ("name", "type") and value != plain[key]
            }
            kind = f"list of {one.type}" if given.pop("many", False) else one.type
            form[one.name] = {"type": kind, **given} | ({"values": list(one.values)} if one.values else {})
        return form

    def json_schema(self) -> dict[str, Any]:
        """Return the schema as JSON Schema, for programs that read that."""
        return {
            "type": "object",
            "properties": {one.name: _property(one) for one in self.fields},
            "required": [one.name for one in self.fields],
            "additionalProperties": False,
        }


def _property(field: Field) -> dict[str, Any]:
    item: dict[str, Any] = {"type": "string" if field.type in ("date", "enum") else field.type}
    if field.type == "date":
        item["format"] = "date"
    if field.type == "enum":
        item["enum"] = list(field.values)
    if field.type == "string" and field.max_length is not None:
        item |= {"minLength": 1, "maxLength": field.max_length}
    if field.many:
        item = {"type": "array", "items": item}
        if field.max_items is not None:
            item["maxItems"] = field.max_items
    if field.optional:
        item["type"] = [item["type"], "null"]
        if "enum" in item:
            item["enum"] = [*item["enum"], None]
    return item | ({"description": field.description} if field.description else {})


def sized(
    schema: Schema, examples: Iterable[Mapping[str, Any]], longest: int | None = None, most: int | None = None
) -> Schema:
    """Return a schema in which every string and list has a largest size.

    :param examples: objects of the schema
    :param longest: characters of a string at most, where the schema does not say it; None: three times the longest of
        that field in the examples, at least 40
    :param most: items of a list at most; None: three times the longest list of that field in the examples, at least 5
    """
    shown = list(examples)
    fields = []
    for one in schema.fields:
        values = [example.get(one.name) for example in shown]
        items = [item for value in values for item in (value if isinstance(value, list) else [value])]
        by_length = max([_SHORTEST, *(_FACTOR * len(item) for item in items if isinstance(item, str))])
        by_items = max([_FEWEST, *(_FACTOR * len(value) for value in values if isinstance(value, list))])
        fields.append(
            replace(
                one,
                max_length=one.max_length or longest or min(by_length, LONGEST_STRING),
                max_items=one.max_items or most or min(by_items, MOST_ITEMS),
            )
        )
    return Schema(tuple(fields))
