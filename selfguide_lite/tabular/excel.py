"""The first sheet of an Excel file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.tabular.base import Row, Table, check_distinct


def excel(path: Path) -> Table:
    """Return the first sheet as a table: row 1 names the columns, rows are counted as Excel shows them.

    :raises SelfguideError: where openpyxl is missing, the file is no workbook, or a column is named twice
    """
    head = next(_cells(path), None)
    if head is None or not any(head[1]):
        raise SelfguideError(f"{path}: its first sheet is empty; row 1 names the columns")
    columns = tuple("" if name is None else str(name).strip() for name in head[1])
    named = [name for name in columns if name]
    check_distinct(path, named)

    def rows() -> Iterator[Row]:
        for number, cells in _cells(path):
            if number > 1 and any(cell is not None for cell in cells):
                yield Row(number, {name: cell for name, cell in zip(columns, cells, strict=False) if name})

    return Table(str(path), "row", tuple(named), rows)


def _cells(path: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        raise SelfguideError(
            f"{path}: needs the package openpyxl; install it with `pip install 'selfguide-lite[excel]'`"
        ) from error
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            yield from enumerate(book.worksheets[0].iter_rows(values_only=True), 1)
        finally:
            book.close()
    except (InvalidFileException, BadZipFile, KeyError, OSError, ValueError) as error:
        raise SelfguideError(f"{path}: cannot read this file as an Excel workbook") from error
