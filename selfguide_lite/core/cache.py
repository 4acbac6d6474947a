"""The user's cache folder: model hashes, tuning results, generated models. Any of it may be deleted at any time."""

import json
import os
from pathlib import Path
from typing import Any

import platformdirs

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import read_object


def cache_dir() -> Path:
    """Return the cache folder, made if need be: `$SELFGUIDE_CACHE`, else the system's place for caches.

    :raises SelfguideError: where the folder cannot be made
    """
    given = os.environ.get("SELFGUIDE_CACHE")
    folder = Path(given).expanduser() if given else platformdirs.user_cache_path("selfguide-lite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SelfguideError(
            f"{folder}: cannot make the cache folder ({error.strerror}); set SELFGUIDE_CACHE to a writable folder"
        ) from error
    return folder


def read_json(name: str) -> dict[str, Any]:
    """Return what a cache file holds; empty where it is missing or unreadable, for a cache may always be lost.

    :param name: file name below the cache folder
    """
    return read_object(cache_dir() / name)


def write_json(name: str, data: dict[str, Any]) -> None:
    """Replace a cache file in one step, so that a reader never sees half of it. A full disk is no error here.

    :param name: file name below the cache folder
    """
    path = cache_dir() / name
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(data, indent=1, sort_keys=True), encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)


def copies_dir() -> Path:
    """Return the folder of models' working copies, named by their originals' SHA-256."""
    return cache_dir() / "working"


def prefixes_dir() -> Path:
    """Return the folder of computed beginnings of prompts."""
    return cache_dir() / "prefixes"
