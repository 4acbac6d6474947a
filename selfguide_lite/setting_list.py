"""Every setting with its stage, range, default and meaning, and the value that is in force in a database."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from selfguide_lite.core.registry import KINDS
from selfguide_lite.core.setting_words import allowed, meaning, stages
from selfguide_lite.core.settings import Settings
from selfguide_lite.kinds import kind_named
from selfguide_lite.store import FILTER_SETTINGS, Store

_DEFAULTS = {"learning_rate": "by the model's size", "added_filters_off": "none"}


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting.

    :param stage: that reads it: `generate`, `annotate`, `filters` or `train`
    :param allowed: type and range
    :param default: by kind of task where the kinds differ
    :param value: in force for a task, as JSON; None where no task was named
    :param source: where it comes from: `default`, `task` (its file, or the options of the last run) or `database`
    """

    name: str
    stage: str
    allowed: str
    default: str
    meaning: str
    value: str | None = None
    source: str | None = None


def list_settings(store: Store | None = None, task_id: int = 0) -> Iterator[SettingRow]:
    """Yield every setting, in the order of the stages.

    :param store: None: without values
    """
    for stage, names in stages().items():
        for name in names:
            told = allowed(name).replace("`", "")
            value, source = (None, None) if store is None else _in_force(store, task_id, name)
            yield SettingRow(name, stage, told, default_of(name).replace("`", ""), meaning(name), value, source)


def default_of(name: str) -> str:
    """Return a setting's default, by kind of task where the kinds differ; words that can be typed in backticks."""
    if name in _DEFAULTS:
        return _DEFAULTS[name]
    values = {kind: shown(getattr(kind_named(kind).resolve(Settings()), name)) for kind in KINDS.names()}
    if len(set(values.values())) == 1:
        return f"`{next(iter(values.values()))}`"
    return ", ".join(f"{kind}: `{value}`" for kind, value in values.items())


def shown(value: Any) -> str:
    """Return a setting's value as it is typed."""
    return value if isinstance(value, str) else json.dumps(value)


def _in_force(store: Store, task_id: int, name: str) -> tuple[str, str]:
    task = store.task(task_id)
    wanted = getattr(task.rules.resolve(task.settings), name)
    given = name in task.settings.model_fields_set
    if name not in FILTER_SETTINGS:
        chosen = name in store.chosen_settings(task_id)
        return shown(wanted), "database" if chosen else "task" if given else "default"
    value = store.settings(task_id)[name]  # a switch is 0 or 1 there
    value = bool(value) if isinstance(wanted, bool) else value
    return shown(value), "database" if value != wanted else "task" if given else "default"
