"""Every architecture is trained: the first loss is the plain model's own, and the LoRA becomes an adapter that acts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from llamas import llama_cpp_logits
from needs import needs
from random_architectures import ROWS, write_model

from selfguide_lite.finetune.job import FitJob
from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.finetune.rows import Row
from selfguide_lite.finetune.trainers.unsloth import fit
from selfguide_lite.finetune.training import shape_of
from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.trainable import check_trainable

needs("unsloth")
pytestmark = pytest.mark.slow

_ONE_EACH = {name.split()[0]: name for name in reversed(ROWS)}  # the plainest of each


def loss_of(logits: npt.NDArray[np.float32], row: Row) -> list[float]:
    """What each token of an answer costs."""
    top = logits.max(-1, keepdims=True)
    shares = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    return [-float(shares[place - 1, row.ids[place]]) for place in range(row.answer_start, len(row.ids))]


@pytest.mark.parametrize("name", _ONE_EACH.values(), ids=_ONE_EACH)
def test_trains(name: str, tmp_path: Path) -> None:
    """Rows begin alike and are longer than the sliding windows, so what is computed once is computed right."""
    model = write_model(tmp_path / "model.gguf", name, ROWS[name])
    rng = np.random.default_rng(0)
    start = rng.integers(4, 300, 60).tolist()
    rows = [Row((*start, *rng.integers(4, 300, 30 + n).tolist(), 2), 70) for n in range(4)]
    options = TrainOptions(epochs=2, batch_size=4, learning_rate=0.02)
    with GgufFile(model) as gguf:
        targets = check_trainable(gguf).lora_targets(options.target_modules)
        shape = shape_of(gguf)
    losses: list[float] = []
    job = FitJob(model, rows, replace(options, target_modules=targets), tmp_path / "lora", shape, 1)
    fit(job, lambda step: losses.append(step.loss), note=lambda _: None)
    logits = [llama_cpp_logits(model, row.ids) for row in rows]
    costs = [cost for ours, row in zip(logits, rows, strict=True) for cost in loss_of(ours, row)]
    assert losses[0] == pytest.approx(np.mean(costs), rel=1e-3)
    adapter = write_adapter(tmp_path / "lora", model, tmp_path / "adapter.gguf")
    tuned = llama_cpp_logits(model, rows[0].ids, adapter)
    assert np.mean(loss_of(tuned, rows[0])) < np.mean(loss_of(logits[0], rows[0])) - 0.02
