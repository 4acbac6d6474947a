"""Disk, database and the training process fail under real runs: one clear line, nothing is broken, and on it goes."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import robustness_counts
from click.testing import CliRunner
from needs import needs
from robust_runs import (
    Place,
    Watched,
    begin,
    check_one_line,
    check_sound,
    count,
    ended,
    environment,
    own_mounts,
    prepare,
)
from running import here

from selfguide_lite.cli import main
from selfguide_lite.core.files import atomic_write, scratch_folder
from selfguide_lite.core.paths import training_folders, trainings_dir
from selfguide_lite.store import connection

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # trainings on a busy machine


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A task of 64 inputs."""
    return prepare(tmp_path_factory.mktemp("faults"), rounds=16)


@pytest.fixture(scope="module")
def written(place: Place) -> Path:
    """A database with data that was not trained on yet."""
    db = place.folder / "written.db"
    for command in ("generate", "annotate"):
        done = here(*place.arguments(command, db), "-q")
        assert done.exit_code == 0, done.stderr
    return db


@pytest.fixture(scope="module")
def trained(place: Place, written: Path) -> Path:
    """A database with an adapter."""
    needs("unsloth")
    db = copied(written, place.folder / "trained")
    done = here(*place.arguments("train", db), "-q")
    assert done.exit_code == 0, done.stderr
    return db


