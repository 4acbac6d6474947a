"""The first sheet of an Excel file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.tabular.base import MOST_UNPACKED, Row, Table, check_distinct


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
                given = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
                yield Row(number, dict.fromkeys(named) | given)

    return Table(str(path), "row", tuple(named), rows)


def _cells(path: Path) -> Iterator[tuple[int, tuple[Any, ...]]]:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise SelfguideError(
            f"{path}: needs the package openpyxl; install it with `pip install 'selfguide-lite[excel]'`"
        ) from error
    _check_size(path)
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # what a file says of its size is not always so: every row is filled up to it
            yield from enumerate(sheet.iter_rows(values_only=True), 1)
        finally:
            book.close()
    except MemoryError:
        raise
    except Exception as error:  # of a damaged file openpyxl and its parsers raise any
        raise SelfguideError(f"{path}: cannot read this file as an Excel workbook") from error


def _check_size(path: Path) -> None:
    """Refuse a workbook that is small on the disk and would fill the memory: openpyxl holds all its texts at once.

    :raises SelfguideError: where it is, or is no workbook
    """
    try:
        with ZipFile(path) as packed:
            unpacked = sum(part.file_size for part in packed.infolist())
    except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise SelfguideError(f"{path}: cannot read this file as an Excel workbook") from error
    if unpacked > MOST_UNPACKED:
        most, size = MOST_UNPACKED // 2**20, unpacked / 2**20
        raise SelfguideError(f"{path}: has {size:,.0f} MiB when unpacked, and {most} at most are read; save it as CSV")
