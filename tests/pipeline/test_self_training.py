"""Self-training: two trainings and between them the finetuned model's labels, on the tiny model."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from selfguide_lite import Prompts, Store, Task, load_task, run
from selfguide_lite.core.progress import NullListener, Stage
from selfguide_lite.core.resources import resource
from selfguide_lite.finetuning import finetune
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Relabel
from selfguide_lite.store.overlay import SettingsOverlay
from selfguide_lite.store.runs import NewRun

pytestmark = pytest.mark.slow

TINY = resource("data/tiny-vicuna.gguf")
QUICK = {
    "rounds": 6,
    "agreement_filter": True,
    "agreement_min_pairs": 0,
    "calibrate": True,
    "calibrate_min_inputs": 0,
    "self_training": True,
    "random_labels": True,  # the tiny model knows the task: only nonsense makes it change its answers
    "balance": False,
    "min_steps": 10,
    "max_steps": 10,
    "learning_rate": 1e-2,
}


class Stages(NullListener):
    """Remembers which stages had work."""

    def __init__(self) -> None:
        self.started: list[Stage] = []

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        self.started.append(stage)


def task() -> Task:
    return load_task(Path(__file__).parents[1] / "tiny_tasks/more-or-less.yaml").model_copy(update={"eval": None})


def rows(db: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    db = tmp_path_factory.mktemp("run") / "a.db"
    stages = Stages()
    result = run(task(), db, model=TINY, settings=QUICK, listener=stages)
    assert stages.started[-5:] == ["train", "export", "relabel", "train", "export"]
    assert result.pairs == rows(db, "SELECT count(*) FROM dataset")[0][0] > 0
    return db


def test_the_second_training_learns_from_the_first_models_labels(done: Path) -> None:
    trainings = rows(done, "SELECT id, dataset_sha256 FROM run WHERE stage = 'train' AND reason = 'done' ORDER BY id")
    adapters = rows(done, "SELECT id, run_id, path FROM adapter ORDER BY id")
    assert [run_id for _, run_id, _ in adapters] == [run_id for run_id, _ in trainings] and len(adapters) == 2
    assert all(Path(path).is_file() for _, _, path in adapters)
    assert rows(done, "SELECT adapter_id, reason FROM run WHERE stage = 'relabel'") == [(adapters[0][0], "done")]
    kept = "SELECT count(*) FROM input_verdict WHERE reason IS NULL"
    assert rows(done, "SELECT count(*) FROM relabel")[0][0] == 2 * rows(done, kept)[0][0]
    sums = rows(done, "SELECT sum(l.share) FROM relabel l JOIN output o ON o.id = l.output_id GROUP BY o.input_id")
    assert all(total == pytest.approx(1) for (total,) in sums)
    with Store.open(done) as store:
        assert SettingsOverlay(store, {"self_training": False}).pairs(1) != store.pairs(1)
    assert trainings[0][1] != trainings[1][1]


def test_a_second_call_makes_nothing_again(done: Path) -> None:
    tables = ("run", "relabel", "adapter", "train_step")
    before = [rows(done, f"SELECT count(*), max(rowid) FROM {table}") for table in tables]
    stages = Stages()
    run(task(), done, model=TINY, settings=QUICK, listener=stages)
    assert stages.started == []
    assert before == [rows(done, f"SELECT count(*), max(rowid) FROM {table}") for table in tables]


def test_a_run_that_was_stopped_before_its_labels_goes_on_there(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = tmp_path / "a.db"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("selfguide_lite.finetuning.relabel", stop)
        with pytest.raises(KeyboardInterrupt):
            run(task(), db, model=TINY, settings=QUICK)
    assert rows(db, "SELECT count(*) FROM adapter") == [(1,)] and rows(db, "SELECT count(*) FROM relabel") == [(0,)]
    stages = Stages()
    run(task(), db, model=TINY, settings=QUICK, listener=stages)
    assert stages.started == ["relabel", "train", "export"]
    pairs = "SELECT input, output FROM dataset ORDER BY input_id"
    assert rows(db, pairs) == rows(done, pairs)
    both = "SELECT round(l.share, 9) FROM relabel AS l ORDER BY l.output_id"
    assert rows(db, both) == rows(done, both)


def test_labels_that_are_all_the_same_are_not_learnt(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finetuned model that gives one label to all is not followed: the plain model's labels stay."""
    db = tmp_path / "a.db"
    with closing(sqlite3.connect(done)) as source, closing(sqlite3.connect(db)) as copy:
        source.backup(copy)

    def one_label(context: RunContext, engine: object, adapter_id: int) -> None:
        shown = context.store.scored_inputs(context.task_id)
        new = [Relabel(row, float(label == "more")) for one in shown for label, row in one.outputs.items()]
        run = NewRun(context.task_id, "relabel", None, context.settings, 42, None, adapter_id=adapter_id)
        context.store.replace_relabels(run, new)

    monkeypatch.setattr("selfguide_lite.finetuning.relabel", one_label)
    with Store.open(db) as store:
        for key in ("calibrate", "random_labels"):
            store.set_setting(1, key, False)
        adapter = finetune(RunContext(store, 1, store.task(1).settings.changed(QUICK), Prompts()), TINY, {})
        assert adapter == store.latest_adapter(1) and "first-training" in adapter.path
        assert not store.settings(1)["self_training"]
        assert {pair.output for pair in store.pairs(1)} == {"more", "less"}
