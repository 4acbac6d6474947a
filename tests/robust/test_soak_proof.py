"""A long run beside programs that read its database all the time (`make proof PROOF=soak`), and what looks at it after.

100,000 inputs with 10 answers each on the smallest llama; SELFGUIDE_SOAK_INPUTS=1000 tries it. Three readers use
Python's `sqlite3` and none of our code: two ask short questions, one holds a snapshot for 20 seconds at a time.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from browsing import browsing
from long_runs import DB, Measured, check_flat, long_run, table
from metered import took
from robust_runs import check_sound, count

from selfguide_lite.store.write_ahead_log import LARGE

pytestmark = [pytest.mark.proof, pytest.mark.slow, pytest.mark.timeout(14400)]

INPUTS = int(os.environ.get("SELFGUIDE_SOAK_INPUTS", "100000"))
SAMPLES = 10
# Arguments: database, seconds that a snapshot is held; ends when the file named third is there.
READER = """
import json, os, sqlite3, sys, time
path, hold, end = sys.argv[1], float(sys.argv[2]), sys.argv[3]
reads, slowest, most, errors = 0, 0.0, 0, []
while not os.path.exists(end):
    began = time.monotonic()
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        connection.execute("BEGIN")
        seen = connection.execute("SELECT (SELECT count(*) FROM input), (SELECT max(id) FROM output)").fetchone()
        connection.execute("SELECT i.text, o.text FROM input AS i JOIN output AS o ON o.input_id = i.id"
                           " ORDER BY o.id DESC LIMIT 20").fetchall()
        took = time.monotonic() - began
        if hold:
            time.sleep(hold)
            again = connection.execute("SELECT (SELECT count(*) FROM input), (SELECT max(id) FROM output)").fetchone()
            if again != seen:
                errors.append(f"a snapshot changed: {seen} {again}")
        connection.close()
    except sqlite3.Error as error:
        if "unable to open" not in str(error) and "no such table" not in str(error):  # before the run has made it
            errors.append(repr(error))
        time.sleep(0.2)
        continue
    if seen[0] < most:
        errors.append(f"rows went missing: {most} {seen}")
    reads, slowest, most = reads + 1, max(slowest, took), seen[0]
    time.sleep(0 if hold else 0.5)
print(json.dumps({"reads": reads, "slowest": round(slowest, 2), "errors": errors[:5], "hold": hold}))
"""


@contextmanager
def readers(db: Path, folder: Path) -> Iterator[list[dict[str, object]]]:
    """Three readers beside whatever runs meanwhile; afterwards, what they tell."""
    end, told = folder / "end", []
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(db), str(hold), str(end)], stdout=subprocess.PIPE, text=True
        )
        for hold in (0, 0, 20)
    ]
    try:
        yield told
    finally:
        end.touch()
        told += [json.loads(one.communicate()[0]) for one in begun]


def check_as_fast(found: list[Measured]) -> None:
    """A row takes as much of the processor's time in the end as at the beginning."""
    for stage in ("generate", "annotate"):
        tenths = [one for one in found if one.stage == stage]
        spent = [(b.seconds - a.seconds) / (b.rows - a.rows) for a, b in pairwise(tenths)]
        assert sum(spent[-3:]) < 2 * sum(spent[:3]), table(found)


def test_soak(tmp_path: Path) -> None:
    db = tmp_path / DB
    began = time.monotonic()
    with readers(db, tmp_path) as told:
        found = long_run(tmp_path, INPUTS, SAMPLES)
        minutes, log = (time.monotonic() - began) / 60, db.with_name(db.name + "-wal")
        logged = log.stat().st_size if log.exists() else 0
    print(f"\n{minutes:.0f} minutes, log of {logged / 2**20:.0f} MB at the end\n{table(found)}")
    print("\n".join(map(json.dumps, told)))
    assert all(not one["errors"] and one["reads"] for one in told)
    check_flat(found, INPUTS)
    check_as_fast(found)
    check_sound(db)
    assert logged < 1.5 * LARGE
    assert count(db, "input") > 0.99 * INPUTS
    assert count(db, "output") > 0.9 * INPUTS * SAMPLES
    for words in (["status"], ["dataset", "-o", tmp_path / "pairs.jsonl"], ["report", "-o", tmp_path / "report.html"]):
        used = took(["-m", "selfguide_lite", *map(str, words), "-d", str(db)], tmp_path)
        print(f"{words[0]:8} {used.memory / 2**20:6.0f} MB {used.processor:6.1f} s of the processor")
    look_at_pages(db)


def look_at_pages(db: Path) -> None:
    """Read the pages of `browse` one after the other, and say how long each took and how much memory all took."""
    with browsing(db) as served:
        server = psutil.Process(served.process)
        for page in ("", "/long", "/long/dataset", "/long/funnel", "/long/input", "/long/vote", "/long/input_verdict"):
            request = urllib.request.Request(f"{served.address}{page}", headers={"Cookie": served.cookie})
            began, before = time.monotonic(), spent(server)
            with urllib.request.urlopen(request, timeout=600) as answer:
                body = answer.read()
            took, used = time.monotonic() - began, spent(server) - before
            rss = sum(one.memory_info().rss for one in family(server)) / 2**20
            print(f"browse {page or '/':22} {rss:6.0f} MB {used:6.1f} s of the processor, {took:.1f} s")
            assert len(body) > 1000


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that it started."""
    return [process, *process.children(recursive=True)]


def spent(process: psutil.Process) -> float:
    """The processor's seconds of a process and all that it started."""
    return sum(sum(one.cpu_times()[:2]) for one in family(process))
