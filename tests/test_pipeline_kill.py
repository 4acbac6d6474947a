"""A run is killed or stopped in the middle and goes on: nothing lost, nothing asked twice, the same prompts as ever."""

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from selfguide_lite import Prompts, Store, load_task
from selfguide_lite.gguf.random_model import write_random_llama
from selfguide_lite.llm import open_engine
from selfguide_lite.synthesis import annotate, generate
from selfguide_lite.synthesis.generate import draw_prompt

TASK = {
    "name": "shout",
    "kind": "generation",
    "instruction": "Say it louder.",
    "examples": [{"input": "Come in.", "output": "COME IN!"}, {"input": "Not now.", "output": "NOT NOW!"}],
    "settings": {
        "rounds": 8,
        "prompts_per_round": 4,
        "input_max_tokens": 24,
        "output_max_tokens": 8,
        "samples": 2,
        "input_length_filter": False,
        "output_length_filter": False,
    },
}
PLACES = "SELECT round, prompt, good, (SELECT count(*) FROM output AS o WHERE o.input_id = i.id) FROM input AS i"
DRAWN = "SELECT round, prompt, label, good, flawed FROM input ORDER BY round, prompt"


def rows_of(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the task, a random-weight model, and `alone.db`, made by a run that was left alone."""
    folder = tmp_path_factory.mktemp("kill")
    (folder / "shout.yaml").write_text(yaml.safe_dump(TASK), encoding="utf-8")
    model = write_random_llama(folder / "random.gguf", sharpness=4.0)
    task = load_task(folder / "shout.yaml")
    settings = task.settings.resolve(task.kind)
    with Store.open(folder / "alone.db") as store, open_engine(model) as engine:  # type: ignore[attr-defined]
        task_id = store.add_task(task)
        generate(store, task_id, engine, Prompts(), settings, 42)
        annotate(store, task_id, engine, Prompts(), settings, 42)
    return folder


def begin(place: Path, db: Path, command: str, file_limit: int | None = None) -> "subprocess.Popen[str]":
    """Start `generate` or `annotate` in a process of its own.

    :param file_limit: bytes that a file can have at most, as on a disk that is almost full
    """

    def limit() -> None:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    task = [str(place / "shout.yaml")] if command == "generate" else []
    arguments = [command, *task, "-d", str(db), "-m", str(place / "random.gguf"), "-q"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-m", "selfguide_lite", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=limit,
    )


def wait_for_rows(process: "subprocess.Popen[str]", db: Path, table: str, more_than: int) -> None:
    """Wait until a table has more rows, or the process has ended."""
    while process.poll() is None:
        try:
            if db.exists() and rows_of(db, f"SELECT count(*) FROM {table}")[0][0] > more_than:
                return
        except sqlite3.Error:
            pass  # the tables are being made
        time.sleep(0.01)


def count(db: Path, table: str) -> int:
    return int(rows_of(db, f"SELECT count(*) FROM {table}")[0][0]) if db.exists() else 0


def test_killed_at_random_moments_it_goes_on_as_if_left_alone(place: Path, tmp_path: Path) -> None:
    """The prompts are those that seed and pool demand, each asked once.

    The texts may differ in rare tokens: what else is in a batch changes the last digits of a probability.
    """
    chance = random.Random(1)
    db = tmp_path / "killed.db"
    kills = 0
    for command, table in (("generate", "input"), ("annotate", "output")):
        for _ in range(2):
            had = count(db, table)
            process = begin(place, db, command)
            wait_for_rows(process, db, table, had + chance.randint(0, 6))
            time.sleep(chance.random() * 0.05)
            kills += process.poll() is None
            process.kill()
            process.communicate()
            if db.exists():
                assert rows_of(db, "PRAGMA integrity_check") == [("ok",)]
                assert count(db, table) >= had
        process = begin(place, db, command)
        assert process.wait() == 0, process.communicate()[1]
    assert kills >= 2
    assert sorted(rows_of(db, PLACES)) == sorted(rows_of(place / "alone.db", PLACES))
    task = load_task(place / "shout.yaml")
    settings = task.settings.resolve(task.kind)
    drawn = rows_of(db, DRAWN)
    assert len(drawn) == settings.rounds * settings.prompts_per_round
    with Store.open(db, read_only=True) as store:
        for round_, number, label, good, flawed in drawn:
            pool = store.pool(1, before_round=round_)
            prompt = draw_prompt(task, Prompts(), settings, 42, round_, number, pool, lambda messages: 0, 1)
            assert (label, json.loads(good)) == (prompt.label, list(prompt.good))
            assert json.loads(flawed) == [shown.id for shown in prompt.flawed]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly(place: Path, tmp_path: Path, number: signal.Signals, status: int) -> None:
    db = tmp_path / "stopped.db"
    process = begin(place, db, "generate")
    wait_for_rows(process, db, "input", 2)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert said.startswith("Stopped. ") and "goes on where this one stopped" in said
    assert len(said.splitlines()) == 1 and f"{count(db, 'input')} inputs" in said
    assert rows_of(db, "SELECT reason FROM run") == [("interrupted",)]


def test_two_at_once_on_one_database(place: Path, tmp_path: Path) -> None:
    db = tmp_path / "shared.db"
    first = begin(place, db, "generate")
    wait_for_rows(first, db, "input", 0)
    first.send_signal(signal.SIGSTOP)  # else it may be done before the second has begun
    second = begin(place, db, "generate")
    _, said = second.communicate()
    first.kill()
    first.communicate()
    assert second.returncode == 1
    assert said == f"Error: {db}: another run (process {first.pid}) is working on it; wait for it or stop it\n"


def test_a_disk_that_takes_no_more_is_one_line_and_the_run_goes_on_later(place: Path, tmp_path: Path) -> None:
    db = tmp_path / "full.db"
    first = begin(place, db, "generate", file_limit=500_000)
    _, said = first.communicate()
    assert first.returncode == 1, said
    assert said.startswith("Error: ") and len(said.splitlines()) == 1
    kept = count(db, "input")
    assert 0 < kept < 32 and rows_of(db, "PRAGMA integrity_check") == [("ok",)]
    again = begin(place, db, "generate")
    assert again.wait() == 0, again.communicate()[1]
    assert count(db, "input") == 32