def copied(db: Path, folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(db, folder / "run.db")
    return folder / "run.db"


def goes_on(place: Place, db: Path, command: str = "run") -> None:
    """Nothing is broken, and the same command comes to its end now that the fault is gone."""
    check_sound(db)
    done = here(*place.arguments(command, db), "-q")
    assert done.exit_code == 0, done.stderr
    check_sound(db)
    assert count(db, "input") == 64


# the disk


def test_files_may_not_grow_while_rows_are_written(place: Place, tmp_path: Path) -> None:
    db = tmp_path / "run.db"
    status, said = ended(begin(*place.arguments("generate", db), "-q", file_limit=600_000))
    assert status == 1
    check_one_line(said, str(db))
    assert 0 < count(db, "input") < 64
    goes_on(place, db, "generate")
    robustness_counts.count("faults")


def fill(prefix: list[str], file: Path, room: int) -> None:
    """Fill a disk until there are so many bytes left."""
    script = (
        "import os, sys; path, room = sys.argv[1], int(sys.argv[2]); s = os.statvfs(os.path.dirname(path))\n"
        "open(path, 'wb').write(bytes(max(0, s.f_bavail * s.f_frsize - room)))"
    )
    subprocess.run([*prefix, sys.executable, "-c", script, str(file), str(room)], check=True)


def test_the_disk_is_full(place: Place, tmp_path: Path) -> None:
    """While rows are written, and then while a checkpoint is; each time the run goes on once there is room."""
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    db, filler = disk / "run.db", disk / "filler"

    def look() -> Path:
        """Copy the database out of the disk that only the runs see."""
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        subprocess.run([*prefix, "sh", "-c", f"cp {disk}/run.db* {out}"], check=True)
        return out / "run.db"

    with own_mounts(f"mount -t tmpfs -o size=20m none {disk}") as prefix:
        fill(prefix, filler, 700_000)
        status, said = ended(begin(*place.arguments("run", db), "-q", prefix=prefix))
        assert status == 1
        check_one_line(said, str(db), "full")
        check_sound(look())
        assert 0 < count(look(), "input") < 64
        robustness_counts.count("faults")
        subprocess.run([*prefix, "rm", filler], check=True)
        needs("unsloth")
        status, said = ended(begin(*place.arguments("generate", db), "-q", prefix=prefix))
        assert status == 0, said
        status, said = ended(begin(*place.arguments("annotate", db), "-q", prefix=prefix))
        assert status == 0, said
        fill(prefix, filler, 300_000)
        status, said = ended(begin(*place.arguments("run", db), "-q", prefix=prefix))
        assert status == 1
        check_one_line(said, "make room; the same command goes on", str(disk))
        check_sound(look())
        robustness_counts.count("faults")
        subprocess.run([*prefix, "rm", filler], check=True)
        status, said = ended(begin(*place.arguments("run", db), "-q", prefix=prefix))
        assert status == 0, said
        check_sound(look())
        assert count(look(), "input") == 64 and count(look(), "prediction") == 24


@pytest.mark.parametrize(
    "words",
    [
        ["export", "--to", "llama.cpp", "--rows", "2"],
        ["export", "--to", "llama.cpp", "--merge", "f16", "--rows", "2"],
        ["export", "--to", "ollama", "--merge", "q4_0", "--rows", "2"],
        ["report"],
    ],
    ids=lambda words: " ".join(words),
)
def test_files_may_not_grow_while_something_is_exported(
    place: Place, trained: Path, tmp_path: Path, words: list[str]
) -> None:
    out = tmp_path / "made"
    arguments = [*words, "-d", str(trained), "-o", str(out)]
    arguments += ["-m", str(place.model)] if words[0] == "export" else []
    status, said = ended(begin(*arguments, file_limit=40_000))
    assert status == 1
    check_one_line(said, str(out))
    assert list(tmp_path.iterdir()) == []
    check_sound(trained)
    done = here(*arguments)
    assert done.exit_code == 0, done.stderr
    assert sum(path.stat().st_size for path in (out, *out.rglob("*")) if path.is_file()) > 40_000
    robustness_counts.count("faults")


def test_files_may_not_grow_while_a_checkpoint_or_the_adapter_is_written(
    place: Place, written: Path, tmp_path: Path
) -> None:
    needs("unsloth")
    db = copied(written, tmp_path / "a")
    size = db.stat().st_size + 50_000
    options = ["--set", "lora_rank=64", "--set", "epochs=1", "-q"]
    status, said = ended(begin(*place.arguments("train", db), *options, file_limit=size))
    assert status == 1
    check_one_line(said, "make room; the same command goes on", str(trainings_dir(db, "shout")), "train.log")
    assert not list(trainings_dir(db, "shout").rglob("adapter.gguf"))
    check_sound(db)
    done = here(*place.arguments("train", db), *options)
    assert done.exit_code == 0, done.stderr
    assert count(db, "adapter") == 1
    robustness_counts.count("faults")


def test_a_folder_that_may_not_be_written(place: Place, written: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sealed"
    db = copied(written, folder)
    with own_mounts(f"mount --bind {folder} {folder}", f"mount -o remount,bind,ro {folder}") as prefix:
        for name in ("run.db", "new.db"):
            status, said = ended(begin(*place.arguments("run", folder / name), "-q", prefix=prefix))
            assert status == 1
            check_one_line(said, str(folder), "cannot write here")
            robustness_counts.count("faults")
        status, said = ended(
            begin("export", "--to", "hf", "-d", db, "-o", folder / "made", "-a", place.model, prefix=prefix)
        )
        assert status == 1
        status, said = ended(begin("status", "-d", db, prefix=prefix))  # what only reads is not disturbed
        assert status == 0, said
    assert [path.name for path in folder.iterdir()] == ["run.db"]
    goes_on(place, db, "generate")


# the database


def test_another_program_writes_for_a_while(place: Place, tmp_path: Path) -> None:
    """The run waits and goes on."""
    db = tmp_path / "run.db"
    run = Watched(*place.arguments("generate", db))
    run.wait_for("generate", 1, db)
    other = sqlite3.connect(db, isolation_level=None, timeout=60)
    other.execute("BEGIN IMMEDIATE")
    had = count(db, "input")
    time.sleep(0.5)
    assert run.process.poll() is None and count(db, "input") == had < 64
    other.execute("ROLLBACK")
    other.close()
    assert run.end() == 0, run.said
    check_sound(db)
    assert count(db, "input") == 64
    robustness_counts.count("faults")


def test_another_program_does_not_let_go(
    place: Place, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT", 0.2)
    db = copied(written, tmp_path / "a")
    other = sqlite3.connect(db, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    result = CliRunner().invoke(main, [*place.arguments("generate", db), "-q"])
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    check_one_line(result.stderr, str(db), "another program holds it locked")
    other.execute("ROLLBACK")
    other.close()
    goes_on(place, db, "generate")
    robustness_counts.count("faults")


def delete(db: Path) -> None:
    for name in ("run.db", "run.db-wal", "run.db-shm"):
        (db.parent / name).unlink(missing_ok=True)


def delete_the_file_alone(db: Path) -> None:
    db.unlink()


def replace_by_a_backup(db: Path) -> None:
    """A copy of the state before, as a user would put one back; the log of the run stays where it is."""
    (db.parent / "backup.db").replace(db)


def move_away(db: Path) -> None:
    db.rename(db.parent / "moved.db")


@pytest.mark.parametrize("fault", [delete, delete_the_file_alone, replace_by_a_backup, move_away])
def test_the_database_is_taken_away_under_a_run(place: Place, tmp_path: Path, fault: Callable[[Path], None]) -> None:
    db = tmp_path / "run.db"
    run = Watched(*place.arguments("generate", db))
    run.wait_for("generate", 2, db)
    with sqlite3.connect(db) as here, sqlite3.connect(tmp_path / "backup.db") as there:
        here.backup(there)
    here.close()
    there.close()
    kept = count(tmp_path / "backup.db", "input")
    run.wait_for("generate", 3, db)
    run.process.send_signal(signal.SIGSTOP)
    had = count(db, "input")
    assert had < 64
    fault(db)
    run.process.send_signal(signal.SIGCONT)
    assert run.end() == 1
    check_one_line(run.said.splitlines()[-1], str(db), "was deleted or replaced while in use")
    assert "Traceback" not in run.said
    if fault is replace_by_a_backup:
        check_sound(db)
        assert count(db, "input") == kept
    if fault is move_away:  # all that was committed is in it
        check_sound(tmp_path / "moved.db")
        assert count(tmp_path / "moved.db", "input") >= had
        (tmp_path / "moved.db").rename(db)
    if not db.exists():  # start again
        sqlite3.connect(db).close()
    goes_on(place, db, "generate")
    robustness_counts.count("faults")


# the training's process


def child_of(process: "subprocess.Popen[str]") -> int:
    """Wait for the process that trains."""
    while process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.01)
    raise AssertionError("it ended without a child")


@pytest.mark.parametrize(
    ("number", "says"), [(signal.SIGKILL, "most likely because memory ran out"), (signal.SIGBUS, "was ended by SIGBUS")]
)
def test_the_training_is_killed(place: Place, written: Path, tmp_path: Path, number: signal.Signals, says: str) -> None:
    """As the kernel does where memory runs out: the run outlives it and says so."""
    needs("unsloth")
    db = copied(written, tmp_path / "a")
    run = Watched(*place.arguments("run", db))
    run.wait_for("train", 0, db)
    child = child_of(run.process)
    if number == signal.SIGKILL:
        run.wait_for("train", 2, db)
    os.kill(child, number)
    assert run.end() == 1
    check_one_line(run.said.splitlines()[-1], says, "the same command goes on")
    check_sound(db)
    if number == signal.SIGKILL:
        goes_on(place, db)
        assert [(folder / "adapter.gguf").is_file() for folder in training_folders(db, "shout")] == [True]
    robustness_counts.count("faults")


def test_the_training_ends_with_the_run(place: Place, written: Path, tmp_path: Path) -> None:
    """A run that is killed leaves no process behind that goes on writing."""
    needs("unsloth")
    run = Watched(*place.arguments("run", copied(written, tmp_path / "a")))
    child = child_of(run.process)
    run.kill()
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split():
        time.sleep(0.01)


# what killed processes leave


def test_what_a_killed_process_left_half_written_is_swept_away(tmp_path: Path) -> None:
    """And what a living one is writing is not."""
    begun = (
        "import time; from pathlib import Path; from selfguide_lite.core.files import atomic_write, scratch_folder\n"
        "with atomic_write(Path('made.gguf')) as part, scratch_folder(Path('.'), '.making-') as folder:\n"
        "    part.write_text('half'); (folder / 'half').write_text('half'); print(flush=True); time.sleep(600)"
    )
    writers = []
    for _ in range(2):
        command = [sys.executable, "-c", begun]
        writers.append(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, env=environment()))
        assert writers[-1].stdout is not None and writers[-1].stdout.readline()
    writers[0].kill()
    writers[0].wait()
    assert len(list(tmp_path.iterdir())) == 4
    with atomic_write(tmp_path / "made.gguf") as part, scratch_folder(tmp_path, ".making-"):
        part.write_text("whole")
    left = {path.name for path in tmp_path.iterdir()}
    assert "made.gguf" in left and len(left) == 3
    for writer in writers:
        writer.kill()
        writer.communicate()
