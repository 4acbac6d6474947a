"""One training on a card, in a process of its own: `train_card.py SIZE BITS GIGABYTES [plain]`, or `... peak`.

GIGABYTES are those of the card that is imitated: torch may not allocate more; 0 is all. Prints a line of JSON.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selfguide_lite.bench.run import random_model
from selfguide_lite.finetune.job import FitJob
from selfguide_lite.finetune.memory import training_memory
from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.finetune.plain import plain_fit
from selfguide_lite.finetune.retry import fit_within_memory
from selfguide_lite.finetune.rows import Row
from selfguide_lite.finetune.trainers.unsloth import fit
from selfguide_lite.finetune.training import shape_of
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.tokenizer import pad_id

ROWS, LENGTH, BATCH = 48, 512, 8


def peak() -> float:
    """Return how many 10^12 operations a second multiplying two large matrices in bfloat16 reaches."""
    import torch

    size, rounds = 8192, 20
    one = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    other = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        one @ other
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(rounds):
        one @ other
    torch.cuda.synchronize()
    return 2 * size**3 * rounds / (time.perf_counter() - begun) / 1e12


def card_job(size: str, bits: int, out: Path) -> FitJob:
    """Return a training of a random model on rows of random tokens."""
    model = random_model(size)
    with GgufFile(model) as gguf:
        shape, pad = shape_of(gguf), pad_id(gguf)
    numbers = range(3, 3 + LENGTH)
    rows = [Row(tuple((7 * one + number) % 200 + 3 for one in numbers), LENGTH // 2) for number in range(ROWS)]
    options = TrainOptions(bits=bits, batch_size=BATCH, epochs=1, gradient_checkpointing=True)  # type: ignore[arg-type]
    return FitJob(model, rows, options, out, shape, pad)


def train(size: str, bits: int, gigabytes: int, plain: bool = False) -> dict[str, Any]:
    """Train and return what it took.

    :param plain: by plain PEFT in place of our training
    """
    import torch

    cuda = torch.cuda.is_available()
    if gigabytes and cuda:
        torch.cuda.set_per_process_memory_fraction(min(1.0, gigabytes * 1e9 / torch.cuda.mem_get_info()[1]))
    losses: list[float] = []
    memory: list[int] = []
    times: list[float] = []
    notes: list[str] = []

    def note_step(loss: float, used: int) -> None:
        times.append(time.perf_counter())
        losses.append(loss)
        memory.append(used)

    with tempfile.TemporaryDirectory() as out:
        job = card_job(size, bits, Path(out))
        if plain:
            plain_fit(job, note_step)
        else:
            fit_within_memory(job, fit, lambda step: note_step(step.loss, step.memory), notes.append)
    needed = training_memory(
        job.options, job.shape, LENGTH, bits=job.options.bits or 16, gradient_checkpointing=True, cuda=cuda
    )
    rate = BATCH * LENGTH * (len(times) - 1) / max(times[-1] - times[0], 1e-9)
    return {
        "device": torch.cuda.get_device_name() if cuda else "CPU",
        "losses": [round(loss, 4) for loss in losses],
        "tokens_per_second": round(rate, 1),
        # two operations a weight forward, two backward to the layer below, two forward again for checkpointing
        "tflops": round(6 * job.shape.parameters * rate / 1e12, 2),
        "peak_gb": round(max(memory) / 1e9, 2),
        "estimate_gb": round(needed.total / 1e9, 2),
        "smaller_batches": [one for one in notes if "batches" in one],
    }


if __name__ == "__main__":
    if sys.argv[1] == "peak":
        print(round(peak(), 1))
    else:
        print(json.dumps(train(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "plain" in sys.argv[4:])))
