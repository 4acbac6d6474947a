"""Finds out what a file is, by its ending, and reads it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.tabular.base import Row, Table
from selfguide_lite.tabular.columnar import datasets_folder, parquet
from selfguide_lite.tabular.excel import excel
from selfguide_lite.tabular.plain import csv_table, jsonl, text_folder, text_lines

Format = Literal["jsonl", "csv", "tsv", "txt", "parquet", "xlsx"]
FORMATS: tuple[str, ...] = get_args(Format)
_ENDINGS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".txt": "txt", ".parquet": "parquet"}
_ENDINGS |= {".xlsx": "xlsx", ".xlsm": "xlsx"}


def read_table(path: Path, form: str | None = None) -> Table:
    """Open a table. The ending tells the format; a folder is one of `datasets`, or of `.txt` files.

    :param form: one of `FORMATS`, where the ending does not tell it
    :raises SelfguideError: where the file is missing, its format unknown, or a package for it missing
    """
    if path.is_dir():
        if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            return datasets_folder(path)
        return text_folder(path)
    if not path.is_file():
        raise SelfguideError(f"{path}: no such file")
    form = form or _ENDINGS.get(path.suffix.lower())
    match form:
        case "jsonl":
            return jsonl(path)
        case "csv" | "tsv":
            return csv_table(path, "\t" if form == "tsv" else None)
        case "txt":
            return text_lines(path)
        case "parquet":
            return parquet(path)
        case "xlsx":
            return excel(path)
    raise SelfguideError(f"{path}: the ending tells the format; choose one of {', '.join(_ENDINGS)}, or a folder")


def read_lines(name: str, lines: Iterable[str]) -> Table:
    """Return lines, of standard input for instance, as a table with the column `input`; blank lines are left out."""
    kept = [(number, line.strip()) for number, line in enumerate(lines, 1)]

    def rows() -> Iterator[Row]:
        for number, line in kept:
            if line:
                yield Row(number, {"input": line})

    return Table(name, "line", ("input",), rows)
