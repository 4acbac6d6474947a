"""Trains a tiny model as on a card, in a process of its own: `walk_card.py FOLDER MAJOR MINOR BITS CHECKPOINTING`.

With the folder alone it trains on the processor.
"""

import contextlib
import json
import sys
from pathlib import Path

from selfguide_lite.core.progress import TrainStep
from selfguide_lite.core.resources import resource
from selfguide_lite.finetune.job import FitJob
from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.finetune.rows import Row
from selfguide_lite.finetune.trainers.unsloth import fit
from selfguide_lite.finetune.training import shape_of
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.tokenizer import pad_id


def job(out: Path, bits: int | None, gradient_checkpointing: bool) -> FitJob:
    """Return two steps of two short rows."""
    model = resource("data/tiny_vicuna/tiny-vicuna.gguf")
    with GgufFile(model) as gguf:
        shape, pad = shape_of(gguf), pad_id(gguf)
    rows = [Row(tuple((7 * one + number) % 200 + 3 for number in range(12)), 6) for one in range(4)]
    options = TrainOptions(bits=bits, batch_size=2, epochs=1, gradient_checkpointing=gradient_checkpointing)  # type: ignore[arg-type]
    return FitJob(model, rows, options, out, shape, pad)


def main() -> None:
    """Train and print the losses."""
    steps: list[TrainStep] = []
    bits, checkpointing, place = 16, False, contextlib.nullcontext()
    if len(sys.argv) > 2:
        from card_stand_in import OnProcessor, put_in_card, put_in_unpacking

        major, minor, bits, checkpointing = (int(word) for word in sys.argv[2:])
        put_in_unpacking()
        put_in_card((major, minor))
        place = OnProcessor()
    with place:
        done = fit(job(Path(sys.argv[1]), bits, bool(checkpointing)), steps.append, note=lambda _: None)
    print(json.dumps({"losses": [step.loss for step in steps], "device": done.device}))


if __name__ == "__main__":
    main()
