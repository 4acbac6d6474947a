"""What the commands on a database share: it is opened for a task, and rows are printed as a table."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfguide_lite.cli.common import find_db
from selfguide_lite.core.text import neutral

if TYPE_CHECKING:
    from selfguide_lite.store import Store


_WIDEST_CELL = 60
_WIDEST_COLUMN = 200


@contextmanager
def opened_task(db: Path | None, task_name: str | None, *, write: bool = False) -> Iterator[tuple["Store", int]]:
    """Open the database that the options name, and find the task."""
    from selfguide_lite.store import Store

    with Store.open(find_db(db), read_only=not write, create=False) as store:
        yield store, store.only_task_id(task_name)


@contextmanager
def whole_pipe() -> Iterator[None]:
    """End quietly where the reader of our output goes away, as `head` does."""
    import os

    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], indent: str = "") -> None:
    """Print a table: numbers to the right, long cells cut where a person reads it, whole in a pipe."""
    cut = sys.stdout.isatty()
    shown = [[_cell(value, cut) for value in row] for row in rows]
    heads = [neutral(column) for column in columns]
    # A single endless cell must not fill every line with blanks.
    widths = [min(_WIDEST_COLUMN, max(map(_width, column))) for column in zip(heads, *shown, strict=True)]
    right = [all(_is_number(row[n]) for row in shown) and bool(shown) for n in range(len(heads))]
    for row in (heads, *shown):
        cells = [
            " " * (width - _width(cell)) + cell if to_right else cell + " " * (width - _width(cell))
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        click.echo(indent + "  ".join(cells).rstrip())
        if row is heads:
            click.echo(indent + "  ".join("-" * width for width in widths))


def _cell(value: Any, cut: bool) -> str:
    from selfguide_lite.store.query import plain

    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else neutral(str(plain(value)))
    return text[: _WIDEST_CELL - 1] + "…" if cut and len(text) > _WIDEST_CELL else text


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _is_number(text: str) -> bool:
    return text == "" or text.replace(",", "").replace("%", "").replace(".", "").replace("-", "").strip().isdigit()
