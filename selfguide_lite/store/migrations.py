"""The format of the file as small dated migrations, oldest first. Knows nothing of views."""

import re
from sqlite3 import complete_statement
from typing import TYPE_CHECKING

from selfguide_lite.store.own_tables import (
    FIELDS_2026_11_24,
    OWN_DATA_2026_11_24,
    REVIEW_2026_11_24,
    VERSIONS_2026_11_24,
)
from selfguide_lite.store.renaming import rename_2026_11_24
from selfguide_lite.store.tables import (
    CALIBRATION_2026_11_24,
    KIND_CHECK,
    KINDS_2026_11_24,
    RAW_TEXTS_2026_11_24,
    TABLES_2026_11_21,
)
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
FORMAT = 8
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
        _execute(db, CALIBRATION_2026_11_24)

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

    @steps(name="2026-11-24-kinds")
    def kinds(db: "Database") -> None:
        _execute(db, KINDS_2026_11_24)
        _make_task_anew(db)

    @steps(name="2026-11-24-raw-texts")
    def raw_texts(db: "Database") -> None:
        _execute(db, RAW_TEXTS_2026_11_24)

    @steps(name="2026-11-24-own-data")
    def own_data(db: "Database") -> None:
        _execute(db, OWN_DATA_2026_11_24)

    @steps(name="2026-11-24-review")
    def review(db: "Database") -> None:
        _execute(db, REVIEW_2026_11_24)

    @steps(name="2026-11-24-versions")
    def versions(db: "Database") -> None:
        _execute(db, VERSIONS_2026_11_24)

    @steps(name="2026-11-24-fields")
    def fields(db: "Database") -> None:
        _execute(db, FIELDS_2026_11_24)

    @steps(name="2026-11-24-share-of-all-drawn")
    def share_of_all_drawn(db: "Database") -> None:
        db.execute("DELETE FROM setting WHERE key = 'share_over_survivors'")  # the share of old files was another

    return steps


def _make_task_anew(db: "Database") -> None:
    """Put a reference to the table `kind` in place of the CHECK on a task's kind, which SQLite cannot drop.

    Foreign keys are off while migrations run, so the rows that refer to a task stay. Old files may have views, columns,
    indexes and triggers of the user's: with SQLite's former way of renaming, views are not looked at.
    """
    ((old,),) = db.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'task'").fetchall()
    beside = db.execute(
        "SELECT sql FROM sqlite_master WHERE tbl_name = 'task' AND type IN ('index', 'trigger') AND sql IS NOT NULL"
    ).fetchall()
    new = re.sub(r"^CREATE TABLE [^(]+\(", "CREATE TABLE task_anew (", old.replace(KIND_CHECK, "REFERENCES kind(name)"))
    legacy = db.execute("PRAGMA legacy_alter_table").fetchone()[0]
    db.execute("PRAGMA legacy_alter_table = ON")
    for statement in (
        new,
        "INSERT INTO task_anew SELECT * FROM task",
        "DROP TABLE task",
        "ALTER TABLE task_anew RENAME TO task",
        *(sql for (sql,) in beside),
        f"PRAGMA legacy_alter_table = {legacy}",
    ):
        db.execute(statement)


def _execute(db: "Database", script: str) -> None:
    for statement in _statements(script):
        db.execute(statement)


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
