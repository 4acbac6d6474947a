"""A training whose card has too little memory: smaller batches, more gradients summed, the same training."""

import math
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets_for_tests import filled
from lacking import run_lacking
from needs import needs

from selfguide_lite.core.paths import training_folders
from selfguide_lite.core.progress import TrainStep
from selfguide_lite.core.resources import resource
from selfguide_lite.finetune.job import Fit, FitJob
from selfguide_lite.finetune.memory import OutOfMemory, Shape
from selfguide_lite.finetune.options import TrainOptions, total_steps
from selfguide_lite.finetune.retry import fit_within_memory, with_smaller_batches
from selfguide_lite.gguf.adapter import read_adapter
from selfguide_lite.store import Store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = resource("data/tiny_vicuna/tiny-vicuna.gguf")
OPTIONS = ("--epochs", 3, "--batch-size", 8, "--save-steps", 2, "--rank", 4, "--seed", 1)  # 6 steps of 2

# ROOM says from which batch of a size on there is no room for it: torch's own error comes out of the backward pass, as
# it does on a card.
SMALL_CARD = """
if room := os.environ.get("ROOM"):
    from collections import Counter
    from selfguide_lite.finetune.collator import Collator
    first, seen, whole = dict(map(int, one.split(":")) for one in room.split()), Counter(), Collator.__call__
    def call(self, features):
        import torch
        seen[len(features)] += 1
        if seen[len(features)] >= first.get(len(features), 10**9):
            def backward(*_, **__):
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            torch.Tensor.backward = backward
        return whole(self, features)
    Collator.__call__ = call
"""


@pytest.mark.parametrize("rows", [1, 16, 17, 242])
@pytest.mark.parametrize("batch", [1, 2, 6, 8, 9, 32])
def test_smaller_batches_have_the_same_steps(rows: int, batch: int) -> None:
    options = TrainOptions(batch_size=batch, gradient_accumulation_steps=2, epochs=2.5)
    steps, sizes = total_steps(rows, options), []
    while (smaller := with_smaller_batches(options)) is not None:
        assert smaller.batch_size * smaller.gradient_accumulation_steps == batch * 2
        assert total_steps(rows, smaller) == steps
        options = smaller
        sizes.append(options.batch_size)
    assert options.batch_size == 1 and (batch != 8 or sizes == [4, 2, 1]) and (batch != 9 or sizes == [3, 1])


def test_every_step_is_told_once_and_one_row_too_many_is_said() -> None:
    job = FitJob(Path(), (), TrainOptions(batch_size=4), Path(), Shape(1, 1, 1, 1, 1, 1, 1, tied=True), 0)
    steps: list[int] = []
    notes: list[str] = []
    batches: list[int] = []

    def fit(tried: FitJob, on_step: object, note: object) -> Fit:
        """Four steps, of which two are kept in a checkpoint; only batches of `room` rows have room for the fourth."""
        batches.append(tried.options.batch_size)
        for step in range(1 if len(batches) == 1 else 3, 5):
            if step == 4 and tried.options.batch_size > room:
                raise OutOfMemory("too little")
            on_step(TrainStep(step, 4, 0.0, 1.0, 0.0, math.nan, 0.0, 0))  # type: ignore[operator]
        return Fit(4, 1.0, 0.0, 0.0, 0, "card")

    room = 1
    assert fit_within_memory(job, fit, lambda step: steps.append(step.step), notes.append).steps == 4
    assert steps == [1, 2, 3, 4] and batches == [4, 2, 1]
    assert "step 4" in notes[0] and "batches of 2 in place of 4" in notes[0] and len(notes) == 2
    room = 0
    with pytest.raises(OutOfMemory):
        fit_within_memory(replace(job, options=TrainOptions(batch_size=1)), fit, lambda step: None, notes.append)


@pytest.mark.proof
def test_two_lacks_of_memory_on_the_way_change_nothing(tmp_path: Path) -> None:
    """Real trainings: out of memory at step 3 with batches of 8, and at step 5 with batches of 4."""
    needs("unsloth")
    losses, deltas, said = [], [], ""
    for name, room in (("whole", ""), ("small", "8:3 4:5")):
        (tmp_path / name).mkdir()
        db = filled(tmp_path / name / "colours.db")
        words = ["train", "-d", db, "-m", TINY, *OPTIONS]
        done: subprocess.CompletedProcess[str] = run_lacking(
            words, tmp_path / name / "site", ROOT, {"ROOM": room}, SMALL_CARD
        )
        assert done.returncode == 0, done.stderr
        said = done.stdout + done.stderr
        with Store.open(db, read_only=True) as store:
            (run,) = store.connection.execute("SELECT id FROM run WHERE stage = 'train'").fetchone()
            steps = store.train_steps(run)
        assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
        losses.append([step.loss for step in steps])
        lora = read_adapter(training_folders(db, "colours")[0] / "adapter.gguf")
        deltas.append(np.concatenate([lora.delta(pair).ravel() for pair in lora.pairs]))
    told = re.findall(r"at step (\d): going on with batches of (\d)", said)
    assert told == [("3", "4"), ("5", "2")]
    apart = float(np.linalg.norm(deltas[1] - deltas[0]) / np.linalg.norm(deltas[0]))
    print(f"losses apart by {max(abs(a - b) / a for a, b in zip(*losses, strict=True)):.1e}, adapters by {apart:.1e}")
    assert losses[1] == pytest.approx(losses[0], rel=1e-3) and apart < 0.05
