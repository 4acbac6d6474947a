"""Runs in odd surroundings: strange paths, a clock that jumps, little memory, a copy made while the file is written."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import robustness_counts
from fork_server import ForkServer
from killed_runs import INPUTS, OUTPUTS
from robust_runs import Place, Watched, begin, check_one_line, check_sound, count, ended, environment, prepare, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_ODD = """it's "so" `here` $HOME;&|#%20?mode=ro Ünïcödé ウ👩\u200d👩 \u202egnp\u2069"""
_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
static long offset(void) {
  static const long jumps[] = {0, 315360000, -315360000, 3600, -3600, 0, -86400, 86400};
  static long calls;
  return jumps[(calls++ / 7) % 8];
}
int clock_gettime(clockid_t id, struct timespec *t) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int r = real(id, t);
  if (!r && id == CLOCK_REALTIME) t->tv_sec += offset();
  return r;
}
int gettimeofday(struct timeval *t, void *z) {
  struct timespec s;
  clock_gettime(CLOCK_REALTIME, &s);
  t->tv_sec = s.tv_sec;
  t->tv_usec = s.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *t) {
  struct timespec s;
  clock_gettime(CLOCK_REALTIME, &s);
  if (t) *t = s.tv_sec;
  return s.tv_sec;
}
"""


@pytest.fixture(scope="module", autouse=True)
def one_way_to_compute() -> Iterator[None]:
    """A model at another path is measured anew, and on a busy machine another way may win: its last digits differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SELFGUIDE_ENGINE", "workers=1 parallel=8 parallel_own=2 chunk=512 flash=off")
        yield


@pytest.fixture(scope="module")
def server(one_way_to_compute: None) -> Iterator[ForkServer]:
    with ForkServer() as running:
        yield running


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A task of 16 inputs."""
    return prepare(tmp_path_factory.mktemp("surroundings"))


@pytest.fixture(scope="module")
def alone(place: Place, server: ForkServer) -> Path:
    """What a run in usual surroundings makes."""
    db = place.folder / "alone.db"
    for command in ("generate", "annotate"):
        done(server, *place.arguments(command, db), "-q")
    return db


def done(server: ForkServer, *words: object) -> None:
    """A command that comes to its end and says nothing that is wrong."""
    run = Watched(*words, server=server)
    assert run.end() == 0 and "Traceback" not in run.said, run.said


def check_the_same(db: Path, alone: Path) -> None:
    check_sound(db)
    for sql in (INPUTS, OUTPUTS):
        assert rows_of(db, sql) == rows_of(alone, sql)


def test_a_strange_path(server: ForkServer, place: Place, alone: Path, tmp_path: Path) -> None:
    """Signs of shells and addresses, Unicode, 200 characters: of folders and files, for all that is read or written."""
    folder = tmp_path / ("x" * 200) / _ODD
    folder.mkdir(parents=True)
    task, model, db = (folder / f"{_ODD}.{ending}" for ending in ("yaml", "gguf", "db"))
    shutil.copy(place.task, task)
    shutil.copy(place.task.with_name("shout.eval.jsonl"), folder)
    shutil.copy(place.model, model)
    done(server, "generate", task, "-d", db, "-m", model, "-q")
    done(server, "annotate", "-d", db, "-m", model, "-q")
    done(server, "dataset", "-d", db, "-o", folder / f"{_ODD}.jsonl")
    done(server, "report", "-d", db, "-o", folder / f"{_ODD}.html")
    check_the_same(db, alone)
    left = {path.name for path in folder.iterdir()}
    assert left == {
        "shout.eval.jsonl",
        f"{_ODD}-files",
        *(f"{_ODD}.{end}" for end in ("yaml", "gguf", "db", "jsonl", "html")),
    }
    robustness_counts.count("faults")


def test_a_clock_that_jumps_by_years(place: Place, alone: Path, tmp_path: Path) -> None:
    """Forwards and back with every few looks at it; nothing but the dates in the database is different."""
    compiler = shutil.which("cc") or pytest.skip("needs a C compiler")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(_CLOCK, encoding="utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    db = tmp_path / "run.db"
    with ForkServer(LD_PRELOAD=str(library)) as server:
        for command in ("generate", "annotate"):
            done(server, *place.arguments(command, db))
    check_the_same(db, alone)
    years = {year for (year,) in rows_of(db, "SELECT substr(created_at, 1, 4) FROM output")}
    assert len(years) > 1
    robustness_counts.count("faults")


def test_little_memory(server: ForkServer, place: Place, alone: Path, tmp_path: Path) -> None:
    """As under `ulimit -v`: it works, or ends with one line, and goes on where there is more."""
    db = tmp_path / "run.db"
    limit = ["prlimit", f"--as={400 * 2**20}"]
    status, said = ended(begin(*place.arguments("generate", db), "-q", prefix=limit, OPENBLAS_NUM_THREADS="1"))
    assert status in (0, 1) and "Traceback" not in said, said
    if status:
        check_one_line(said, "memory")
    for command in ("generate", "annotate"):
        done(server, *place.arguments(command, db), "-q")
    check_the_same(db, alone)
    robustness_counts.count("faults")


def test_too_little_address_space_for_a_library_that_would_ask_without_end() -> None:
    """OpenBLAS, which the stemmer's package loads where SciPy is there, repeats a request that is refused for ever."""
    script = "from selfguide_lite.metrics import rouge_l; print(rouge_l('walking on', ['walks on']))"
    status, said = ended(begin("settings", prefix=["prlimit", f"--as={200 * 2**20}"]))
    assert status == 1
    check_one_line(said, "200 MiB of address space", "ulimit -v unlimited")
    for mebibytes, says in ((200, "MemoryError"), (4096, "1.0")):
        done = subprocess.run(
            ["prlimit", f"--as={mebibytes * 2**20}", sys.executable, "-c", script],
            capture_output=True, text=True, timeout=200, env=environment(OPENBLAS_NUM_THREADS="1"),
        )  # fmt: skip
        assert says in done.stdout + done.stderr
    robustness_counts.count("faults")


def test_a_copy_that_is_made_while_the_file_is_written(
    server: ForkServer, place: Place, alone: Path, tmp_path: Path
) -> None:
    """With the write-ahead log beside it, it is whole, and a run goes on from it."""
    db = tmp_path / "run.db"
    run = Watched(*place.arguments("generate", db), server=server)
    run.wait_for("generate", 1, db)
    copies = []
    for number in range(20):
        if run.process.poll() is not None:
            break
        copy = tmp_path / f"copy{number}.db"
        for end in ("", "-wal"):
            if Path(f"{db}{end}").exists():
                shutil.copy(f"{db}{end}", f"{copy}{end}")
        copies.append(copy)
    assert run.end() == 0, run.said
    assert copies
    for copy in copies:
        with sqlite3.connect(copy) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    robustness_counts.count("faults")
    done(server, *place.arguments("generate", copies[-1]), "-q")
    done(server, *place.arguments("annotate", copies[-1]), "-q")
    check_sound(copies[-1])
    assert count(copies[-1], "output") == count(alone, "output")
