"""The files of a run: which adapter and model are meant where none is named; none is left of a false start."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from selfguide_lite.core.errors import ReplacedError, SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.paths import files_dir, training_folders
from selfguide_lite.llm import model_path
from selfguide_lite.store import Adapter, Store
from selfguide_lite.store.summaries import row_counts

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


def training_of(store: Store, task_id: int, adapter: Adapter) -> Path | None:
    """Return the folder of the training that made an adapter, with its LoRA in PEFT's form; None where it is gone."""
    for folder in training_folders(store.path, store.task(task_id).name):
        if training_run(folder) == adapter.run_id and (folder / "adapter_model.safetensors").is_file():
            return folder
    return None


def training_run(folder: Path) -> int | None:
    """Return the run in the database of a training that was finished in a folder; None for any other."""
    return _of_marker(folder, "run_id")


def trained_pairs(folder: Path) -> int | None:
    """Return how many pairs a training that was finished in a folder learnt; None for any other."""
    return _of_marker(folder, "examples")


def _of_marker(folder: Path, name: str) -> int | None:
    try:
        found = json.loads((folder / _MARKER).read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, int) else None


def _number(given: Path | str | int) -> int | None:
    """Return the number that stands for an adapter; None where a file is meant."""
    if isinstance(given, int):
        return given
    text = str(given)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 and not Path(text).is_file() else None


@contextmanager
def nothing_left_of_a_false_start(db: Path) -> Iterator[None]:
    """Remove a database that this job made where it fails before anything is in it, as with an unusable model.

    To be held inside the lock on the database.
    """
    new = not db.exists()
    try:
        yield
    except Exception as error:
        # A file that was put in this one's place is somebody else's, whatever is in it.
        ours = new and db.exists() and not isinstance(error, ReplacedError)
        if ours and row_counts(db) == (0, 0, 0):
            for name in (db.name, f"{db.name}-wal", f"{db.name}-shm"):
                db.with_name(name).unlink(missing_ok=True)
            with suppress(OSError):  # it holds more than the lock
                (files_dir(db) / "lock").unlink()
                files_dir(db).rmdir()
        raise
