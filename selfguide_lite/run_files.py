"""The files of a run: which adapter and model are meant where none is named; none is left of a false start."""

from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.llm import model_path
from selfguide_lite.store import Adapter, Store

_MARKER = "selfguide.json"  # what a finished training leaves in its folder


def known_adapter(store: Store, task_id: int, given: Path | str | int | None = None) -> Adapter | None:
    """Return the adapter of a task that is meant; None where there is none yet, or a file is none of the task's.

    :param given: its number in the database, or a file; None: the one that was trained or compared last
    :raises SelfguideError: where the database has no adapter of that number
    """
    if given is None:
        return store.latest_adapter(task_id)
    number = _number(given)
    there = store.adapters(task_id)
    if number is not None:
        found = next((one for one in there if one.id == number), None)
        if found is None:
            known = ", ".join(str(one.id) for one in there)
            raise SelfguideError(
                f"{store.path}: has no adapter {number}; "
                + (f"there are: {known}" if known else f"make one with `selfguide train -d {store.path}`")
            )
        return found
    path = Path(str(given))
    if same := [one for one in there if Path(one.path).absolute() == path.absolute()]:
        return same[-1]
    content = file_sha256(path) if path.is_file() else None
    return next((one for one in reversed(there) if one.sha256 == content), None)


def adapter_file(store: Store, task_id: int, given: Path | str | int | None = None) -> Path:
    """Return the file of the adapter that is meant.

    :param given: as `known_adapter` takes it
    :raises SelfguideError: where there is none, or its file is gone
    """
    if given is not None and _number(given) is None:
        path = Path(str(given))
    else:
        known = known_adapter(store, task_id, given)
        if known is None:
            raise SelfguideError(f"{store.path}: holds no adapter yet; make one with `selfguide train -d {store.path}`")
        path = Path(known.path)
    if not path.is_file():
        raise SelfguideError(f"{path}: no such adapter file; `selfguide train -d {store.path}` makes it again")
    return path


def base_file(
    store: Store, task_id: int, given: Path | str | None = None, adapter: Path | str | int | None = None
) -> Path:
    """Return the model that is meant: the one given, else what the store remembers, else the default.

    :param adapter: that the model is for, as `known_adapter` takes it
    :raises SelfguideError: where there is no such file
    """
    if given is None:
        known = known_adapter(store, task_id, adapter)
        if known is not None and (base := store.model_of(known.model_id).path).is_file():
            return base
    return model_path(given)


from pathlib import Path

from selfguide_lite.store import Adapter, Store

_MARKER = "selfguide.json"  # what a finished training leaves in its folder
