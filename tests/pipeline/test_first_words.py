"""What a run says first and last, and what a false start leaves: driven as a user does, on the tiny model."""

from pathlib import Path

import pytest
from running import here

from selfguide_lite.core.resources import resource

TASK = """\
name: tone
kind: classification
instruction: Is it cheer or grumble?
labels: [cheer, grumble, maybe]
settings: {rounds: 1, prompts_per_round: 8, balance: false, agreement_filter: false, noise_filter: false,
  input_length_filter: false}
examples:
  - {input: Tibrem found the bed dull., output: grumble}
  - {input: Kobi found the goat splendid in the end., output: cheer}
"""
MODEL = resource("data/tiny_vicuna/tiny-vicuna.gguf")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SELFGUIDE_MODEL")  # so that each call names its model
    path = tmp_path / "tone.yaml"
    path.write_text(TASK, encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_run_names_its_model_first_prints_the_warnings_and_ends_with_what_is_next(task: Path) -> None:
    db = task.with_name("with blank.db")
    done = here("run", task, "-d", db, "-m", MODEL, "--no-train")
    assert done.exit_code == 0, done.output
    first, *_, last = done.output.splitlines()
    assert first == f"model: tiny-vicuna.gguf (llama, 3.7 million parameters, 3.8 MiB), given with -m: {MODEL}"
    checked = [line for line in here("check", task, "-m", MODEL).output.splitlines() if ": warning: " in line]
    assert len(checked) == 2  # too few examples, and a label that nothing names
    for line in checked:
        assert f"warning: {line.split(': warning: ')[1]}" in done.output.splitlines(), line
    again = f"selfguide run {task} -m {MODEL} -d '{db}'"
    assert last == f"Next: selfguide report -d '{db}'; selfguide dataset -o pairs.jsonl -d '{db}'; {again}"


def test_what_check_calls_an_error_stops_a_run_before_its_work(task: Path) -> None:
    told = TASK.replace(", noise_filter: false", "") + "noise_terms: [grumble]\n"
    task.write_text(told, encoding="utf-8")
    before = sorted(task.parent.iterdir())
    done = here("run", task, "-d", task.with_name("tone.db"), "-m", MODEL, "--no-train")
    assert done.exit_code == 1
    says = "labels.1: the noise term 'grumble' drops every answer with this label"
    assert done.output.splitlines()[-1].startswith(f"Error: task tone: {says}")
    assert says in here("check", task, "-m", MODEL).output.replace("error: ", "")
    assert sorted(task.parent.iterdir()) == before
    go_on = ["--set", "noise_filter=false", "--set", "rounds=0"]
    assert "drops every answer" not in here("run", task, "-d", task.with_name("tone.db"), "-m", MODEL, *go_on).output


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "generate"])
def test_a_false_start_leaves_nothing(command: str, task: Path) -> None:
    missing = task.parent / "no" / "such" / "tone.db"
    done = here(command, task, "-d", missing, "-m", MODEL)
    assert done.exit_code == 1 and f"{missing.parent}: no such folder; make it" in done.output
    assert done.output.count("\n") == 1
    unusable = task.with_name("unusable.gguf")
    unusable.write_bytes(MODEL.read_bytes().replace(b"blk.1.attn_q.weight", b"blk.1.attn_z.weight"))
    for model in (unusable, task.with_name("none.gguf")):
        before = sorted(task.parent.iterdir())
        done = here(command, task, "-d", task.with_name("tone.db"), "-m", model, *["--no-train"] * (command == "run"))
        assert done.exit_code == 1 and "Error: " in done.output.splitlines()[-1], done.output
        assert sorted(task.parent.iterdir()) == before
    db = task.with_name("tone.db")  # a database that was there stays, whatever fails
    assert here(command, task, "-d", db, "-m", MODEL, *["--no-train"] * (command == "run")).exit_code == 0
    kept = db.stat().st_ino
    args = ["--set", "rounds=3", *["--no-train"] * (command == "run")]
    assert here(command, task, "-d", db, "-m", unusable, *args).exit_code == 1
    assert db.stat().st_ino == kept
