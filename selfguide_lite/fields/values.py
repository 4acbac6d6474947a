"""Values of fields: read from what a file or a model gives, and written in one form: equal ones are equal texts.

The form is JSON without blanks, with all fields in the schema's order: SQLite's `json()` leaves it as it is. Numbers
have no exponent and no zeros at the end, dates are written YYYY-MM-DD, what there is none of is null.
"""

import json
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from selfguide_lite.core.errors import short
from selfguide_lite.fields.model import Field, Schema

_INT64 = 2**63
_MOST_DIGITS = 15  # of a number, before its point
_MOST_DECIMALS = 6
_TRIES = 20  # opening braces of a free text that are tried
_NUMBER = re.compile(r"[-+]?\d[\d ,.'\u202f\u00a0]*")
_THOUSANDS = re.compile(r"(?<=\d)[ ,'\u202f\u00a0](?=\d{3}(?!\d))")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATES = (
    re.compile(r"(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})"),
    re.compile(r"(?P<d>\d{1,2})\.\s?(?P<m>\d{1,2})\.\s?(?P<y>\d{4})"),
    re.compile(r"(?P<d>\d{1,2})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?(?P<m>[A-Za-z]{3,9})\.?,?\s+(?P<y>\d{4})"),
    re.compile(r"(?P<m>[A-Za-z]{3,9})\.?\s+(?P<d>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<y>\d{4})"),
)


