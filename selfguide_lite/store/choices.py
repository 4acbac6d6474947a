"""Changes a task's settings in its database: the filters' at once, the other stages' from the next run on."""

from typing import Any

from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.core.refusals import no_such_setting, setting_problem
from selfguide_lite.core.renamed import current_name
from selfguide_lite.core.settings import Settings
from selfguide_lite.store.store import Store
from selfguide_lite.store.tasks import FILTER_SETTINGS

_NOTHING = ("none", "null", "")
_DEFAULT = "default"


def checked_setting(key: str, text: str) -> dict[str, Any]:
    """Return the setting of a name with the value that was typed; nothing where that is `default`.

    :raises SelfguideError: where there is no such setting, the value does not fit, or it cannot be changed any more
    """
    word = text.strip().lower()
    if key not in Settings.model_fields:
        raise SelfguideError(f"{short(key)}: {no_such_setting(key)}")
    if key == "noise_list":
        raise SelfguideError(
            "noise_list: names the terms that a run begins with; `selfguide filter noise` changes those of a database"
        )
    if word == _DEFAULT:
        return {}
    nothing = word in _NOTHING or (word == "off" and key == "near_duplicate_threshold")
    chosen: dict[str, Any] = {key: None if nothing else word}
    if problem := setting_problem(chosen):
        raise SelfguideError(problem)
    return chosen


def change_setting(store: Store, task_id: int, key: str, text: str) -> Any:
    """Change a setting, checked, and return the value that is in force.

    :param key: of the setting; an old name of it does too
    :param text: the value as it is typed: a number, true or false, a word, or none; `default` for what the task file
        says, or the default of the task's kind
    :raises SelfguideError: as `checked_setting`
    """
    key = current_name(key)
    chosen = checked_setting(key, text)
    if chosen:
        value = getattr(store.task(task_id).rules.resolve(Settings.model_validate(chosen)), key)
    else:
        store.forget_setting(task_id, key)
        task = store.task(task_id)
        value = getattr(task.rules.resolve(task.settings), key)
        if key not in FILTER_SETTINGS:
            return value
    store.set_setting(task_id, key, value)
    return value
