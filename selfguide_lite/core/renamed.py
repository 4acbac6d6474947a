"""Settings that had another name before. The old name is still accepted wherever a setting is given by its name."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

RENAMED_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "fruitless_rounds": "patience_rounds",
        "min_share": "min_vote_share",
        "accumulation": "gradient_accumulation_steps",
        "max_length": "max_seq_length",
    }
)


def current_name(name: str) -> str:
    """Return a setting's name of today; any other name is returned as it is."""
    return RENAMED_SETTINGS.get(name, name)


def renamed_notes(names: Iterable[str]) -> list[str]:
    """Return a line for each old name among the given ones, such as the keys of settings."""
    given = set(names)
    return [f"setting {old} is now called {new}" for old, new in RENAMED_SETTINGS.items() if old in given]


def with_current_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings under their names of today.

    :raises ValueError: where a setting is given under both of its names
    """
    for old, new in RENAMED_SETTINGS.items():
        if old in given and new in given:
            raise ValueError(f"{old} and {new} are the same setting; remove {old}, its old name")
    return {current_name(name): value for name, value in given.items()}