def values_of(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every field; texts that write a number, a date or a switch count as such.

    :raises ValueError: `FIELD: what is wrong`
    """
    if unknown := [name for name in given if name not in {one.name for one in schema.fields}]:
        names = ", ".join(one.name for one in schema.fields[:20])
        raise ValueError(f"{short(str(unknown[0]), 40)}: is no field; fields: {names}")
    found = {}
    for one in schema.fields:
        try:
            found[one.name] = value_of(one, given.get(one.name))
        except ValueError as error:
            raise ValueError(f"{one.name}: {error}") from None
    return found


def value_of(field: Field, value: Any) -> Any:
    """Return a field's value in the form in which values are compared and written.

    :raises ValueError: saying what is wrong
    """
    if value is None:
        if not field.optional:
            raise ValueError("is missing, and the field is not optional")
        return None
    if not field.many:
        return _single(field, value)
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list")
    if field.max_items is not None and len(value) > field.max_items:
        raise ValueError(f"has {len(value)} items; {field.max_items} are the most")
    return [_single(field, item) for item in value]


def _single(field: Field, value: Any) -> Any:
    match field.type:
        case "string":
            return _string(field, value)
        case "integer":
            return _integer(value)
        case "number":
            return _number(value)
        case "boolean":
            return _boolean(value)
        case "date":
            return _date(value)
        case "enum":
            return _one_of(field, value)


def _string(field: Field, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be a text")
    text = str(value).strip() or str(value)
    if not text:
        raise ValueError("is an empty text; null says that there is none")
    if any(0xD800 <= ord(character) < 0xE000 for character in text):
        raise ValueError("holds half a character (a lone surrogate)")
    if "\0" in text:
        raise ValueError("holds a NUL character, which no database can hold")
    if field.max_length is not None and len(text) > field.max_length:
        raise ValueError(f"has {len(text)} characters; {field.max_length} are the most")
    return text


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("must be a number")
    text = str(value).strip()
    if isinstance(value, str):
        found = _NUMBER.search(text)
        text = _THOUSANDS.sub("", found.group().strip(" ,.'")) if found else text
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{short(str(value), 40)!r} is no number") from None
    if not number.is_finite():
        raise ValueError("must be a finite number")
    return number


def _integer(value: Any) -> int:
    number = _decimal(value)
    if abs(number) >= _INT64:
        raise ValueError("is an integer beyond 2^63, which no database holds")
    if number != number.to_integral_value():
        raise ValueError(f"{short(str(value), 40)} is no whole number")
    return int(number)


def _number(value: Any) -> Decimal:
    number = _decimal(value)
    if abs(number) >= 10**_MOST_DIGITS:
        raise ValueError(f"has more than {_MOST_DIGITS} digits before the point")
    number = number.quantize(Decimal(1).scaleb(-_MOST_DECIMALS)).normalize()
    return Decimal(0) if number == 0 else number


def _boolean(value: Any) -> bool:
    text = str(value).strip().lower()
    if text in ("true", "yes"):
        return True
    if text in ("false", "no"):
        return False
    raise ValueError(f"{short(str(value), 40)!r} is neither true nor false")


def _date(value: Any) -> str:
    text = str(value).strip()
    for pattern in _DATES:
        if found := pattern.fullmatch(text):
            month = found["m"]
            place = _MONTHS.index(month[:3].lower()) + 1 if month[:3].lower() in _MONTHS else month
            try:
                return date(int(found["y"]), int(place), int(found["d"])).isoformat()
            except ValueError:
                break
    raise ValueError(f"{short(text, 40)!r} is no date; write it as 2026-11-24")


def _one_of(field: Field, value: Any) -> str:
    text = str(value)
    if text in field.values:
        return text
    text = text.strip()
    folded = [one for one in field.values if one.casefold() == text.casefold()]
    if len(folded) == 1:
        return folded[0]
    raise ValueError(f"{short(text, 40)!r} is not one of {', '.join(short(one, 40) for one in field.values[:10])}")


def value_text(value: Any) -> str:
    """Return a value as JSON in the one form."""
    if isinstance(value, list):
        return f"[{','.join(map(value_text, value))}]"
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, ensure_ascii=False)


def object_text(schema: Schema, values: Mapping[str, Any]) -> str:
    """Return an object as JSON in the one form.

    :param values: as `values_of` gives them
    """
    return "{" + ",".join(f"{value_text(one.name)}:{value_text(values[one.name])}" for one in schema.fields) + "}"


def found_object(text: str) -> dict[str, Any] | None:
    """Return the first JSON object in a text, or None."""
    decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=lambda _: None)
    start = text.find("{")
    for _ in range(_TRIES):
        if start < 0:
            return None
        try:
            found = decoder.raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        return found if isinstance(found, dict) else None
    return None


def parsed(schema: Schema, text: str) -> str | None:
    """Return the object in a text in the one form; None where there is none that fits the schema."""
    given = found_object(text)
    if given is None:
        return None
    try:
        return object_text(schema, values_of(schema, given))
    except ValueError:
        return None


def checked(schema: Schema, given: Any) -> str:
    """Return the object that a mapping, or a text with an object in it, is, in the one form.

    :raises ValueError: `FIELD: what is wrong`, or what is wrong with the whole
    """
    found = given if isinstance(given, Mapping) else found_object(given) if isinstance(given, str) else None
    if found is None:
        raise ValueError("must be an object with the fields of the schema")
    return object_text(schema, values_of(schema, found))


def fitting_values(schema: Schema, text: str) -> dict[str, Any]:
    """Return what of the object in a text fits the schema, by field; the other fields are left out."""
    given = found_object(text) or {}
    found = {}
    for one in schema.fields:
        try:
            found[one.name] = value_of(one, given.get(one.name))
        except ValueError:
            continue
    return found


def absent_values(schema: Schema, given: Mapping[str, Any], text: str) -> list[tuple[str, str]]:
    """Return field and value of what must occur in a text (`verbatim`) and does not, as the filter `ungrounded` judges.

    :param given: an object of the schema
    """
    plain = " ".join(text.lower().split())
    figures = (text, re.sub("[, ']", "", text), text.replace(".", ""))
    absent = []
    for one in schema.fields:
        value = given.get(one.name)
        if not one.verbatim or value is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            written = str(item)
            places = figures if one.type in ("integer", "number") else (plain, text.lower())
            if not any(written.lower() in place for place in places):
                absent.append((one.name, written))
    return absent
