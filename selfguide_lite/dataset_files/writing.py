"""Records as a file or a folder, which appears whole or not at all.

JSONL, Parquet and folders hold the texts as they are; a CSV is for people and spreadsheets: a cell that one would run
as a formula gets an apostrophe in front, and control codes are replaced.
"""

from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import IO, Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.plain_json import plain_json
from selfguide_lite.dataset_files.arrow import write_parquet
from selfguide_lite.dataset_files.folder import write_folder
from selfguide_lite.dataset_files.forms import Form
from selfguide_lite.store.query import csv_lines

ENDINGS = (".jsonl", ".csv", ".parquet")


def write_dataset(rows: Iterable[dict[str, Any]], form: Form, path: Path) -> int:
    """Write records to a file whose ending tells the format, or to a folder of `datasets` where there is no ending.

    They are taken one by one, so they may come from a database that holds more than the memory.

    :param rows: records of this form
    :return: how many there were
    :raises SelfguideError: where the ending is unknown, the place cannot be written to or holds something else, or
        the package for Arrow's formats is missing
    """
    ending, number = path.suffix.lower(), count()
    if ending and ending not in ENDINGS:
        raise SelfguideError(
            f"{path}: the ending tells the format; choose one of {', '.join(ENDINGS)}, or none for a folder of "
            "`datasets`"
        )
    counted = (row for row in rows if next(number) >= 0)
    if not ending:
        write_folder(counted, form.columns, path)
    elif ending == ".parquet":
        write_parquet(counted, form.columns, path)
    else:
        _write_lines(counted, form, path, ending)
    return next(number)


def _write_lines(rows: Iterable[dict[str, Any]], form: Form, path: Path, ending: str) -> None:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        if ending == ".jsonl":
            write_json_lines(rows, handle)
        else:
            handle.writelines(csv_lines(list(form.columns), map(_cells, rows)))


def write_json_lines(rows: Iterable[dict[str, Any]], handle: IO[str]) -> None:
    """Write each record as a line of JSON."""
    handle.writelines(plain_json(row) + "\n" for row in rows)


def _cells(record: dict[str, Any]) -> list[str]:
    return [value if isinstance(value, str) else plain_json(value) for value in record.values()]
