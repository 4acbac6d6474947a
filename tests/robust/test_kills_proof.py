"""200 kills at random moments of every stage (`make proof PROOF=kills`): the same dataset, steps and files come out.

Each stage begins with a copy of what the stages before it made. It is killed from outside after a random time, and from
inside before a random SQL statement or a random time that it opens, renames, makes or removes a file; a training also
when a checkpoint appears. What is left goes on, is killed again, and in the end is what a stage makes that was left
alone.
"""

import hashlib
import math
import os
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import robustness_counts
from fork_server import FILES, STATEMENTS, ForkServer, Moment
from killed_runs import DATASET, INPUTS, OUTPUTS, PREDICTIONS, STEPS, Rows, check_after_a_kill, committed
from needs import needs
from old_files import format_2
from robust_runs import Place, check_sound, prepare, rows_of

from selfguide_lite.core.paths import training_folders

pytestmark = [pytest.mark.proof, pytest.mark.slow, pytest.mark.timeout(7200)]

# SELFGUIDE_KILLS=24 tries fewer of them
_A_LIFE = 12  # kills at most
_SHARE = int(os.environ.get("SELFGUIDE_KILLS", "200")) / 200
KILLS = {"generate": 55, "annotate": 45, "migrate": 25, "train": 15, "evaluate": 45, "export": 15}
_OPTIONS = {
    "train": ["--set", "epochs=3", "--save-steps", "2"],
    "export": ["--to", "llama.cpp", "--rows", "2", "--force", "-a", "1"],
}
# One sequence at a time: what else is in a batch changes the last digits of a probability, and with them rare tokens.
_ALONE = "workers=1,parallel=1,parallel_own=1,threads=1,tree=off"
TIME, CHECKPOINT = "time", "checkpoint"
_HOW = {
    "": (TIME, STATEMENTS, FILES, STATEMENTS),  # the kinds of moments at which a stage is killed, in turn
    "train": (CHECKPOINT, FILES, TIME, CHECKPOINT, STATEMENTS),
}
# When migrations were made.
_NO_CONTENT = {"_sqlite_migrations"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a run: what it begins with, its command, and what it makes.

    :param made: what is compared with what the stage makes that is left alone
    """

    name: str
    base: Path
    made: Callable[[Path], Any]


@dataclass
class Lives:
    """Copies of one stage's beginning, and the command that each is given."""

    server: ForkServer
    place: Place
    stage: Stage

    def begin(self, db: Path, moment: Moment | None = None) -> Any:
        """Start the stage."""
        name = self.stage.name
        if name == "migrate":
            return self.server.begin("status", "-d", db, moment=moment)
        words: list[Any] = self.place.arguments(name, db)
        if name == "export":
            words += ["-o", db.parent / "out"]
        return self.server.begin(*words, *_OPTIONS.get(name, []), moment=moment)

    def copied(self, folder: Path) -> Path:
        """Copy what the stage begins with and return the database."""
        shutil.copytree(self.stage.base, folder)
        return folder / "run.db"

    def ended(self, db: Path, moment: Moment | None = None) -> str:
        """Let it come to its end and return what it said."""
        process = self.begin(db, moment)
        with process:
            said: str = process.stderr.read()
            assert process.wait() == 0, said
        return said


def adapter_of(db: Path) -> Path:
    """The adapter of a database's only training."""
    (folder,) = training_folders(db, "shout")
    return folder / "adapter.gguf"


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def exported(db: Path) -> Any:
    """All files of the export but the database, which lies beside it."""
    out = db.parent / "out"
    return {str(path.relative_to(out)): sha256(path) for path in sorted(out.rglob("*")) if path.is_file()}


def trained(db: Path) -> Any:
    """The steps and the adapter's bytes."""
    return rows_of(db, STEPS), sha256(adapter_of(db))


def content(db: Path) -> Any:
    """Every row of every table, and the statements of everything else."""
    tables = [name for (name,) in rows_of(db, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    rows = {
        name: sorted(map(repr, rows_of(db, f'SELECT * FROM "{name}"'))) for name in tables if name not in _NO_CONTENT
    }
    return (
        rows,
        rows_of(db, "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"),
        rows_of(db, "PRAGMA user_version"),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer(SELFGUIDE_ENGINE=_ALONE) as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A task of 32 inputs and 24 rows to evaluate."""
    return prepare(tmp_path_factory.mktemp("kills"), evaluated=24, rounds=8, batch_size=8)


@pytest.fixture(scope="module")
def bases(place: Place, server: ForkServer) -> dict[str, Path]:
    """What stages begin with, as far as it was needed so far."""
    (place.folder / "before-migrate").mkdir()
    (place.folder / "before-generate").mkdir()
    format_2(place.folder / "before-migrate" / "run.db")
    return {name: place.folder / f"before-{name}" for name in ("migrate", "generate")}


_BEFORE = {"annotate": "generate", "train": "annotate", "evaluate": "train", "export": "train"}


def base_of(name: str, bases: dict[str, Path], server: ForkServer, place: Place) -> Path:
    """What a stage begins with, made by the stages before it that were left alone."""
    if name not in bases:
        before = _BEFORE[name]
        lives = Lives(server, place, Stage(before, base_of(before, bases, server, place), committed))
        made = place.folder / f"before-{name}"
        lives.ended(lives.copied(made))
        bases[name] = made
        if before == "train":
            bases["evaluate"] = bases["export"] = made
    return bases[name]


MADE: dict[str, Callable[[Path], Any]] = {
    "generate": lambda db: rows_of(db, INPUTS),
    "annotate": lambda db: (rows_of(db, OUTPUTS), rows_of(db, DATASET)),
    "train": trained,
    "evaluate": lambda db: rows_of(db, PREDICTIONS),
    "export": exported,
    "migrate": content,
}


@pytest.mark.parametrize("name", list(KILLS))
def test_kills_change_nothing(
    server: ForkServer, place: Place, bases: dict[str, Path], tmp_path: Path, name: str
) -> None:
    """Each life of a stage is killed until it comes to its end, and then looked at."""
    if name in ("train", "evaluate", "export"):
        needs("unsloth")
    lives = Lives(server, place, Stage(name, base_of(name, bases, server, place), MADE[name]))
    chance = random.Random(f"{name}-1")
    alone, began = lives.copied(tmp_path / "alone"), time.monotonic()
    lives.ended(alone)
    seconds = time.monotonic() - began
    moments = {kind: count_moments(lives, tmp_path / kind, kind) for kind in (STATEMENTS, FILES)}
    should = MADE[name](alone)
    landed: Counter[str] = Counter()
    kinds = [
        kind for kind in _HOW.get(name, _HOW[""]) if moments.get(kind, 1)
    ]  # a migration touches no file but the database
    tries, life, kills = 0, 0, round(KILLS[name] * _SHARE)
    while landed.total() < kills:
        life += 1
        db = lives.copied(tmp_path / f"life{life}")
        if name == "export":
            lives.ended(db)  # what --force replaces
        for _ in range(_A_LIFE):
            if landed.total() == kills:
                break
            kind = kinds[tries % len(kinds)]
            tries += 1
            before = committed(db)
            if not killed(lives, db, kind, chance, moments.get(kind, 0), seconds):
                break
            landed[kind] += 1
            robustness_counts.count("kills")
            look(lives.stage, db, before, should)
        lives.ended(db)
        check_sound(db)
        assert alike(MADE[name](db), should)
        assert [path.name for path in db.parent.rglob("*") if path.name.endswith(".part")] == []
        assert {path.name for path in db.parent.iterdir()} == {path.name for path in alone.parent.iterdir()}
        shutil.rmtree(db.parent)
        print(f"{name}: {landed.total()} kills in {life} lives", flush=True)
    print(f"{name}: {landed.total()} kills in {life} lives: {dict(landed)}; {moments} moments, {seconds:.1f} s alone")


def alike(one: Any, other: Any) -> bool:
    """Whether two results are the same but for the last digits of probabilities, which depend on the batch."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(alike, one, other))
    return bool(one == other)


def count_moments(lives: Lives, folder: Path, kind: str) -> int:
    """How many moments of a kind the stage has that is left alone."""
    db = lives.copied(folder)
    if lives.stage.name == "export":
        lives.ended(db)
    said = lives.ended(db, Moment(kind, 0, str(folder)))
    shutil.rmtree(folder)
    (number,) = re.findall(r"^(\d+) moments$", said, re.MULTILINE)
    return int(number)


def killed(lives: Lives, db: Path, kind: str, chance: random.Random, moments: int, seconds: float) -> bool:
    """Run the stage and kill it; tell whether that came before its end.

    :param moments: of that kind, in a stage left alone
    :param seconds: that such a stage takes
    """
    if kind in (STATEMENTS, FILES):
        process = lives.begin(db, Moment(kind, 1 + int(moments * chance.random() ** 2), str(db.parent)))
    else:
        process = lives.begin(db)
        if kind == CHECKPOINT:
            had = checkpoints(db)
            while process.poll() is None and checkpoints(db) <= had:
                time.sleep(0.001)
            time.sleep(chance.random() * 0.03)
        else:
            time.sleep(chance.random() * seconds)
        process.kill()
    with process:
        process.stderr.read()
        return bool(process.wait() < 0)


def checkpoints(db: Path) -> set[str]:
    """The names of all checkpoints' folders, written to their end or not."""
    return {path.name for path in db.parent.rglob("checkpoint-*")}


def look(stage: Stage, db: Path, before: Rows, should: Any) -> None:
    """Look at what a kill left."""
    name, base = stage.name, stage.base
    if not db.exists():
        return
    check_after_a_kill(db, before)
    if name == "export" and (db.parent / "out").exists():  # it is whole
        assert exported(db) == should
    if name == "migrate":  # all of the old format, or all of the new one
        assert content(db) in (content(base / "run.db"), should)
