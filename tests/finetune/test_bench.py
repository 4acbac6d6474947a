"""The measurement of a training, through the real command, on as few rows as it takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from needs import needs

from selfguide_lite.core.resources import resource

needs("unsloth")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_trains_the_same_as_plain_peft() -> None:
    words = ["bench", "-m", str(resource("data/tiny_vicuna/tiny-vicuna.gguf")), "--only", "train", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "selfguide_lite", *words, "--train-pairs", "24", "--train-rounds", "1"],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["missing"] == {}
    assert set(found) == {"model", "tuning", "train", "missing"}
    numbers = found["train"]
    assert 0 <= numbers["loss_difference"] < 0.01 and numbers["last_loss_difference"] < 0.01
    assert 0.1 < numbers["loss"] < 10
    assert numbers["vs_plain"] > 0 and numbers["tokens_per_second"] > 0
    assert numbers["memory_mib"] > 100
