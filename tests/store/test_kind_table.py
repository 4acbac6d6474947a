"""A task's kind may be anything since format 4: a database made before opens, and nothing of it is lost."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from old_files import format_2

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.store import Store
from selfguide_lite.store.migrations import FORMAT

TABLES = ("example", "label", "noise_term", "output", "train_step", "model", "near_twin")
VIEWS = ("input_verdict", "answer_verdict", "vote", "dataset", "funnel")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database of format 2, with what a user may have added to the table `task`."""
    path = format_2(tmp_path / "old.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TRIGGER own_note AFTER UPDATE OF instruction ON task BEGIN"
            " UPDATE task SET noise_terms = '[]' WHERE id = NEW.id; END;"
            "CREATE INDEX own_kind ON task(kind);"
            "ALTER TABLE task ADD COLUMN own_remark TEXT;"
            "UPDATE task SET own_remark = 'mine';"
            "CREATE VIEW filter_input_own AS SELECT i.id, t.kind AS detail FROM input AS i"
            " JOIN task AS t ON t.id = i.task_id WHERE i.id = 3 AND t.kind = 'classification';"
        )
    return path


def columns(connection: sqlite3.Connection) -> dict[str, str]:
    """The columns of every table and view, as a list in SQL."""
    described = {name: connection.execute(f"SELECT * FROM {name} LIMIT 0").description for name in TABLES + VIEWS}
    return {name: ", ".join(f'"{column[0]}"' for column in found) for name, found in described.items()}


def content(connection: sqlite3.Connection, read: dict[str, str]) -> dict[str, list[tuple[object, ...]]]:
    return {name: sorted(connection.execute(f"SELECT {those} FROM {name}"), key=repr) for name, those in read.items()}


@pytest.mark.slow
def test_rows_views_and_references_survive(tmp_path: Path) -> None:
    path = format_2(tmp_path / "old.db")
    with closing(sqlite3.connect(path)) as connection:
        read = columns(connection)  # a version may add some
        before = content(connection, read)
        task = connection.execute("SELECT id, name, kind, instruction, created_at FROM task").fetchall()
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            connection.execute("INSERT INTO task(name, kind, instruction) VALUES ('n', 'ordinal', 'i')")
    assert len(before["dataset"]) == 6 and before["train_step"]
    with Store.open(path) as store:
        connection = store.connection
        assert content(connection, read) == before
        assert connection.execute("SELECT id, name, kind, instruction, created_at FROM task").fetchall() == task
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
        assert connection.execute("PRAGMA legacy_alter_table").fetchone() == (0,)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        # Rows that refer to a task still do, and a task to its kind.
        for statement in ("DELETE FROM task", "INSERT INTO task(name, kind, instruction) VALUES (1, 2, 3)"):
            with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
                connection.execute(statement)
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)


def test_what_the_user_added_survives(old: Path) -> None:
    with Store.open(old) as store:
        connection = store.connection
        made = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE tbl_name = 'task'")}
        assert {"task", "own_note", "own_kind"} <= made
        assert connection.execute("SELECT own_remark FROM task").fetchall() == [("mine",)]
        connection.execute("UPDATE task SET instruction = 'Another.'")
        assert connection.execute("SELECT noise_terms FROM task").fetchone() == ("[]",)
        # The user's own filter names the table `task`, and counts.
        assert connection.execute("SELECT id, reason, detail FROM input_verdict WHERE reason = 'own'").fetchall() == [
            (3, "own", "classification")
        ]


def test_it_is_read_where_it_may_not_be_written(old: Path) -> None:
    old.chmod(0o444)
    old.parent.chmod(0o555)
    try:
        with Store.open(old, read_only=True) as store:
            assert store.task(1).kind == "classification"
            assert store.settings(1)["labelled"] == 1
    finally:
        old.parent.chmod(0o755)


def test_texts_put_in_later_are_labelled_and_judged_as_before(old: Path) -> None:
    with Store.open(old) as store:
        connection = store.connection
        connection.execute("INSERT INTO input(id, task_id, text) VALUES (100, 1, 'a day of rain and of sunshine too')")
        connection.execute("INSERT INTO output(id, input_id, text) VALUES (100, 100, 'I would say SAD')")
        connection.execute("INSERT INTO output(id, input_id, sample, text) VALUES (101, 100, 1, 'neither')")
        assert connection.execute("SELECT label FROM output WHERE id = 100").fetchone() == ("sad",)
        found = connection.execute("SELECT reason, detail FROM output_verdict WHERE id IN (100, 101) ORDER BY id")
        assert found.fetchall() == [(None, None), ("label", "none of the labels")]


@pytest.mark.slow
def test_a_kind_that_is_not_installed_is_named(old: Path) -> None:
    with Store.open(old) as store:
        pairs = store.connection.execute("SELECT count(*) FROM dataset").fetchone()
        store.connection.execute("INSERT INTO kind(name, labelled, parsed, balanced) VALUES ('ordinal', 1, 1, 0)")
        store.connection.execute("UPDATE task SET kind = 'ordinal'")
        with pytest.raises(SelfguideError, match=r"'moods' is of the kind 'ordinal', which is not installed here; "):
            store.task(1)
        # The views need no Python: they ask for the properties.
        assert store.connection.execute("SELECT count(*) FROM dataset").fetchone() == pairs
