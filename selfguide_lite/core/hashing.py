"""The SHA-256 of a model file, kept in the cache folder: hashing gigabytes at every start would be felt."""

import hashlib
from pathlib import Path

from selfguide_lite.core.cache import read_json, write_json
from selfguide_lite.core.errors import SelfguideError

_CACHE = "sha256.json"


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 in hex, remembered by path, size and time of change.

    :raises SelfguideError: where the file cannot be read
    """
    try:
        state = path.stat()
        key = str(path.resolve())
        mark = [state.st_size, state.st_mtime_ns]
        known = read_json(_CACHE)
        entry = known.get(key)
        if isinstance(entry, dict) and entry.get("mark") == mark:
            return str(entry["sha256"])
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SelfguideError(f"{path}: cannot read this model: {error.strerror}") from error
    known[key] = {"mark": mark, "sha256": digest}
    write_json(_CACHE, known)
    return digest
