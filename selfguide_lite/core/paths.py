"""Where a run's files lie: the database named after the task, and a folder beside it for intermediate files."""

import re
from pathlib import Path

OLD_TRAINING = "lora"  # the folder of a task's only training, and beside it the adapter, in files of before 2026-11-24
_FILES = "-files"
_MOST_CHARACTERS, _MOST_BYTES = 100, 235  # a name has 255 bytes at most, its endings among them


def slug(name: str) -> str:
    """Return a name as part of a path: letters, digits, `_`, `.` and `-`, never hidden, no longer than a file name."""
    plain = (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "task")[:_MOST_CHARACTERS]
    return cut_to_bytes(plain, _MOST_BYTES)


def cut_to_bytes(text: str, most: int) -> str:
    """Return as many of a text's first characters as UTF-8 writes with so many bytes."""
    return text.encode("utf-8", "surrogateescape")[:most].decode("utf-8", "ignore")


def default_db(task_name: str) -> Path:
    """Return the database's default path for a task: its name with `.db`, in the current folder."""
    return Path(f"{slug(task_name)}.db")


def files_dir(db: Path) -> Path:
    """Return the folder of a database's working files: a folder for each task, the lock."""
    return db.with_name(f"{db.stem}{_FILES}")


def trainings_dir(db: Path, task_name: str) -> Path:
    """Return the folder of a task's trainings, each in a folder of its own: LoRA, checkpoints and adapter."""
    return files_dir(db) / slug(task_name)


def training_folders(db: Path, task_name: str) -> list[Path]:
    """Return the folders of a task's trainings that there are, by name."""
    place = trainings_dir(db, task_name)
    return sorted(path for path in place.glob("*") if path.is_dir() and _is_training(path.name))


def _is_training(name: str) -> bool:
    return name == OLD_TRAINING or name.startswith("training-")


def training_folder(trainings: Path, key: str) -> Path:
    """Return the folder of the training that a key names.

    :param trainings: as `trainings_dir` gives it
    """
    return trainings / f"training-{key}"


def path_kept(db: Path, path: Path) -> str:
    """Return a path as a database keeps it: relative to its folder where it lies in it, so that both can be moved."""
    whole = path.absolute()
    try:
        return whole.relative_to(db.absolute().parent).as_posix()
    except ValueError:
        return str(whole)


def places_of(db: Path, kept: str) -> list[Path]:
    """Return where a file that a database names may lie, the likeliest place first.

    A database that was renamed or moved together with its folder of files finds it in that folder. Databases of before
    2026-11-24 keep paths relative to the folder in which the command was given.
    """
    path = Path(kept)
    places = [db.parent / path, path]
    for place, part in enumerate(path.parts):
        if part.endswith(_FILES):
            places.insert(0, files_dir(db).joinpath(*path.parts[place + 1 :]))
    return list(dict.fromkeys(places))
