"""A filter is one `.sql` file: put into a folder, it is counted by the verdicts with no other change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewInput, NewOutput, Store, filter_views
from selfguide_lite.store.filters import list_filters
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
    filter_views._read.cache_clear()
    filter_views._ranked.cache_clear()
    yield added
    filter_views._read.cache_clear()
    filter_views._ranked.cache_clear()


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
    filter_views._read.cache_clear()
    filter_views._ranked.cache_clear()
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
    filter_views._read.cache_clear()
    filter_views._ranked.cache_clear()
    with Store.open(path) as store:  # the file's view stays in the database, as a filter of the user's
        assert reasons(store, "answer_verdict") == {1: None, 2: "share", 3: "zeds"}
        assert ("late", True) in [(row.name, row.own) for row in list_filters(store, 1)]
        store.connection.execute("DROP VIEW filter_answer_late")
    with Store.open(path) as store:
        assert reasons(store, "answer_verdict") == {1: None, 2: "share", 3: "zeds"}


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
    filter_views._read.cache_clear()
    with pytest.raises(SelfguideError, match=said):
        Store.open(tmp_path / "a.db")
