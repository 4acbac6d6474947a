"""What may be said of a setting: its stage, what values it allows, what it means. Read from `Settings` itself."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from selfguide_lite.core.registry import ANSWER_STYLES, INPUT_STYLES, TRAINERS
from selfguide_lite.core.settings import Settings

# A stage's settings are the fields from this one on.
_FIRST_OF_STAGE = {
    "input_style": "generate",
    "annotate_each_round": "annotate",
    "noise_filter": "filters",
    "answer_style": "train",
}
_MARKS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
}
_MOST = 1_000_000  # what stands for "no limit" in the model
_KINDS = {"boolean": "`true` or `false`", "integer": "whole number", "number": "number", "string": "text"}


def stages() -> dict[str, tuple[str, ...]]:
    """Return the names of the settings by the stage that reads them, in the order of the stages."""
    found: dict[str, list[str]] = {}
    stage = ""
    for name in Settings.model_fields:
        stage = _FIRST_OF_STAGE.get(name, stage)
        found.setdefault(stage, []).append(name)
    return {stage: tuple(names) for stage, names in found.items()}


def meaning(name: str) -> str:
    """Return what a setting does, in a sentence or two.

    :raises ValueError: where the text under its field is missing
    """
    found = Settings.model_fields[name].description
    if not found:
        raise ValueError(f"{name}: a text under the field must say what it means")
    return " ".join(found.split())


def allowed(name: str) -> str:
    """Return type and range of a setting, words that can be typed in backticks: `whole number, at least 0`."""
    entries = {"input_style": INPUT_STYLES, "answer_style": ANSWER_STYLES, "trainer": TRAINERS}.get(name)
    if entries:
        return ", ".join(f"`{one}`" for one in entries.names())
    given = _properties()[name]
    choices = given.get("anyOf", [given])
    (kind,) = [one for one in choices if one.get("type") != "null"]
    empty = ", or `null`" if len(choices) > 1 else ""
    if "enum" in kind:
        return ", ".join(f"`{value}`" for value in kind["enum"]) + empty
    limits = [
        text.format(f"{kind[key]:g}" if kind[key] < _MOST else f"{kind[key]:,}")
        for key, text in _MARKS.items()
        if key in kind and kind[key] != _MOST
    ]
    return ", ".join([_KINDS[kind["type"]], *limits]) + empty


@cache
def _properties() -> Mapping[str, Any]:
    found: Mapping[str, Any] = Settings.model_json_schema()["properties"]
    return found
