"""What is wrong with a value that a model of pydantic refused, in the words of this program."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from selfguide_lite.core.errors import short
from selfguide_lite.core.setting_words import allowed
from selfguide_lite.core.settings import Settings

_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "string_too_long": "is longer than the {max_length:,} characters that are allowed",
    "too_short": "must have at least {min_length}",
    "too_long": "has more than the {max_length:,} entries that are allowed",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "path_type": "must be the path of a file",
    "dict_type": "must be a mapping, of names to values",
    "model_type": "must be a mapping, of names to values",
    "model_attributes_type": "must be a mapping, of names to values",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "invalid_key": "is no name: quote it",
}
_WITHOUT_VALUE = (
    "invalid_key", "missing", "extra_forbidden", "string_too_long", "too_long", "too_short", "string_too_short",
)  # fmt: skip
_LONGEST = 40  # characters of a value in a message


def in_own_words(details: Mapping[str, Any], setting: str | None = None) -> str:
    """Say what is wrong with a value, and where it is one of a setting what is allowed.

    :param details: one of `ValidationError.errors()`
    :param setting: the name of the setting, where the value is one's
    """
    kind = details["type"]
    if kind in ("value_error", "assertion_error"):
        return str(details["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if setting in Settings.model_fields and kind != "extra_forbidden":
        return f"{_shown(details['input'])} is not allowed; allowed: {allowed(setting).replace('`', '')}"
    words = _WORDS.get(kind, "is not allowed here").format(**details.get("ctx", {}))
    if details["input"] is None and kind == "string_type":
        return words + ', but it is empty here; quote it: ""'
    return words if kind in _WITHOUT_VALUE else f"{words}, not {_shown(details['input'])}"


def setting_problem(given: Mapping[str, Any]) -> str | None:
    """Return what is wrong with settings, in one line that begins with the setting's name; None where nothing is."""
    try:
        Settings.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            return in_own_words(first)
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            return f"{short(name)}: {no_such_setting(name)}"
        return f"{short(name)}: {in_own_words(first, name)}"
    return None


def no_such_setting(name: str) -> str:
    """Say that there is no setting of a name, with the nearest one or where they are listed."""
    near = get_close_matches(name, Settings.model_fields, n=1)
    return "no such setting; " + (f"did you mean {near[0]}?" if near else "`selfguide settings` lists them all")


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(short(value, _LONGEST))
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    return "nothing" if value is None else short(repr(value), _LONGEST)
