"""Real runs are killed, stopped and run twice at once: nothing is lost, nothing is asked twice, nothing is half."""

import json
import random
import re
import shutil
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import robustness_counts
from fork_server import ForkServer
from killed_runs import INPUTS, OUTPUTS, PREDICTIONS, STEPS, check_after_a_kill, check_asked_once, committed
from needs import needs
from robust_runs import Place, Watched, begin, check_sound, count, ended, prepare, rows_of
from running import here

from selfguide_lite import Prompts, Store, load_task
from selfguide_lite.core.messages import Message
from selfguide_lite.core.paths import training_folders, trainings_dir
from selfguide_lite.gguf.adapter import read_adapter
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.llm.base import Request
from selfguide_lite.synthesis.generate import PromptSampler

pytestmark = pytest.mark.slow

KILLS = {"generate": 1, "annotate": 1, "train": 1, "export": 1, "evaluate": 1}  # the proof `kills` makes 200
EVALUATED = 48


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A task of 64 inputs, 16 training steps and 144 predictions, and `alone.db`, made by a run left alone."""
    made = prepare(tmp_path_factory.mktemp("kill"), evaluated=EVALUATED, rounds=16, batch_size=8)
    done = here(*made.arguments("run", made.folder / "alone.db"))
    assert done.exit_code == 0, done.stderr
    return made


def left_over(stage: str, db: Path, alone: Path) -> bool:
    """Whether a stage still has work that a run can be killed in."""
    if not db.exists():
        return True
    table = {"generate": "input", "annotate": "output", "evaluate": "prediction"}.get(stage)
    if table is not None:
        return count(db, table) < count(alone, table) - 1
    finished = rows_of(db, "SELECT 1 FROM run WHERE stage = 'train' AND reason = 'done'")
    return not finished if stage == "train" else not count(db, "adapter")


def one_life(server: ForkServer, place: Place, db: Path, chance: random.Random, landed: Counter[str]) -> None:
    """Make a run with the kills that are left to do, or as many as it takes.

    :param landed: counts the kills by the stage that they hit
    """
    plan = [stage for stage, times in KILLS.items() for _ in range(times)]
    for stage in plan:
        if landed.total() == len(plan) or not left_over(stage, db, place.folder / "alone.db"):
            continue
        before = committed(db)
        run = Watched(*place.arguments("run", db), server=server)
        commits = chance.randint(0, 3)
        run.wait_for(stage, commits if stage != "export" else 0, db)
        time.sleep(chance.random() * (1.0 if stage == "train" and not commits else 0.02))
        alive = run.kill()
        assert alive or run.process.returncode == 0, run.said
        check_asked_once(run.said, before, EVALUATED)
        check_after_a_kill(db, before)
        if alive:
            landed[re.findall(r"(\w+): \d+ to do", run.said)[-1]] += 1
            robustness_counts.count("kills")
    before = committed(db)
    last = Watched(*place.arguments("run", db), server=server)
    assert last.end() == 0, last.said
    check_asked_once(last.said, before, EVALUATED)
    check_after_a_kill(db, before)


@pytest.mark.timeout(900)  # less than a minute on a quiet machine
def test_killed_in_every_stage_it_goes_on_as_if_left_alone(place: Place) -> None:
    """The texts may differ in rare tokens: what else is in a batch changes the last digits of a probability."""
    needs("unsloth")
    chance = random.Random(1)
    landed: Counter[str] = Counter()
    lives = 0
    with ForkServer() as server:
        while landed.total() < sum(KILLS.values()):  # one life, but where it sleeps too long
            lives += 1
            db = place.folder / f"killed{lives}.db"
            one_life(server, place, db, chance, landed)
            check_as_left_alone(place, db)
    assert landed.keys() >= {"generate", "annotate", "train", "evaluate"}, landed


def adapter_of(db: Path) -> Path:
    """The adapter of a database's only training."""
    (folder,) = training_folders(db, "shout")
    return folder / "adapter.gguf"


def check_as_left_alone(place: Place, db: Path) -> None:
    alone = place.folder / "alone.db"
    for table in ("input", "output", "dataset", "train_step", "adapter", "evaluation", "prediction"):
        assert count(db, table) == count(alone, table), table
    for sql in ("SELECT method, n FROM evaluation", "SELECT stage, reason, n FROM funnel"):
        assert rows_of(db, sql) == rows_of(alone, sql)
    check_prompts(place, db)
    ours, theirs = ([row[4] for row in rows_of(path, INPUTS)] for path in (db, alone))
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) > len(theirs) // 2
    adapter, model = adapter_of(db), place.model
    assert all(np.abs(b).max() > 0 for _, b in read_adapter(adapter).pairs.values())
    with open_engine(model, EngineOptions(tune=False), adapter=adapter) as engine:  # type: ignore[attr-defined]
        assert list(engine.complete([Request("a", (Message("user", "Come in."),), max_tokens=2)]))
    left = [path.name for path in trainings_dir(db, "shout").rglob("*.part")]
    assert left == []


