"""Columns and settings got other names: files of before open, say the same, and what was done is not done again."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from old_files import format_2
from robust_runs import random_model
from running import here

from selfguide_lite.cli import main
from selfguide_lite.core.renamed import RENAMED_SETTINGS, with_current_names
from selfguide_lite.core.settings import Settings
from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.prompts import PromptTemplate
from selfguide_lite.store import Store
from selfguide_lite.store.choices import change_setting
from selfguide_lite.store.connection import connect
from selfguide_lite.store.filters import list_filters
from selfguide_lite.store.lineage import life
from selfguide_lite.store.migrations import FORMAT
from selfguide_lite.store.rows import NewEvaluation

OWN = (
    "filter_input_crowded", "filter_output_first_pool", "filter_answer_narrow", "filter_answer_asked",
    "filter_input_broken", "shown", "shown_more", "patience",
)  # fmt: skip
FUNNEL = [
    ("input", "crowded", 1), ("input", "kept", 7), ("output", "kept", 14), ("answer", "kept", 7),
    ("dataset", "balance", 1), ("dataset", "kept", 6),
]  # fmt: skip
TASK_FILE = """
name: moods
kind: classification
instruction: Say whether the writer is glad or sad.
labels: [glad, sad]
examples:
  - {input: "What a bright morning this is!", output: glad}
  - {input: "The bus was late again today.", output: sad}
  - {input: "We won the match by one goal.", output: glad}
