"""Where a run's files lie: the database named after the task, and a folder beside it for intermediate files."""

import re
from pathlib import Path


def slug(name: str) -> str:
    """Return a name as part of a path: letters, digits, `_`, `.` and `-`, at most 100 characters, never hidden."""
    return (re.sub(r"[^\w.-]+", "-", name).strip("-.") or "task")[:100]


def default_db(task_name: str) -> Path:
    """Return the database's default path for a task: its name with `.db`, in the current folder."""
    return Path(f"{slug(task_name)}.db")


def files_dir(db: Path) -> Path:
    """Return the folder of a database's working files: a folder for each task, the lock."""
    return db.with_name(f"{db.stem}-files")


def lora_dir(db: Path, task_name: str) -> Path:
    """Return the folder of a task's training: checkpoints and the LoRA in PEFT's form."""
    return files_dir(db) / slug(task_name) / "lora"


def adapter_path(db: Path, task_name: str) -> Path:
    """Return the default path of a task's GGUF adapter."""
    return files_dir(db) / slug(task_name) / "adapter.gguf"
