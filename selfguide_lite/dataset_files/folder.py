"""Records as a folder that Hugging Face's `load_from_disk` reads, with the split `train`. `datasets` is not needed."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write, new_folder
from selfguide_lite.dataset_files.arrow import batches, schema
from selfguide_lite.dataset_files.forms import Column
from selfguide_lite.tabular.columnar import arrow

_SPLIT = "train"
_DATA = "data-00000-of-00001.arrow"
# What `save_to_disk` writes, and what `datasets` leaves beside it: a folder with anything else is not replaced.
_DICT = "dataset_dict.json"
_OURS = ("state.json", "dataset_info.json", "*.arrow")


def write_folder(rows: Iterable[dict[str, Any]], columns: Mapping[str, Column], path: Path) -> None:
    """Write records into a folder, which appears whole or not at all; a saved dataset that is there is replaced.

    :raises SelfguideError: where something else is there, the place cannot be written to, or pyarrow is missing
    """
    ipc = arrow(path, "pyarrow.ipc")
    table_schema = schema(columns, path)
    with new_folder(path) as work:
        _check_place(path)
        split = work / _SPLIT
        with atomic_write(split / _DATA) as part, ipc.new_stream(part, table_schema) as writer:
            for batch in batches(rows, table_schema, path):
                writer.write_batch(batch)
        with (split / _DATA).open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        _write_json(split / "state.json", _state(fingerprint))
        _write_json(split / "dataset_info.json", {"features": _features(columns)})
        _write_json(work / _DICT, {"splits": [_SPLIT]})


def _check_place(out: Path) -> None:
    """Refuse to replace what is no saved dataset, or one that holds more than that.

    :raises SelfguideError: naming what is there
    """
    if not out.is_dir():
        if out.exists():
            raise SelfguideError(f"{out}: is a file; name a folder, or a file with an ending that tells the format")
        return
    for found in sorted(out.rglob("*")):
        inside = found.relative_to(out)
        known = inside.name == _DICT or any(inside.match(name) for name in _OURS)
        if not (found.is_dir() and len(inside.parts) == 1 and (found / "state.json").is_file()) and not (
            found.is_file() and known
        ):
            raise SelfguideError(f"{out}: holds {inside}, so it is no saved dataset that can be replaced")


def _state(fingerprint: str) -> dict[str, Any]:
    return {
        "_data_files": [{"filename": _DATA}],
        "_fingerprint": fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": _SPLIT,
    }


def _features(columns: Mapping[str, Column]) -> dict[str, Any]:
    """Return the columns as `datasets` names their types, in the form that all of its versions read."""
    names = {str: "string", bool: "bool"}

    def value(kind: type[str] | type[bool]) -> dict[str, str]:
        return {"dtype": names[kind], "_type": "Value"}

    return {
        name: value(str) if turn is None else [{key: value(kind) for key, kind in turn.items()}]
        for name, turn in columns.items()
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=2), encoding="utf-8")
