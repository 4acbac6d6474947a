"""A training of a tiny model that takes a moment: two steps of two short rows."""

from pathlib import Path

from selfguide_lite.core.resources import resource
from selfguide_lite.finetune.job import FitJob
from selfguide_lite.finetune.options import Bits, TrainOptions
from selfguide_lite.finetune.rows import Row
from selfguide_lite.finetune.training import shape_of
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.tokenizer import pad_id


def small_job(out: Path, bits: Bits | None = None, gradient_checkpointing: bool | None = None) -> FitJob:
    """Return the job, which leaves its LoRA in a folder."""
    model = resource("data/tiny_vicuna/tiny-vicuna.gguf")
    with GgufFile(model) as gguf:
        shape, pad = shape_of(gguf), pad_id(gguf)
    rows = [Row(tuple((7 * one + number) % 200 + 3 for number in range(12)), 6) for one in range(4)]
    options = TrainOptions(bits=bits, batch_size=2, epochs=1, gradient_checkpointing=gradient_checkpointing)
    return FitJob(model, rows, options, out, shape, pad)
