"""The typed store: exactly once, whole or not at all, readers beside a writer, one clear line for every bad file."""

import math
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.progress import TrainStep
from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewEvaluation, NewInput, NewOutput, Prediction, Store
from selfguide_lite.task import Example, Task

TASK = Task(
    name="copy",
    kind="generation",
    instruction="Copy it.",
    examples=(Example(input="abcdefghij", output="abcdefghij"),),
    settings=Settings(input_length_filter=False),
)


def begin(store: Store, task: Task = TASK) -> tuple[int, int]:
    task_id = store.add_task(task)
    return task_id, store.start_run(task_id, "generate", None, task.settings, 1, None)


def test_the_same_request_is_kept_once(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        task_id, run = begin(store)
        first = store.add_input(NewInput(task_id, run, 0, 3, "one"))
        assert store.add_input(NewInput(task_id, run, 0, 3, "two")) == first
        assert store.add_outputs([NewOutput(first, run, 0, "x"), NewOutput(first, run, 1, "y")]) == 2
        assert store.add_outputs([NewOutput(first, run, 1, "z"), NewOutput(first, run, 2, "y")]) == 1
        assert store.requests_done(task_id) == {(0, 3)}
    with Store.open(tmp_path / "a.db") as store:
        assert [shown.text for shown in store.pool(task_id)] == ["one"]
        assert [text for (text,) in store.connection.execute("SELECT text FROM output ORDER BY sample")] == [
            "x",
            "y",
            "y",
        ]
        assert store.unanswered(task_id, "sample", 3) == [] and len(store.unanswered(task_id, "sample", 4)) == 1


def test_the_pool_is_in_the_order_of_the_prompts_whatever_came_first(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        task_id, run = begin(store)
        for round_, prompt, text in ((1, 0, "late"), (0, 1, "b"), (0, 0, "a"), (1, 1, "A")):
            store.add_input(NewInput(task_id, run, round_, prompt, text))
        assert [shown.text for shown in store.pool(task_id)] == ["a", "b", "late"]


def test_texts_that_sqlite_cannot_hold_are_mended(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        task_id, run = begin(store)
        store.add_input(NewInput(task_id, run, 0, 0, " a\0b\ud800 \n", mean_logprob=math.nan))
        assert store.pool(task_id)[0].text == "a\ufffdb\ufffd"


def test_an_answer_that_breaks_the_rules_takes_its_whole_batch_back(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        task_id, run = begin(store)
        shown = store.add_input(NewInput(task_id, run, 0, 0, "one"))
        with pytest.raises(SelfguideError, match="FOREIGN KEY"):
            store.add_outputs([NewOutput(shown, run, 0, "x"), NewOutput(shown, 99, 1, "y")])
        assert store.connection.execute("SELECT count(*) FROM output").fetchone() == (0,)
        assert store.add_outputs([NewOutput(shown, run, 0, "x")]) == 1


def test_what_changed_in_the_task_file_is_carried_over_and_what_was_set_by_hand_stays(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        task_id = store.add_task(TASK)
        store.set_setting(task_id, "min_vote_share", 0.9)
        store.change_noise_terms(task_id, add=["mine"])
        changed = TASK.model_copy(update={"settings": Settings(length_deviations=3), "noise_terms": ("sure", "\n\n")})
        assert store.add_task(changed) == task_id
        assert store.settings(task_id)["min_vote_share"] == 0.9 and store.settings(task_id)["length_deviations"] == 3
        assert store.noise_terms(task_id) == ["\n\n", "mine", "sure"]
        assert store.add_task(changed) == task_id


TONE = TASK.model_copy(
    update={
        "name": "tone",
        "kind": "classification",
        "labels": ("rude", "kind"),
        "examples": (Example(input="Go away.", output="rude"),),
        "settings": Settings(),
    }
)


@pytest.mark.parametrize(
    ("change", "key"),
    [({"method": "sample"}, "calibrate"), ({"label_condition": False}, "agreement_filter")],
)
def test_a_default_that_follows_from_another_setting_changes_with_it(
    tmp_path: Path, change: dict[str, object], key: str
) -> None:
    changed = TONE.model_copy(update={"settings": TONE.settings.changed(change)})
    with Store.open(tmp_path / "a.db") as store:
        task_id = store.add_task(TONE)
        assert store.settings(task_id)[key] == 1
        store.add_task(changed)
        assert store.settings(task_id)[key] == 0
        store.add_task(TONE)
        assert store.settings(task_id)[key] == 1


def test_another_setting_that_changes_leaves_rows_that_were_set_by_hand(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        task_id = store.add_task(TONE)
        store.set_setting(task_id, "balance", False)
        store.set_setting(task_id, "calibrate", False)
        store.add_task(TONE.model_copy(update={"settings": Settings(label_condition=False)}))
        settings = store.settings(task_id)
        assert (settings["agreement_filter"], settings["calibrate"], settings["balance"]) == (0, 0, 0)
        store.add_task(TONE.model_copy(update={"settings": Settings(method="sample", calibrate=True)}))
        settings = store.settings(task_id)
        assert (settings["agreement_filter"], settings["calibrate"], settings["balance"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"instruction": "Do not."}, "instruction"),
        ({"examples": (Example(input="a", output="b"),)}, "examples"),
        ({"kind": "classification", "labels": ("abcdefghij", "b")}, "kind and labels"),
    ],
)
def test_a_task_that_changed_is_refused_with_what_changed(
    tmp_path: Path, change: dict[str, object], named: str
) -> None:
    with Store.open(tmp_path / "a.db") as store:
        store.add_task(TASK)
        before = list(store.connection.iterdump())
        with pytest.raises(SelfguideError, match=f"with other {named}: .*new name"):
            store.add_task(TASK.model_copy(update=change))
        assert list(store.connection.iterdump()) == before


def test_which_task_is_asked_where_there_are_several(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        with pytest.raises(SelfguideError, match="holds no task"):
            store.only_task_id()
        first = store.add_task(TASK)
        assert store.only_task_id() == first
        second = store.add_task(TASK.model_copy(update={"name": "other"}))
        assert store.only_task_id("other") == second
        with pytest.raises(SelfguideError, match="--task; there are: copy, other"):
            store.only_task_id()
        with pytest.raises(SelfguideError, match="no task 'third'"):
            store.only_task_id("third")


def test_training_and_evaluation_go_on_where_they_stopped(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        task_id = store.add_task(TASK)
        info = ModelInfo("m", "/m", "ab", "llama", 5)
        model = store.add_model(info)
        assert store.add_model(info) == model
        run = store.add_train_run(task_id, model, {"epochs": 3}, 42, "hash")
        store.add_train_step(run, TrainStep(1, 2, 0.5, 2.0, 1e-3, math.nan, 10.0, 1000))
        store.add_train_step(run, TrainStep(1, 2, 0.5, 1.5, 1e-3, math.nan, 10.0, 1000))
        assert [step.loss for step in store.train_steps(run)] == [1.5] and math.isnan(
            store.train_steps(run)[0].grad_norm
        )
        assert store.add_train_run(task_id, model, {"epochs": 3}, 42, "hash") == run
        assert store.latest_adapter(task_id) is None
        adapter = store.add_adapter(task_id, run, model, "a.gguf", "cd")
        assert store.add_adapter(task_id, run, model, "b.gguf", "cd") == adapter
        latest = store.latest_adapter(task_id)
        assert latest is not None and latest.path == str(Path("b.gguf").absolute())
        store.finish_run(run, "done")
        assert store.add_train_run(task_id, model, {"epochs": 3}, 42, "hash") != run
        new = NewEvaluation(method="few-shot", metric="rouge-l", model_id=model, data_sha256="ef", n=2)
        evaluation = store.add_evaluation(task_id, new)
        assert store.add_evaluation(task_id, new) == evaluation
        assert store.add_evaluation(task_id, replace(new, adapter_id=adapter)) != evaluation
        for text in ("first", "second"):
            store.add_prediction(evaluation, Prediction(0, "i", ("ä", "b"), text, 0.5))
        assert [(p.text, p.references) for p in store.predictions(evaluation)] == [("first", ("ä", "b"))]
        store.finish_evaluation(evaluation, 0.5, 0.4, 0.6)
        done = store.evaluations(task_id)[0]
        assert (done.method, done.mean, done.adapter_id) == ("few-shot", 0.5, None)


READER = """
import sqlite3, sys, time
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, timeout=0)
seen, end = [], time.monotonic() + 60
while time.monotonic() < end and (not seen or seen[-1] < int(sys.argv[2])):
    seen.append(connection.execute("select count(*) from input").fetchone()[0])
    connection.execute("select * from funnel").fetchall()
    connection.execute("select count(*) from dataset").fetchone()
print(len(seen), sorted(seen) == seen)
"""


@pytest.mark.slow
def test_a_second_process_reads_while_this_one_writes(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.db", 150
    with Store.open(path) as store:
        task_id, run = begin(store)
        command = [sys.executable, "-c", READER, str(path), str(rows)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
            for number in range(rows):
                shown = store.add_input(NewInput(task_id, run, number // 10, number % 10, f"text {number}"))
                store.add_outputs([NewOutput(shown, run, sample, "abcdefghij") for sample in range(3)])
            out, err = reader.communicate(timeout=90)
    assert err == "" and out.split()[1] == "True"  # never "database is locked", never a row less than before


def test_a_full_disk_is_one_line_and_what_was_committed_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        task_id, run = begin(store)
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        kept = 0
        with pytest.raises(SelfguideError, match="the disk is full; everything committed so far is kept"):
            for number in range(1000):
                store.add_input(NewInput(task_id, run, 0, number, "x" * 3000))
                kept += 1
        assert kept > 2
        assert store.requests_done(task_id) == {(0, number) for number in range(kept)}
        store.connection.execute("PRAGMA max_page_count = 1000000")
        store.add_input(NewInput(task_id, run, 0, kept, "goes on"))
        assert store.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_locked_database_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        task_id, run = begin(store)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        store.connection.execute("PRAGMA busy_timeout = 10")
        with pytest.raises(SelfguideError, match="another program holds it locked"):
            store.add_input(NewInput(task_id, run, 0, 0, "x"))
        other.execute("ROLLBACK")
        other.close()
        store.add_input(NewInput(task_id, run, 0, 0, "x"))


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_taken_away_under_a_run_is_noticed(tmp_path: Path, replaced: bool) -> None:
    path, aside = tmp_path / "a.db", tmp_path / "b.db"
    with Store.open(path) as store:
        task_id, run = begin(store)
        path.rename(aside)
        if replaced:
            Store.open(path).close()
        with pytest.raises(SelfguideError, match="deleted or replaced while in use"):
            store.add_input(NewInput(task_id, run, 0, 0, "x"))
        if not replaced:  # the other file has made itself at home in this one's write-ahead log
            aside.replace(path)
            store.add_input(NewInput(task_id, run, 0, 0, "x"))


@pytest.mark.slow
def test_processes_that_make_the_same_database_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    command = [sys.executable, "-c", f"from selfguide_lite.store import Store; Store.open({str(path)!r}).close()"]
    made = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=120)[1] for process in made] == ["", "", ""]
    with Store.open(path) as store:
        assert store.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert store.task_names() == []


def test_files_that_are_not_ours_are_refused_and_left_alone(tmp_path: Path) -> None:
    newer, text, other, cut = (tmp_path / name for name in ("newer.db", "text.db", "other.db", "cut.db"))
    Store.open(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    text.write_text("this is no database at all, only some text\n" * 100)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    cut.write_bytes(newer.read_bytes()[:5000])
    for path, says in (
        (newer, "made by a newer selfguide .format 999.*upgrade"),
        (text, "not a SQLite database"),
        (other, "of another program"),
        (cut, "damaged|newer"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "a.db", "folder .* does not exist"),
    ):
        before = path.read_bytes() if path.is_file() else None
        for read_only in (False, True):
            with pytest.raises(SelfguideError, match=says if not read_only or path.exists() else "no such database"):
                Store.open(path, read_only=read_only)
        assert (path.read_bytes() if path.is_file() else None) == before
    with pytest.raises(SelfguideError, match="no such database; make one"):
        Store.open(tmp_path / "missing.db", create=False)
    assert not (tmp_path / "missing.db").exists()


def test_a_read_only_database_is_read_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with Store.open(path) as store:
        task_id, run = begin(store)
        store.add_input(NewInput(task_id, run, 0, 0, "x"))
    with Store.open(path, read_only=True) as store:
        assert len(store.pool(task_id)) == 1
        with pytest.raises(SelfguideError, match="read-only"):
            store.add_input(NewInput(task_id, run, 0, 1, "y"))


def as_nobody(work: Callable[[], str]) -> str:
    """Return what a function returns in a child process that belongs to a user without rights."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            os.write(send, work().encode())
        except BaseException as error:
            os.write(send, repr(error).encode())
        finally:
            os._exit(0)
    os.close(send)
    with os.fdopen(receive) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to become a user who may not write")
def test_a_file_without_permission_to_write_is_read_all_the_same() -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    path = folder / "a.db"
    with Store.open(path) as store:
        task_id, run = begin(store)
        store.add_input(NewInput(task_id, run, 0, 0, "x"))

    def read() -> str:
        with Store.open(path, read_only=True) as store:
            return str(len(store.pool(task_id)))

    def write() -> str:
        with Store.open(path) as store:
            return str(store.add_input(NewInput(task_id, run, 0, 1, "y")))

    folder.chmod(0o555)
    path.chmod(0o444)
    told = as_nobody(read), as_nobody(write)
    shutil.rmtree(folder)
    assert told[0] == "1"
    assert "SelfguideError" in told[1] and "it is read-only; change its permissions" in told[1]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    with pytest.raises(ValueError, match="half"), atomic_write(path) as temporary:
        temporary.write_text("two")
        raise ValueError("half way")
    assert path.read_text() == "one" and list(path.parent.iterdir()) == [path]
    with pytest.raises(SelfguideError, match="cannot write"), atomic_write(path / "below" / "b.txt"):
        pass
