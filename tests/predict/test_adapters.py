"""Several trainings beside one another: none overwrites another, each can be named, moved, and cleaned away."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from finetuned_models import add_training, add_verdict, finetuned

from selfguide_lite.cli import main
from selfguide_lite.core.paths import training_folders
from selfguide_lite.store import Store

TEXT = "a moon with the number 5"


def ran(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two adapters, of which the first is better and was compared last."""
    made = finetuned(tmp_path_factory.mktemp("adapters") / "warmth.db")
    add_training(made, "second", strength=0.4)
    add_verdict(made, 2, after=0.7)
    add_verdict(made, 1, after=0.9)
    return made


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made.parent, tmp_path / "here")) / made.name


def shares(db: Path, *words: object) -> dict[str, float]:
    done = ran("predict", "-d", db, "--json", *words, TEXT)
    assert done.exit_code == 0, done.output
    found: dict[str, float] = json.loads(done.stdout)["shares"]
    return found


def test_both_are_listed_and_each_can_be_named(db: Path) -> None:
    listed = json.loads(ran("models", "adapters", "-d", db, "--json").stdout)
    assert [(one["id"], one["pairs"], one["there"], one["current"]) for one in listed] == [
        (1, 16, True, True),
        (2, 16, True, False),
    ]
    assert listed[0]["gain"]["after"] == 0.9 and listed[1]["gain"]["over"] == "few-shot calibrated"
    said = ran("models", "adapters", "-d", db).stdout
    assert "1 (taken where none is named): +30.0 points (+20.0 to +40.0) over few-shot calibrated" in said
    first, second = shares(db, "--adapter", 1), shares(db, "--adapter", 2)
    assert first != second and shares(db) == first
    assert shares(db, "-a", training_folders(db, "warmth")[1] / "adapter.gguf") == second
    wrong = ran("predict", "-d", db, "--adapter", 3, TEXT)
    assert wrong.exit_code == 1 and "has no adapter 3; there are: 1, 2" in wrong.stderr


def test_database_and_files_are_moved_and_renamed_together(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shares(db)
    there = tmp_path / "there"
    shutil.move(db.parent, there)
    assert shares(there / "warmth.db") == before
    shutil.move(there / "warmth-files", there / "other-files")
    shutil.move(there / "warmth.db", there / "other.db")
    monkeypatch.chdir(there)
    assert shares(Path("other.db")) == before  # from its folder, by a relative name
    with Store.open(there / "other.db", read_only=True) as store:
        kept = store.connection.execute("SELECT path FROM adapter UNION SELECT adapter FROM model").fetchall()
    assert {path for (path,) in kept if path} == {
        f"warmth-files/warmth/training-{key}/adapter.gguf" for key in ("first", "second")
    }


@pytest.mark.parametrize("kept", ["{db}-files/warmth/adapter.gguf", "{parent}/warmth-files/warmth/adapter.gguf"])
def test_the_paths_of_older_databases_still_lead_to_the_file(db: Path, tmp_path: Path, kept: str) -> None:
    """They are relative to the folder of the command that made them, or whole, and there is one adapter a task."""
    before = shares(db, "--adapter", 2)
    old = db.parent / "warmth-files" / "warmth" / "adapter.gguf"
    shutil.move(db.parent / "warmth-files" / "warmth" / "training-second" / "adapter.gguf", old)
    with Store.open(db) as store, store.connection as connection:
        path = kept.format(db="out/warmth", parent=db.parent)
        connection.execute("UPDATE adapter SET path = ? WHERE id = 2", (path,))
    shutil.move(db.parent, tmp_path / "there")
    assert shares(tmp_path / "there" / "warmth.db", "--adapter", 2) == before


def test_clean_shows_and_then_removes_what_nothing_points_to(db: Path) -> None:
    add_training(db, "third")
    add_training(db, "fourth")
    folders = {folder.name: folder for folder in training_folders(db, "warmth")}
    stranger = db.parent / "precious.txt"
    stranger.write_text("not ours")
    with Store.open(db) as store, store.connection as connection:
        connection.execute("UPDATE adapter SET path = 'warmth-files/../precious.txt' WHERE id = 3")
    shown = ran("clean", "-d", db)
    assert shown.exit_code == 0 and "Nothing was removed; --yes removes them." in shown.stdout
    assert "training-third" in shown.stdout and "no evaluation points to it" in shown.stdout
    assert "training-fourth" not in shown.stdout.replace("training-fourth/checkpoint-2", "")  # trained last
    assert all(folder.is_dir() for folder in folders.values())
    done = json.loads(ran("clean", "-d", db, "--yes", "--json").stdout)
    assert done["removed"] and len(done["found"]) == 4
    assert not folders["training-third"].exists() and stranger.read_text() == "not ours"
    for name in ("training-first", "training-second", "training-fourth"):
        assert (folders[name] / "adapter.gguf").is_file() and not (folders[name] / "checkpoint-2").exists()
    assert ran("clean", "-d", db).stdout == "Nothing to remove.\n"
    assert len(json.loads(ran("models", "adapters", "-d", db, "--json").stdout)) == 4  # rows stay