def check_prompts(place: Place, db: Path) -> None:
    """Every prompt is the one that seed and pool demand."""
    task = load_task(place.task)
    settings = task.rules.resolve(task.settings)
    drawn = rows_of(db, "SELECT round, prompt, label, seed_inputs, pool_inputs FROM input ORDER BY round, prompt")
    assert len(drawn) == settings.rounds * settings.prompts_per_round
    with Store.open(db, read_only=True) as store:
        for round_, number, label, seed_inputs, pool_inputs in drawn:
            pool = [one for one in store.agreeing_pool(1) if one.round is None or one.round < round_]
            prompt = PromptSampler(task, Prompts(), settings, 42, lambda messages: 0, 1).prompt(round_, number, pool)
            assert (label, json.loads(seed_inputs)) == (prompt.label, list(prompt.seed_inputs))
            assert json.loads(pool_inputs) == [shown.id for shown in prompt.pool_inputs]


def test_the_same_seed_makes_the_same_rows_byte_for_byte(place: Place) -> None:
    """Of every stage, and the adapter's file too."""
    status, said = ended(begin(*place.arguments("run", place.folder / "again.db")))
    assert status == 0, said
    for sql in (INPUTS, OUTPUTS, STEPS, PREDICTIONS, "SELECT * FROM dataset ORDER BY input_id"):
        rows = rows_of(place.folder / "again.db", sql)
        assert rows and rows == rows_of(place.folder / "alone.db", sql)
    made, same = (adapter_of(place.folder / name).read_bytes() for name in ("again.db", "alone.db"))
    assert made == same


@pytest.mark.parametrize(
    ("stage", "number", "status"),
    [
        ("generate", signal.SIGINT, 130),
        ("annotate", signal.SIGTERM, 143),
        ("train", signal.SIGINT, 130),
        ("evaluate", signal.SIGTERM, 143),
    ],
)
def test_a_signal_ends_it_cleanly(
    place: Place, tmp_path: Path, stage: str, number: signal.Signals, status: int
) -> None:
    db = tmp_path / "stopped.db"
    if stage == "evaluate":  # all but the evaluation is done
        shutil.copy(place.folder / "alone.db", db)
        shutil.copytree(place.folder / "alone-files", tmp_path / "stopped-files")
        with closing(sqlite3.connect(db, isolation_level=None)) as connection:
            connection.executescript("DELETE FROM verdict; DELETE FROM prediction; DELETE FROM evaluation")
    run = Watched(*place.arguments("run", db))
    # The first two commits of a stage that writes texts can be those of the model and of the run itself.
    run.wait_for(stage, {"train": 0, "evaluate": 1}.get(stage, 3), db)
    run.process.send_signal(number)
    assert run.end() == status, run.said
    last = run.said.splitlines()[-1]
    assert last.startswith("Stopped. ") and last.endswith("goes on where this one stopped.")
    assert f"{count(db, 'input')} inputs" in last and run.said.count("Stopped") == 1
    check_sound(db)
    if stage == "evaluate":
        assert 0 < count(db, "prediction") < 144
    else:
        assert rows_of(db, "SELECT stage, reason FROM run ORDER BY id DESC LIMIT 1") == [(stage, "interrupted")]


def test_two_at_once_on_one_database(place: Place, tmp_path: Path) -> None:
    db = tmp_path / "shared.db"
    first = Watched(*place.arguments("generate", db))
    first.wait_for("generate", 1, db)
    first.process.send_signal(signal.SIGSTOP)  # else it may be done before the second has begun
    refused, said = ended(begin(*place.arguments("generate", db), "-q"))
    with Store.open(db, read_only=True) as store:  # a reader is not disturbed, nor does it disturb
        assert len(store.requests_done(1)) == count(db, "input")
    first.kill()
    assert refused == 1
    assert said == f"Error: {db}: another run (process {first.process.pid}) is working on it; wait for it or stop it\n"
    # The lock file of the dead process is there, and is known to be stale.
    assert (tmp_path / "shared-files" / "lock").read_text() == f"{first.process.pid}\n"
    status, said = ended(begin(*place.arguments("generate", db), "-q"))
    assert status == 0, said
    assert count(db, "input") == 64
