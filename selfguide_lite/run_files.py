"""Which adapter and which model of a run are meant, where a caller names neither."""

from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.llm import model_path
from selfguide_lite.store import Store


def adapter_file(store: Store, task_id: int, given: Path | None = None) -> Path:
    """Return the adapter that is meant: the one given, else the newest of the task.

    :raises SelfguideError: where there is none, or its file is missing
    """
    if given is None:
        latest = store.latest_adapter(task_id)
        if latest is None:
            raise SelfguideError(f"{store.path}: holds no adapter yet; make one with `selfguide train -d {store.path}`")
        given = Path(latest.path)
    if not given.is_file():
        raise SelfguideError(f"{given}: no such adapter file; `selfguide train -d {store.path}` makes it again")
    return given


def base_file(store: Store, task_id: int, given: Path | str | None = None, adapter: Path | None = None) -> Path:
    """Return the model that is meant: the one given, else what the store remembers, else the default.

    :param adapter: that the model is for; None: the one that the newest adapter of the task is for
    :raises SelfguideError: where there is no such file
    """
    if given is None:
        base = store.adapter_base(task_id, adapter)
        if base is not None and base.is_file():
            return base
    return model_path(given)
