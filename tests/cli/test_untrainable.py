"""A model that runs but cannot be finetuned: said before the work, wherever someone may look."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from random_architectures import Row, Shape, write_model

from selfguide_lite.cli import main
from selfguide_lite.core.resources import resource

TASK = """\
name: moods
kind: classification
instruction: Say whether it is good or bad.
labels: [good, bad]
examples:
  - {input: the end is good, output: good}
  - {input: it is no good question, output: bad}
  - {input: hello world, output: good}
settings: {rounds: 1, prompts_per_round: 2, input_max_tokens: 8}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gemma 1, which llama.cpp knows and finetuning here does not."""
    row = Row(
        Shape(layers=1, head_dim=32, context=1024, tied=True),
        keys={"attention.key_length": 32, "attention.value_length": 32},
    )
    return write_model(tmp_path_factory.mktemp("gemma") / "gemma.gguf", "gemma", row)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    path = tmp_path / "moods.yaml"
    path.write_text(TASK)
    return path


def asked(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_models_show(model: Path) -> None:
    done = asked("models", "show", model)
    assert done.exit_code == 0
    told = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert told["architecture"].startswith("gemma, ") and told["context"] == "1,024 tokens"
    assert "no: " in told["finetuning"] and "its architecture is `gemma`" in told["finetuning"]
    assert "a plain one is used" in done.stdout
    found = json.loads(asked("models", "show", resource("data/tiny_vicuna/tiny-vicuna.gguf"), "--json").stdout)
    assert found["untrainable"] is None and found["train_bytes"] > found["run_bytes"] > found["file_bytes"]
    assert found["architecture"] == "llama" and found["chat_template"].startswith("in the file")
    assert "cannot read" in asked("models", "show", "nowhere.gguf").stderr


def test_check(model: Path, task: Path) -> None:
    done = asked("check", task, "-m", model)
    assert done.exit_code == 0 and "This model cannot be finetuned" in done.stdout
    assert asked("check", task, "-m", model, "--strict").exit_code == 1
    found = json.loads(asked("check", task, "-m", resource("data/tiny_vicuna/tiny-vicuna.gguf"), "--json").stdout)
    assert found["untrainable"] is None


@pytest.mark.slow
def test_doctor(model: Path) -> None:
    found = json.loads(asked("doctor", "-m", model, "--json").stdout)["checks"]
    (told,) = [check for check in found if check["name"] == "finetuning of the model"]
    assert told["status"] == "yellow" and "gemma" in told["value"] and "--no-train" in told["advice"]


def test_dry_run(model: Path, task: Path) -> None:
    done = asked("run", task, "-m", model, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "This model cannot be finetuned" in done.stdout and "--no-train" in done.stdout


def test_run_refuses_before_a_token(model: Path, task: Path, tmp_path: Path) -> None:
    db = tmp_path / "moods.db"
    done = asked("run", task, "-m", model, "-d", db)
    assert done.exit_code == 1
    assert "its architecture is `gemma`" in done.stderr and "--no-train" in done.stderr
    assert not db.exists()


@pytest.mark.slow
def test_run_makes_the_data_where_it_is_asked_to(model: Path, task: Path, tmp_path: Path) -> None:
    """A random model writes nothing that survives, which is said after both stages were done."""
    db = tmp_path / "moods.db"
    done = asked("run", task, "-m", model, "-d", db, "--no-train")
    assert db.exists() and "cannot be finetuned" in done.stderr
    assert "generate" in done.stderr
