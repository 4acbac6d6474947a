"""A database as an earlier version wrote it, with views of a user, and what that version knew of it."""

import sqlite3
from contextlib import closing
from pathlib import Path

# The hash of the training's options that the version of format 2 wrote into the training's folder.
OPTIONS_SHA256 = "68101c808fffe5015a84904fae8bce83b68ca306fe3fd012d68d0e3a17cf0521"


def format_2(path: Path) -> Path:
    """Write the database as it was: one task, two of four rounds of inputs, their answers, a finished training."""
    script = (Path(__file__).parent / "store" / "format-2.sql").read_text(encoding="utf-8")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path
