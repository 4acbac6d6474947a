"""Real trainings through the real command: clean output, the loss of the answers alone, killed and resumed the same."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from datasets_for_tests import TASK, filled
from llamas import llama_cpp_logits, random_llama
from needs import needs
from old_files import OPTIONS_SHA256, format_2
from running import here

from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.paths import OLD_TRAINING, training_folders, trainings_dir
from selfguide_lite.core.resources import resource
from selfguide_lite.finetune import TrainOptions, TrainTarget
from selfguide_lite.finetune.rows import make_rows
from selfguide_lite.finetuning import train_task
from selfguide_lite.gguf import to_hf
from selfguide_lite.gguf.adapter import read_adapter
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.to_hf import hf_folder
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.native import Model
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.task import Task

needs("unsloth")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = resource("data/tiny_vicuna/tiny-vicuna.gguf")
OPTIONS = ["--epochs", "3", "--batch-size", "8", "--save-steps", "2", "--rank", "4", "--seed", "1"]  # 6 steps of 2


def adapter_of(db: Path) -> Path:
    """The adapter of a database's only training."""
    (folder,) = training_folders(db, "colours")
    return folder / "adapter.gguf"


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "selfguide_lite", *map(str, words)]


def well(*words: object) -> Result:
    """Do a command that must succeed, in this process: it shares what was loaded for the training before."""
    done = here(*words)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A database that was trained on to the end, and what the command said."""
    db = filled(tmp_path_factory.mktemp("whole") / "colours.db")
    done = subprocess.run(
        command("train", "-d", db, "-m", TINY, *OPTIONS, "--json"), capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return db, done


def test_says_one_line_of_json_and_writes_down_every_step(
    trained: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    db, done = trained
    answer = json.loads(done.stdout)
    assert (answer["pairs"], answer["left_out"], answer["steps"]) == (16, 0, 6)
    assert answer["adapter"] == str(adapter_of(db))
    assert "Unsloth" not in done.stderr and "Warning" not in done.stderr
    said = done.stderr.splitlines()  # the silent seconds are announced
    assert said.index("loading torch and what training needs: this takes ten seconds and more") < said.index(
        next(line for line in said if line.startswith("train: done"))
    )
    with Store.open(db, read_only=True) as store:
        task_id = store.only_task_id()
        adapter = store.latest_adapter(task_id)
        assert adapter is not None and adapter.sha256 == file_sha256(Path(adapter.path))
        steps = store.train_steps(adapter.run_id)
    assert [(step.step, step.total) for step in steps] == [(n, 6) for n in range(1, 7)]
    assert steps[-1].loss < steps[0].loss
    assert steps[-1].epoch == 3
    assert all(step.memory > 10**8 and step.tokens_per_second > 0 and step.grad_norm > 0 for step in steps)
    assert not (ROOT / "unsloth_compiled_cache").exists()


def test_the_loss_is_that_of_the_answers_alone(tmp_path: Path) -> None:
    """The first step's loss, all rows in one batch, is the mean over answers and end tokens as llama.cpp gives it."""
    db = filled(tmp_path / "colours.db", n=6)
    well("train", "-d", db, "-m", TINY, "--epochs", 1, "--batch-size", 6, "-q")
    with Store.open(db, read_only=True) as store:
        pairs = store.pairs(store.only_task_id())
        adapter = store.latest_adapter(store.only_task_id())
        assert adapter is not None
        (step,) = store.train_steps(adapter.run_id)
    model = Model(TINY, vocab_only=True)
    rows = make_rows(pairs, lambda text: Prompts().answer(TASK, text), ChatFormat.of(model), 2048).rows
    model.close()
    losses: list[float] = []
    for row in rows:
        logits = llama_cpp_logits(TINY, row.ids).astype(np.float64)
        for place in range(row.answer_start, len(row.ids)):
            before = logits[place - 1]
            losses.append(math.log(np.exp(before - before.max()).sum()) + before.max() - before[row.ids[place]])
    assert step.loss == pytest.approx(float(np.mean(losses)), rel=0.01)


