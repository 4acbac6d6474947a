"""How values are written into columns: texts, settings and numbers that SQLite or JSON cannot hold as they are."""

import json
import math
from collections.abc import Mapping
from typing import Any

from selfguide_lite.core.settings import Settings, as_recorded

# The time as SQL, in UTC with milliseconds.
NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


def clean(text: str) -> str:
    """Return a text as it is stored: outer white space removed, NUL and lone surrogates as U+FFFD.

    SQLite's text functions end at a NUL, and a lone surrogate has no UTF-8 form.
    """
    return clean_term(text).strip()


def clean_term(term: str) -> str:
    """Return a noise term as it is stored: white space counts, so only what SQLite cannot hold is replaced."""
    return term.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def settings_json(settings: Settings | Mapping[str, Any]) -> str:
    """Return settings as JSON with sorted keys, so that equal settings are equal texts."""
    values = settings.model_dump(mode="json") if isinstance(settings, Settings) else dict(settings)
    return json.dumps(as_recorded(values), sort_keys=True, ensure_ascii=False, default=str)


def logprobs_json(values: Mapping[str, float]) -> str:
    """Return log-probabilities as JSON, which has no infinity: null is no probability at all."""
    return json.dumps({clean(label): finite(value) for label, value in values.items()}, ensure_ascii=False)


def logprobs_of(text: str | None) -> dict[str, float] | None:
    """Return log-probabilities read from JSON; null there is minus infinity."""
    if text is None:
        return None
    return {label: -math.inf if value is None else value for label, value in json.loads(text).items()}


def finite(value: float | None) -> float | None:
    """Return None for what is not a finite number: SQLite has no NaN."""
    return value if value is not None and math.isfinite(value) else None


def nan_if_unknown(value: float | None) -> float:
    """Return NaN for what is not known."""
    return math.nan if value is None else value
