"""A filter is one `.sql` file: put into a folder, it is counted by the verdicts with no other change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from plugins_for_tests import Plugins

from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewInput, NewOutput, Store, filter_views
from selfguide_lite.store.filters import add_filter, list_filters
from selfguide_lite.task import Example, Task

COPY = Task(
    name="copy",
    kind="generation",
    instruction="Copy it.",
    examples=(Example(input="abcdefghij", output="abcdefghij"), Example(input="klmnopqrst", output="klmnopqrst")),
    settings=Settings(min_vote_share=0.7),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder outside the package whose filters count."""
    added = tmp_path / "filters"
    added.mkdir()
    monkeypatch.setattr(filter_views, "VIEW_FOLDERS", [*filter_views.VIEW_FOLDERS, added])
    filter_views.forget_folders()
    yield added
    filter_views.forget_folders()


def fill(path: Path) -> None:
    with Store.open(path) as store:
        task_id = store.add_task(COPY)
        run = store.start_run(task_id, "generate", None, COPY.settings, 1, None)
        for number, text in enumerate(("0123456789", "9876543210", "zzzzz", "99")):
            shown = store.add_input(NewInput(task_id, run, 0, number, text))
            answers = (text, text, "xxxxx" if number == 1 else text)
            store.add_outputs([NewOutput(shown, run, n, answer) for n, answer in enumerate(answers)])


def reasons(store: Store, view: str) -> dict[int, str | None]:
    return dict(store.connection.execute(f"SELECT id, reason FROM {view}"))


