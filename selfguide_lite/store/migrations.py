"""The format of the file as small dated migrations, oldest first. Knows nothing of views."""

from sqlite3 import complete_statement
from typing import TYPE_CHECKING

from selfguide_lite.store.renaming import rename_2026_11_24
from selfguide_lite.store.tables import CALIBRATION_2026_11_24, TABLES_2026_11_21
from selfguide_lite.store.triggers import (
    FORMAT_1_KEPT_2026_11_24,
    LABEL_TRIGGERS_2026_11_24,
    TRIGGERS_2026_11_21,
    contains,
    contains_or_begins,
    noise_triggers,
)

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

# Raised with every change of tables or views: an older program refuses a newer file.
FORMAT = 3
APPLICATION_ID = 0x53474C54  # "SGLT", in the header of every file of ours
MIGRATION_SET = "selfguide-lite"


def migrations() -> "Migrations":
    """Return the migrations, oldest first. sqlite-utils is imported here: it takes a third of a second."""
    from sqlite_utils import Migrations

    steps = Migrations(MIGRATION_SET)

    @steps(name="2026-11-21-tables")
    def tables(db: "Database") -> None:
        noise = noise_triggers(contains).values()
        for statement in (*_statements(TABLES_2026_11_21), *TRIGGERS_2026_11_21, *noise):
            db.execute(statement)

    @steps(name="2026-11-24-calibration")
    def calibration(db: "Database") -> None:
        for statement in _statements(CALIBRATION_2026_11_24):
            db.execute(statement)

    @steps(name="2026-11-24-filters-for-real-models")
    def filters(db: "Database") -> None:
        for statement in (*_statements(FORMAT_1_KEPT_2026_11_24), *LABEL_TRIGGERS_2026_11_24):
            db.execute(statement)
        for name, trigger in noise_triggers(contains_or_begins).items():
            db.execute(f"DROP TRIGGER {name}")
            db.execute(trigger)

    @steps(name="2026-11-24-standard-names")
    def names(db: "Database") -> None:
        rename_2026_11_24(db.conn)

    return steps


def _statements(script: str) -> list[str]:
    """Split a script into statements; `executescript` would end the migration's transaction."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    return [statement for statement in found if statement]
