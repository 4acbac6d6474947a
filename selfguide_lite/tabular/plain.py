"""Tables in files of text: JSON lines, CSV, lines, a folder of texts."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.tabular.base import LONGEST_TEXT, Row, Table, check_distinct

_LONGEST_LINE = 4 * 2**20  # characters
_DELIMITERS = ",;\t"


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SelfguideError(f"{path}: cannot read this file: {reason}") from error


def _bounded_lines(path: Path, file: TextIO) -> Iterator[str]:
    """Yield the lines of an open file, none of them longer than fits into memory many times.

    :raises SelfguideError: naming the line that is
    """
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), ""), 1):
        if len(line) > _LONGEST_LINE:
            raise SelfguideError(f"{path}: line {number}: longer than {_LONGEST_LINE:,} characters")
        yield line


def _lines(path: Path, blank: bool = False) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line.

    :param blank: whether those without any text are among them
    """
    with _opened(path) as file:
        for number, line in enumerate(_bounded_lines(path, file), 1):
            if blank or line.strip():
                yield number, line


def jsonl(path: Path) -> Table:
    """Return JSON lines as a table: each line an object, whose fields are the columns."""
    return Table(str(path), "line", None, partial(_jsonl_rows, path))


def _jsonl_rows(path: Path) -> Iterator[Row]:
    for number, values in enumerate(json_records(path), 1):
        if values is not None:
            yield Row(number, values)


def json_records(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the object on each line of a file of JSON lines; None for a blank line.

    :raises SelfguideError: naming file and line
    """
    for number, line in _lines(path, blank=True):
        if not line.strip():
            yield None
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SelfguideError(f"{path}: line {number}: not valid JSON: {str(error).splitlines()[0]}") from error
        if not isinstance(values, dict):
            raise SelfguideError(f"{path}: line {number}: not a JSON object")
        yield values


def text_lines(path: Path) -> Table:
    """Return the lines of a text as a table with the column `input`."""

    def rows() -> Iterator[Row]:
        for number, line in _lines(path):
            yield Row(number, {"input": line.strip()})

    return Table(str(path), "line", ("input",), rows)


def text_folder(path: Path) -> Table:
    """Return the `.txt` files of a folder as a table with the column `input`: each file is one entry.

    :raises SelfguideError: where there is none
    """
    files = sorted(path.glob("*.txt"))
    if not files:
        raise SelfguideError(f"{path}: is a folder without .txt files, and none that `datasets` saved")

    def rows() -> Iterator[Row]:
        for number, file in enumerate(files, 1):
            with _opened(file) as opened:
                text = opened.read(LONGEST_TEXT + 1).replace("\r\n", "\n")
            yield Row(number, {"input": text})

    return Table(str(path), "file", ("input",), rows)


def csv_table(path: Path, delimiter: str | None = None) -> Table:
    """Return a CSV with a header as a table. Rows are counted as a spreadsheet shows them: the header is row 1.

    :param delimiter: None: comma, semicolon or tab, whichever the header has most of
    :raises SelfguideError: where the header is missing or names a column twice
    """
    chosen = delimiter or csv_delimiter(path)
    columns, _ = csv_records(path, chosen)

    def rows() -> Iterator[Row]:
        for number, values in enumerate(csv_records(path, chosen)[1], 2):
            if values is not None:
                yield Row(number, values)

    return Table(str(path), "row", columns, rows)


def csv_delimiter(path: Path) -> str:
    """Return comma, semicolon or tab, whichever the first line has most of."""
    with _opened(path) as file:
        head = file.readline(_LONGEST_LINE)
    return max(_DELIMITERS, key=head.count)


def csv_records(path: Path, delimiter: str) -> tuple[tuple[str, ...], Iterator[dict[str, str] | None]]:
    """Return the columns that a CSV's first row names, and its rows by column; None for a blank line.

    :raises SelfguideError: naming file and row
    """
    rows = _csv_rows(path, delimiter)
    header = next(rows, None)
    if not header:
        raise SelfguideError(f"{path}: is empty; the first row of a CSV names the columns")
    columns = tuple(name.strip() for name in header)
    check_distinct(path, columns)

    def records() -> Iterator[dict[str, str] | None]:
        for number, cells in enumerate(rows, 2):
            if cells and len(cells) != len(columns):
                raise SelfguideError(f"{path}: row {number}: has {len(cells)} cells, the header has {len(columns)}")
            yield dict(zip(columns, cells, strict=True)) if cells else None

    return columns, records()


def _csv_rows(path: Path, delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of each row; none for a blank line."""
    number = 0
    with _opened(path) as file:
        try:
            for cells in csv.reader(_bounded_lines(path, file), delimiter=delimiter, strict=True):
                number += 1
                yield cells
        except csv.Error as error:
            raise SelfguideError(f"{path}: row {number + 1}: not valid CSV: {error}") from error