@pytest.mark.slow
def test_a_file_for_each_stage_is_all_that_a_filter_takes(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "a.db"
    fill(path)
    with Store.open(path) as store:
        assert reasons(store, "input_verdict") == {1: None, 2: None, 3: None, 4: "length"}
        assert reasons(store, "answer_verdict") == {1: None, 2: "share", 3: None}
    (folder / "filter_input_nines.sql").write_text(
        "-- Rejects inputs that begin with 99.\n-- rank: 5\n"
        "SELECT id, 'nines' AS detail FROM input WHERE text GLOB '99*';\n"
    )
    (folder / "filter_output_x.sql").write_text(
        "-- Rejects outputs with an x.\nSELECT id, 'an x' AS detail FROM output WHERE text LIKE '%x%';\n"
    )
    # One that looks at one row at a time, and one that does not, ranked before and after the filter by share.
    (folder / "filter_answer_zeds.sql").write_text(
        "-- Rejects answers of z alone.\n-- rank: 30\nSELECT a.input_id AS id, a.answer AS detail\nFROM answer AS a\n"
        "CROSS JOIN filter_setting AS s ON s.task_id = a.task_id\nWHERE a.answer NOT GLOB '*[^z]*';\n"
    )
    (folder / "filter_answer_late.sql").write_text(
        "-- Rejects the last answers.\n-- rank: 15\n"
        "SELECT input_id AS id, 'late' AS detail FROM answer WHERE input_id > 1;\n"
    )
    filter_views.forget_folders()
    with Store.open(path) as store:
        assert reasons(store, "input_verdict") == {1: None, 2: None, 3: None, 4: "nines"}
        assert {id for id, reason in reasons(store, "output_verdict").items() if reason == "x"} == {6}
        assert reasons(store, "answer_verdict") == {1: None, 2: "share", 3: "late"}
        rejects = {(row.stage, row.name): (row.rejects, row.own) for row in list_filters(store, 1)}
        assert rejects["input", "nines"] == (1, False) and rejects["output", "x"] == (1, False)
        assert rejects["answer", "zeds"] == (1, False) and rejects["answer", "late"] == (2, False)
        names = [row.name for row in list_filters(store, 1) if row.stage == "answer"]
        assert names == ["share", "late", "confidence", "zeds", "disagreement"]
        assert len(store.pairs(1)) == 1
    (folder / "filter_answer_late.sql").unlink()
    filter_views.forget_folders()
    with Store.open(path) as store:  # the file's view stays in the database, as a filter of the user's
        assert reasons(store, "answer_verdict") == {1: None, 2: "share", 3: "zeds"}
        assert ("late", True) in [(row.name, row.own) for row in list_filters(store, 1)]
        store.connection.execute("DROP VIEW filter_answer_late")
    with Store.open(path) as store:
        assert reasons(store, "answer_verdict") == {1: None, 2: "share", 3: "zeds"}


@pytest.mark.slow
def test_an_installed_package_brings_filters(tmp_path: Path, plugins: Plugins) -> None:
    path = tmp_path / "a.db"
    fill(path)
    package = plugins.folder / "more_filters"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('need not be imported')\n", encoding="utf-8")
    (package / "filter_input_nines.sql").write_text(
        "-- Rejects inputs that begin with 99.\nSELECT id, 'nines' AS detail FROM input WHERE text GLOB '99*';\n"
    )
    plugins.install("more_info", "", {"selfguide_lite.store.views": {"mine": "Mine"}})
    points = plugins.folder / "more_info-1.0.dist-info" / "entry_points.txt"
    filter_views.forget_folders()
    try:
        with pytest.raises(SelfguideError, match="filters 'mine': more_info:Mine is no package"):
            Store.open(path)
        points.write_text("[selfguide_lite.store.views]\nmine = more_filters\n", encoding="utf-8")
        filter_views.forget_folders()
        with Store.open(path) as store:
            assert {row.name: row.rejects for row in list_filters(store, 1) if not row.own}["nines"] == 1
        told = CliRunner().invoke(main, ["filter", "list", "-d", str(path)])
        assert told.exit_code == 0 and "nines" in told.output
    finally:
        points.unlink()
        filter_views.forget_folders()


def test_a_users_filter_of_the_same_name_gets_another_one_and_still_counts(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.db"
    fill(path)
    with Store.open(path) as store:
        add_filter(store, "input", "nines", "select id, 'mine' as detail from input where text like '%zz%'")
        store.connection.execute(
            'CREATE VIEW "filter_input_eights" (id, detail) AS\nSELECT id, text FROM input WHERE 0'
        )
    for name in ("nines", "eights"):
        (folder / f"filter_input_{name}.sql").write_text(
            f"-- Rejects inputs.\nSELECT id, '{name}' AS detail FROM input WHERE text GLOB '99*';\n"
        )
    filter_views.forget_folders()
    with Store.open(path) as store:
        rejects = {row.name: (row.rejects, row.own) for row in list_filters(store, 1) if row.stage == "input"}
        assert rejects["nines"] == (1, False) and rejects["nines_own1"] == (1, True)
        assert rejects["eights"] == (1, False) and rejects["eights_own1"] == (0, True)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2 and told[1].startswith("your filter filter_input_nines is named filter_input_nines_own1")
    caplog.clear()
    (folder / "filter_input_nines.sql").write_text("-- Newer.\nSELECT id, '' AS detail FROM input WHERE 0;\n")
    filter_views.forget_folders()
    with Store.open(path) as store:  # a newer version of a file takes the place of the older
        assert "nines_own2" not in {row.name for row in list_filters(store, 1)}
    assert not caplog.records


def test_a_filter_is_not_added_to_a_file_that_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    fill(path)
    with Store.open(path) as store:
        path.rename(tmp_path / "moved.db")
        path.write_bytes(b"")
        with pytest.raises(SelfguideError, match="deleted or replaced while in use"):
            add_filter(store, "input", "late", "select id, '' as detail from input")


@pytest.mark.parametrize(
    ("name", "sql", "said"),
    [
        ("filter_inputs_x", "SELECT id, '' AS detail FROM input;", "is named filter_STAGE_NAME.sql"),
        ("filter_input_echo", "SELECT id, '' AS detail FROM input;", "a filter of that name already"),
        ("filter_input_x", "-- rank: 40\nSELECT id, '' AS detail FROM input;", "rank 40 is that of filter_input_echo"),
        ("filter_input_x", "-- rank: 1000\nSELECT id, '' AS detail FROM input;", "not between 1 and 899"),
        ("filter_input_x", "SELECT id, reason AS detail FROM input_verdict;", "filter_input_x.sql: cannot be counted"),
        ("filter_input_x", "SELECT id FROM input;", "filter_input_x.sql: cannot be counted"),
    ],
)
def test_a_file_that_cannot_count_is_refused(tmp_path: Path, folder: Path, name: str, sql: str, said: str) -> None:
    (folder / f"{name}.sql").write_text(sql)
    filter_views.forget_folders()
    with pytest.raises(SelfguideError, match=said):
        Store.open(tmp_path / "a.db")
