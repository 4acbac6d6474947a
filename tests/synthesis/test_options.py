"""Settings from the command line, the database that is meant, one run at a time."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from selfguide_lite.cli.common import find_db, given_settings
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.lock import exclusive
from selfguide_lite.core.paths import default_db, files_dir
from selfguide_lite.core.settings import Settings


def test_later_settings_win(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("rounds: 7\ninput_temperature: 0.6\n")
    given = given_settings(file, ["rounds=9", "balance=false", "near_duplicate_threshold=null"])
    settings = Settings(samples=3).changed(given)
    assert (settings.rounds, settings.input_temperature, settings.samples) == (9, 0.6, 3)
    assert settings.balance is False and settings.near_duplicate_threshold is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("round: 7", "did you mean rounds"),
        ("rounds: many", "rounds: 'many' is not allowed; allowed: whole number, at least 0"),
        ("rounds: -1", "rounds: '-1' is not allowed; allowed: whole number, at least 0"),
        ("- 1", "mapping"),
        ("a: [", "not valid YAML"),
        ("", "mapping"),
    ],
)
def test_a_wrong_settings_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(SelfguideError, match=says) as caught:
        given_settings(file, [])
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("assignment", ["rounds", "rounds=x", "nothing=1", "min_vote_share=2", "rounds=[", "=1"])
def test_a_wrong_assignment_is_wrong_usage(assignment: str) -> None:
    with pytest.raises(click.BadParameter):
        given_settings(None, [assignment])


def test_which_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_db(Path("x.db")) == Path("x.db")
    assert default_db("Who is it? / 2") == Path("Who-is-it-2.db")
    assert default_db("../../etc") == Path("etc.db")
    with pytest.raises(SelfguideError, match="no database"):
        find_db(None)
    (tmp_path / "a.db").touch()
    assert find_db(None) == Path("a.db")
    (tmp_path / "b.db").touch()
    with pytest.raises(SelfguideError, match=r"a\.db, b\.db"):
        find_db(None)


def test_a_second_run_is_told_the_first_ones_number(tmp_path: Path) -> None:
    db = tmp_path / "a.db"
    hold = (
        "import sys, time; from pathlib import Path; from selfguide_lite.core.lock import exclusive\n"
        f"with exclusive(Path({str(db)!r})):\n    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        try:
            with pytest.raises(SelfguideError, match=rf"process {first.pid}\b"), exclusive(db):
                pass
        finally:
            first.kill()
    # The kernel dropped the dead process's lock: its file is stale and in nobody's way.
    with exclusive(db):
        assert (files_dir(db) / "lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a-files").write_text("in the way")
    with pytest.raises(SelfguideError, match="cannot write here"), exclusive(tmp_path / "a.db"):
        pass
