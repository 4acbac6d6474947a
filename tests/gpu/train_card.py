"""One training on a card, in a process of its own: `train_card.py SIZE BITS GIGABYTES`, or `train_card.py peak`.

GIGABYTES are those of the card that is imitated: torch may not allocate more; 0 is all. Prints a line of JSON.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

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


def train(size: str, bits: int, gigabytes: int) -> dict[str, object]:
    """Train on rows of random tokens and return what it took."""
    import torch

    from selfguide_lite.bench.run import random_model
    from selfguide_lite.core.progress import TrainStep
    from selfguide_lite.finetune.job import FitJob
    from selfguide_lite.finetune.memory import training_memory
    from selfguide_lite.finetune.options import TrainOptions
    from selfguide_lite.finetune.retry import fit_within_memory
    from selfguide_lite.finetune.rows import Row
    from selfguide_lite.finetune.trainers.unsloth import fit
    from selfguide_lite.finetune.training import shape_of
    from selfguide_lite.gguf.reader import GgufFile
    from selfguide_lite.gguf.tokenizer import pad_id

    if gigabytes and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(gigabytes * 1e9 / torch.cuda.mem_get_info()[1])
    model = random_model(size)
    with GgufFile(model) as gguf:
        shape, pad = shape_of(gguf), pad_id(gguf)
    numbers = range(3, 3 + LENGTH)
    rows = [Row(tuple((7 * one + number) % 200 + 3 for one in numbers), LENGTH // 2) for number in range(ROWS)]
    options = TrainOptions(bits=bits, batch_size=BATCH, epochs=1, gradient_checkpointing=True)  # type: ignore[arg-type]
    steps: list[TrainStep] = []
    notes: list[str] = []
    times: list[float] = []

    def on_step(step: TrainStep) -> None:
        steps.append(step)
        times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as out:
        done = fit_within_memory(FitJob(model, rows, options, Path(out), shape, pad), fit, on_step, notes.append)
    needed = training_memory(
        options,
        shape,
        LENGTH,
        bits=bits,
        gradient_checkpointing=True,
        cuda=torch.cuda.is_available(),  # type: ignore[arg-type]
    )
    later = [one for one in notes if "batches" in one]
    return {
        "device": done.device,
        "losses": [round(step.loss, 4) for step in steps],
        "tokens_per_second": round(BATCH * LENGTH * (len(steps) - 1) / max(times[-1] - times[0], 1e-9), 1),
        "peak_gb": round(max(step.memory for step in steps) / 1e9, 2),
        "estimate_gb": round(needed.total / 1e9, 2),
        "smaller_batches": later,
    }


if __name__ == "__main__":
    if sys.argv[1] == "peak":
        print(round(peak(), 1))
    else:
        print(json.dumps(train(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