"""


def rows_before(path: Path, *statements: str) -> list[list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return [connection.execute(statement).fetchall() for statement in statements]


@pytest.mark.slow
def test_a_file_of_format_2_has_the_new_names_and_the_same_rows(tmp_path: Path) -> None:
    db = format_2(tmp_path / "moods.db")
    inputs, shown, patience = rows_before(
        db, "SELECT id, good, flawed FROM input", "SELECT * FROM shown_more", "SELECT * FROM patience"
    )
    assert inputs[-1] == (8, "[1, 0, 2]", "[1, 2]") and len(shown) == 8 and patience[0] == (1, 3, 1024)
    with Store.open(db) as store:
        run = store.connection.execute
        assert run("PRAGMA user_version").fetchone() == (FORMAT,)
        assert run("SELECT id, seed_inputs, pool_inputs FROM input").fetchall() == inputs
        assert [(row.stage, row.reason, row.n) for row in store.funnel(1)] == FUNNEL
        assert store.settings(1)["min_vote_share"] == 0.4
        assert not run("SELECT 1 FROM setting WHERE key = 'min_share'").fetchall()
        given = store.task(1).settings.model_dump(exclude_unset=True)
        assert {key: given[key] for key in RENAMED_SETTINGS.values()} == {
            "patience_rounds": 3,
            "min_vote_share": 0.4,
            "gradient_accumulation_steps": 2,
            "max_seq_length": 1024,
        }
        for table in ("task", "run", "evaluation"):
            for (text,) in run(f"SELECT settings FROM {table}"):
                assert json.loads(text).keys().isdisjoint({*RENAMED_SETTINGS, "checkpointing"})
        assert life(store, 8).seed_inputs == (1, 0, 2) and [id_ for id_, _ in life(store, 8).pool_inputs] == [1, 2]
        assert run("SELECT * FROM shown_more").fetchall() == shown
        assert run("SELECT * FROM patience").fetchall() == patience


@pytest.mark.slow
def test_views_of_a_user_say_the_new_names_and_still_reject(tmp_path: Path) -> None:
    db = format_2(tmp_path / "moods.db")
    with Store.open(db) as store:
        sql = dict(store.connection.execute("SELECT name, sql FROM sqlite_master").fetchall())
        assert set(OWN) <= sql.keys()
        assert "json_array_length(pool_inputs)" in sql["filter_input_crowded"]
        assert sql["filter_input_crowded"].rstrip().endswith("-- more than one flawed")  # comments stay
        assert sql["filter_output_first_pool"].endswith("i.seed_inputs = 'good'")  # so do texts
        assert sql["shown"].endswith("SELECT input_id, seed_inputs, pool_inputs FROM provenance")
        assert sql["shown_more"].endswith(
            "s.pool_inputs AS f, s.seed_inputs FROM shown AS s WHERE s.pool_inputs <> 'flawed'"
        )
        assert "'patience_rounds'" in sql["patience"] and "'$.max_seq_length'" in sql["patience"]
        assert "UPDATE OF seed_inputs ON input" in sql["audit"]
        problems = {row.name: row.problem for row in list_filters(store, 1) if row.own}
        assert problems == {
            "crowded": None, "first_pool": None, "narrow": None, "asked": None, "broken": "no such table: main.nowhere",
        }  # fmt: skip
        change_setting(store, 1, "min_vote_share", "0.95")
        rejected = {row.name: row.rejects for row in list_filters(store, 1) if row.own}
        assert rejected["narrow"] == 7 and rejected["asked"] == 0
        store.set_setting(1, "min_share", 2)  # the old name: confidence 0.9 is under half of it
        assert {row.name: row.rejects for row in list_filters(store, 1) if row.own}["asked"] == 7


def test_runs_and_evaluations_of_format_2_are_found_again(tmp_path: Path) -> None:
    with Store.open(format_2(tmp_path / "moods.db")) as store:
        run = store.connection.execute
        resolve = store.task(1).rules.resolve
        settings = resolve(store.task(1).settings)
        old = PromptTemplate(Path("old"), run("SELECT template FROM run WHERE stage = 'generate'").fetchone()[0])
        assert store.first_round_like(store.start_run(1, "generate", 1, settings, 42, old)) == 0
        patient = resolve(settings.changed({"patience_rounds": 4}))
        assert store.first_round_like(store.start_run(1, "generate", 1, patient, 42, old)) is None
        data, template = run("SELECT data_sha256, template FROM evaluation").fetchone()
        key = NewEvaluation(
            method="few-shot", metric="accuracy", model_id=1, data_sha256=data, settings={"output_max_tokens": 64},
            template=PromptTemplate(Path("old"), template),
        )  # fmt: skip
        assert store.add_evaluation(1, key) == 1
        options = replace(TrainOptions.from_settings(settings), gradient_checkpointing=False).as_dict()
        pairs, template = run("SELECT dataset_sha256, template FROM run WHERE id = 3").fetchone()
        annotate = PromptTemplate(Path("old"), template)
        run("UPDATE run SET reason = 'interrupted' WHERE id = 3")
        assert store.add_train_run(1, 1, options, 42, pairs, annotate) == 3
        assert store.add_train_run(1, 1, options | {"max_seq_length": 512}, 42, pairs, annotate) > 3


def test_a_file_of_format_2_that_may_not_be_written_is_read_all_the_same(tmp_path: Path) -> None:
    db = format_2(tmp_path / "moods.db")
    before = db.read_bytes()
    connection = connect(db, read_only=True, create=False)
    assert connection.execute("SELECT seed_inputs FROM input WHERE id = 8").fetchone() == ("[1, 0, 2]",)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM input")
    connection.close()
    assert db.read_bytes() == before


def test_settings_take_the_old_names_but_not_both() -> None:
    assert Settings.model_validate({"min_share": 0.5, "max_length": 9}) == Settings(
        min_vote_share=0.5, max_seq_length=9
    )
    assert Settings(min_vote_share=0.1).changed({"min_share": 0.5}).min_vote_share == 0.5
    assert with_current_names({"accumulation": 2, "rounds": 3}) == {"gradient_accumulation_steps": 2, "rounds": 3}
    with pytest.raises(ValueError, match="min_share and min_vote_share are the same setting; remove min_share"):
        Settings.model_validate({"min_share": 0.5, "min_vote_share": 0.5})


def check(tmp_path: Path, settings: str, *more: str) -> tuple[int, str]:
    path = tmp_path / "moods.yaml"
    path.write_text(f"{TASK_FILE}settings:\n{settings}", encoding="utf-8")
    result = CliRunner().invoke(main, ["check", str(path), *more])
    return result.exit_code, result.output


def test_check_names_the_line_of_an_old_name(tmp_path: Path) -> None:
    status, said = check(tmp_path, "  rounds: 3\n  min_share: 0.5\n")
    assert status == 0 and "moods.yaml:12:3: warning: settings.min_share: is now called min_vote_share" in said
    status, said = check(tmp_path, "  rounds: 3\n  min_share: 7\n")
    assert status == 1
    assert ":12:3: error: settings.min_share: '7' is not allowed; allowed: number, at least 0, at most 1" in said
    status, said = check(tmp_path, "  min_vote_share: 0.5\n  min_share: 0.5\n")
    assert status == 1 and "settings: min_share and min_vote_share are the same setting; remove min_share" in said


@pytest.mark.slow
def test_commands_say_the_new_name_once_and_refuse_both(tmp_path: Path) -> None:
    task, file, db = tmp_path / "moods.yaml", tmp_path / "given.yaml", str(tmp_path / "moods.db")
    given = "{fruitless_rounds: 3, input_max_tokens: 8, output_max_tokens: 4}"
    task.write_text(f"{TASK_FILE}settings: {given}\n", encoding="utf-8")
    file.write_text("fruitless_rounds: 5\nmax_length: 99\n", encoding="utf-8")

    def said(*words: object, fails: bool = False) -> str:
        result = here(*words)
        assert (result.exit_code != 0) == fails and "Traceback" not in result.output, result.output
        return result.output

    plan = ["run", task, "-m", random_model(tmp_path / "m.gguf"), "--dry-run", "--settings", file]
    output = said(*plan, "--set", "min_share=0.5", "--set", "max_seq_length=100")
    for line in (
        "setting fruitless_rounds is now called patience_rounds",
        "setting max_length is now called max_seq_length",
        "setting min_share is now called min_vote_share",
    ):
        assert output.splitlines().count(line) == 1
    both = said(*plan, "--set", "min_share=0.5", "--set", "min_vote_share=0.5", fails=True)
    assert "min_share and min_vote_share are the same setting; remove min_share" in both
    file.write_text("fruitless_rounds: 5\npatience_rounds: 5\n", encoding="utf-8")
    assert "given.yaml: fruitless_rounds and patience_rounds are the same setting" in said(*plan, fails=True)

    format_2(tmp_path / "moods.db")
    output = said("filter", "set", "-d", db, "min_share", "0.95")
    assert output.splitlines() == [
        "setting min_share is now called min_vote_share",
        "min_vote_share is 0.95: 6 pairs before, 0 now.",
    ]


def test_train_takes_its_old_options_but_not_both(tmp_path: Path) -> None:
    runner, missing = CliRunner(), ["-d", str(tmp_path / "no.db"), "-m", "no.gguf"]
    result = runner.invoke(main, ["train", *missing, "--max-length=64", "--no-checkpointing", "--accumulation", "2"])
    assert result.output.splitlines()[:3] == [
        "option --max-length is now called --max-seq-length",
        "option --no-checkpointing is now called --no-gradient-checkpointing",
        "option --accumulation is now called --gradient-accumulation-steps",
    ]
    assert "is now called" not in runner.invoke(main, ["train", *missing, "--max-length=64", "-q"]).output
    both = runner.invoke(main, ["train", *missing, "--max-length", "64", "--max-seq-length", "64"])
    assert (
        both.exit_code == 2
        and "--max-length and --max-seq-length are the same option; remove --max-length" in both.output
    )
    assert "--max-length" not in runner.invoke(main, ["train", "--help"]).output
