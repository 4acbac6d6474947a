"""A table whose rows are read as they are asked for, and the texts in its cells."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError, short

LONGEST_TEXT = 100_000  # characters, as in a task file
MOST_UNPACKED = 256 * 2**20  # bytes of a packed file's texts: a small file can stand for more than any memory has
INPUT_COLUMNS = ("input", "text")  # where an input stands, where nothing else is said
OUTPUT_COLUMNS = ("output", "label")


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    :param number: as `Table.unit` counts: lines and the rows of a sheet from 1, with the header
    :param values: by the name of the column
    """

    number: int
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    :param name: the file as it was named, for messages and as the origin of what is taken from it
    :param unit: what a number counts: `line`, `row` or `file`
    :param columns: their names in their order; None where each row has its own, as in JSONL
    :param read: begins to read the rows
    """

    name: str
    unit: str
    columns: tuple[str, ...] | None
    read: Callable[[], Iterator[Row]]

    def place(self, row: Row, column: str | None = None) -> str:
        """Say where a cell stands, for a message."""
        found = f"{self.name}: {self.unit} {row.number}"
        return found if column is None else f"{found}, column {short(column)}"

    def column(self, wanted: str | None, usual: Sequence[str], option: str) -> str:
        """Return the name of the column that is meant: the one wanted, else a usual one, else the only one.

        :param usual: names that are looked for, in this order
        :param option: how a user names a column, such as `--column`
        :raises SelfguideError: where there is no such column
        """
        there = self.columns
        if there is None:
            first = next(self.read(), None)
            there = () if first is None else tuple(first.values)
        if wanted is not None:
            if wanted in there or self.columns is None:
                return wanted
            raise SelfguideError(f"{self.name}: has no column {short(wanted)!r}; there are: {_listed(there)}")
        for name in usual:
            if name in there:
                return name
        if len(there) == 1:
            return there[0]
        raise SelfguideError(
            f"{self.name}: which column? there is none called {' or '.join(usual)}; name one with {option}; "
            f"there are: {_listed(there)}"
        )

    def text(self, row: Row, column: str) -> str:
        """Return the text in a cell, without outer white space; a whole number counts as its digits.

        :raises SelfguideError: where the row has no such column, or no text stands there
        """
        if column not in row.values:
            raise SelfguideError(f"{self.place(row)}: has no column {short(column)!r}; it has {_listed(row.values)}")
        value = row.values[column]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            what = "is empty" if value is None else f"is {type(value).__name__}, not a text"
            raise SelfguideError(f"{self.place(row, column)}: {what}")
        text = value.strip()
        if not text:
            raise SelfguideError(f"{self.place(row, column)}: is empty")
        if len(text) > LONGEST_TEXT:
            raise SelfguideError(f"{self.place(row, column)}: longer than {LONGEST_TEXT:,} characters")
        if "\0" in text:
            raise SelfguideError(f"{self.place(row, column)}: holds a NUL character; remove it")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise SelfguideError(f"{self.place(row, column)}: holds half a character (a lone surrogate)") from error
        return text


def check_distinct(path: Path, names: Sequence[str]) -> None:
    """Refuse a first row that names a column twice.

    :raises SelfguideError: naming the column
    """
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise SelfguideError(f"{path}: row 1: the column {short(twice[0])!r} is there twice; rename one")


def _listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(short(str(name), 40) for name in list(names)[:20]) or "none"