def test_killed_and_resumed_is_as_never_killed(
    trained: tuple[Path, "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    db = filled(tmp_path / "colours.db")
    child = subprocess.Popen(command("train", "-d", db, "-m", TINY, *OPTIONS, "-q"), cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + 240
    while not list(trainings_dir(db, "colours").glob("training-*/checkpoint-4/trainer_state.json")):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not adapter_of(db).exists()
    (folder,) = training_folders(db, "colours")
    (folder / "checkpoint-6").mkdir(exist_ok=True)  # one that was being written
    (folder / "checkpoint-6" / "trainer_state.json").unlink(missing_ok=True)
    well("train", "-d", db, "-m", TINY, *OPTIONS)
    whole, resumed = read_adapter(adapter_of(trained[0])), read_adapter(adapter_of(db))
    for name, (_, b) in whole.pairs.items():
        assert np.abs(b).max() > 0
        np.testing.assert_allclose(resumed.delta(name), whole.delta(name), atol=2e-5)
    with Store.open(db, read_only=True) as store, Store.open(trained[0], read_only=True) as other:
        runs = store.connection.execute("SELECT id, reason FROM run WHERE stage = 'train'").fetchall()
        assert [reason for _, reason in runs] == ["done"]
        first = other.latest_adapter(1)
        assert first is not None
        for ours, theirs in zip(store.train_steps(runs[0][0]), other.train_steps(first.run_id), strict=True):
            assert ours.loss == pytest.approx(theirs.loss, rel=1e-3)
    # done is done
    assert "already trained" in well("train", "-d", db, "-m", TINY, *OPTIONS).stderr


def test_a_training_that_an_earlier_version_finished_is_not_done_again(tmp_path: Path) -> None:
    """Its options were hashed under names that settings had then."""
    db = format_2(tmp_path / "moods.db")
    trainings = trainings_dir(db, "moods")
    out = trainings / OLD_TRAINING
    out.mkdir(parents=True)
    (out / "adapter_model.safetensors").touch()
    with Store.open(db) as store:
        context = RunContext(store, 1, store.task(1).settings)
        task, options = context.task, TrainOptions.from_settings(context.settings)
        model = Model(TINY, vocab_only=True)
        rows = make_rows(
            store.pairs(1), lambda text: Prompts().answer(task, text), ChatFormat.of(model), options.max_seq_length
        )
        model.close()
        # What hangs on the test model and on the prompt is as it is today.
        store.connection.execute("UPDATE model SET sha256 = ?", (file_sha256(TINY),))
        store.connection.execute("UPDATE run SET dataset_sha256 = ? WHERE stage = 'train'", (rows.sha256,))
        plan = {"rows_sha256": rows.sha256, "model_sha256": file_sha256(TINY), "options_sha256": OPTIONS_SHA256}
        done = {"examples": 6, "left_out": 0, "steps": 2, "loss": 6.4, "learning_rate": 0.003, "seconds": 6.2}
        marker = {"plan": plan, "run_id": 3, "model_id": 1, **done}
        (out / "selfguide.json").write_text(json.dumps(marker), encoding="utf-8")

        def again(options: TrainOptions) -> bool:
            return train_task(context, TrainTarget(TINY, trainings), options).skipped

        assert again(options)
        assert again(replace(options, gradient_checkpointing=True))
        with pytest.raises(SelfguideError, match="raise --max-seq-length"):
            again(replace(options, max_seq_length=8))


LAUNCHERS = {
    "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    # With `--cpu` accelerate starts several processes by MPI alone; its launcher for cards starts them without one too.
    "accelerate": [
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
    ],
}


# accelerate's launcher starts torch's, so that one stands for both in `make test`
@pytest.mark.parametrize("launcher", [pytest.param("torchrun", marks=pytest.mark.proof), "accelerate"])
def test_two_processes_learn_what_one_does(
    trained: tuple[Path, "subprocess.CompletedProcess[str]"], tmp_path: Path, launcher: str
) -> None:
    """Half the batch each: one of them writes the log, and the result is that of one process."""
    db = filled(tmp_path / "colours.db")
    launch = [sys.executable, "-m", *LAUNCHERS[launcher]]
    words = ["-m", "selfguide_lite", "train", "-d", db, "-m", TINY, *OPTIONS, "--batch-size", "4", "--json"]
    done = subprocess.run([*launch, *map(str, words)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["steps"] == 6
    with Store.open(db, read_only=True) as store, Store.open(trained[0], read_only=True) as other:
        assert store.connection.execute("SELECT reason FROM run WHERE stage = 'train'").fetchall() == [("done",)]
        ours, theirs = store.latest_adapter(1), other.latest_adapter(1)
        assert ours is not None and theirs is not None
        steps, alone = store.train_steps(ours.run_id), other.train_steps(theirs.run_id)
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [step.loss for step in steps] == pytest.approx([step.loss for step in alone], rel=1e-3)
    whole, halves = read_adapter(adapter_of(trained[0])), read_adapter(adapter_of(db))
    # Sums come in another order, and Adam makes the more of it the smaller a gradient is.
    first, second = (np.concatenate([lora.delta(name).ravel() for name in lora.pairs]) for lora in (whole, halves))
    assert np.linalg.norm(second - first) < 0.05 * np.linalg.norm(first)


def test_weights_from_a_folder_learn_the_same(
    trained: tuple[Path, "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    """The GGUF's own weights, given as a folder: the same adapter."""
    db = filled(tmp_path / "colours.db")
    well("train", "-d", db, "-m", TINY, "--base", hf_folder(TINY), *OPTIONS, "-q")
    own, given = read_adapter(adapter_of(trained[0])), read_adapter(adapter_of(db))
    assert own.base_sha256 == given.base_sha256 == file_sha256(TINY)
    for name in own.pairs:
        np.testing.assert_allclose(given.delta(name), own.delta(name), atol=2e-5)


def test_a_sharded_folder_in_16_bits_goes_all_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on it, export, predict; with checkpointing, which must know the shared beginning too."""
    base = random_llama(tmp_path, "grouped-query")
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr(to_hf, "SHARD_BYTES", 40_000)
    monkeypatch.setattr(to_hf, "EXACT_BYTES", 0)
    monkeypatch.setattr(to_hf, "_stored_as", lambda info: "BF16" if len(info.shape) > 1 else "F32")
    with GgufFile(base) as gguf:
        to_hf.write_hf(gguf, folder)
    assert len(list(folder.glob("*.safetensors"))) > 2
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    db, out = filled(tmp_path / "colours.db", n=8), tmp_path / "made"
    words = ["train", "-d", db, "-m", base, "--base", folder, "--epochs", 2, "--batch-size", 4]
    words.append("--gradient-checkpointing")
    assert json.loads(well(*words, "--learning-rate", 0.01, "--json").stdout)["steps"] == 4
    exported = well("export", "-d", db, "--to", "llama.cpp", "-m", base, "-o", out, "--rows", "2")
    assert "2 of 2 answers equal" in exported.output
    made = out / "adapter.gguf"
    assert any(np.abs(b).max() > 0 for _, b in read_adapter(made).pairs.values())
    said = well("predict", "-d", db, "-m", base, "-a", made, "--json", "a sky")
    assert json.loads(said.stdout)["input"] == "a sky"


def test_export_and_predict(trained: tuple[Path, "subprocess.CompletedProcess[str]"], tmp_path: Path) -> None:
    db, _ = trained
    runner = CliRunner()
    merged = tmp_path / "made" / "model.gguf"
    words = ["export", "-d", str(db), "--to", "llama.cpp", "--merge", "f32", "-o", str(merged.parent), "--rows", "4"]
    done = runner.invoke(main, words)
    assert done.exit_code == 0 and "4 of 4 answers equal" in done.output, done.output
    assert "Merged as f32: 0 of 4 answers changed by it" in done.output
    lines = "a sky with the number 3\n\na rose with the number 8\n"
    done = runner.invoke(main, ["predict", "-d", str(db)], input=lines)
    assert done.exit_code == 0, done.output
    sky, blank, rose = done.stdout.splitlines()
    assert sky and rose and not blank  # a blank line keeps its place
    one = runner.invoke(main, ["predict", "-d", str(db), "a sky with the number 3", "--json"])
    assert json.loads(one.stdout)["output"] == done.stdout.splitlines()[0]
    same = runner.invoke(main, ["predict", "-d", str(db), "-m", str(merged), "--no-adapter"], input=lines)
    assert same.stdout == done.stdout
    other = random_llama(tmp_path)
    wrong = runner.invoke(main, ["predict", "-d", str(db), "-m", str(other), "hello"])
    assert wrong.exit_code == 1


LABELS = {"kind": "classification", "labels": ["warm", "cold"], "name": "warmth"}


@pytest.mark.parametrize(
    ("pairs", "words"), [(0, "no pairs to train on"), (6, "all 6 pairs have the same answer 'warm'")]
)
def test_nothing_to_learn_is_said(tmp_path: Path, pairs: int, words: str) -> None:
    task = Task.model_validate(TASK.model_dump() | LABELS | {"examples": [{"input": "a", "output": "warm"}]})
    db = tmp_path / "one.db"
    with Store.open(db) as store:
        task_id = store.add_task(task)
        for number in range(pairs):
            added = store.add_input(
                NewInput(
                    task_id, store.start_run(task_id, "generate", None, {}, 0, None), 0, number, f"a thing {number}"
                )
            )
            store.add_outputs([NewOutput(added, 1, 0, "warm")])
    done = CliRunner().invoke(main, ["train", "-d", str(db), "-m", str(TINY)])
    assert done.exit_code == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("base", "words"), [("an-empty-folder", "no config.json"), ("another", "give the original weights")]
)
def test_wrong_weights_are_refused(tmp_path: Path, base: str, words: str) -> None:
    folder = hf_folder(random_llama(tmp_path)) if base == "another" else tmp_path
    db = filled(tmp_path / "colours.db", n=4)
    done = here("train", "-d", db, "-m", TINY, "--base", folder, "-q")
    assert done.exit_code == 1
    assert words in done.stderr and "Traceback" not in done.stderr
