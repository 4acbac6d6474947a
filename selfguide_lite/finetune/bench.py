"""This training against plain PEFT and `Trainer`: the same rows, steps, seed and LoRA, each in a process of its own.

`python -m selfguide_lite.finetune.bench [MODEL.gguf]` prints a table and last a line of JSON.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.progress import TrainStep
from selfguide_lite.finetune.job import FitJob
from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.finetune.plain import plain_fit
from selfguide_lite.finetune.rows import Row, make_rows
from selfguide_lite.finetune.trainers.unsloth import check_installed, fit
from selfguide_lite.finetune.training import shape_of
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.to_hf import hf_folder
from selfguide_lite.gguf.tokenizer import pad_id

_ROUNDS = 3  # of each contender in turn; the medians count
_PAIRS = 160


@dataclass(frozen=True, slots=True)
class Result:
    """One training.

    :param seconds: of the wall clock, from the first step's end to the last's
    :param cpu_seconds: of all processors, the same steps; tells more where other work shares the machine
    :param loss: mean over all steps
    :param last_loss: of the last step
    """

    tokens: int
    seconds: float
    cpu_seconds: float
    loss: float
    last_loss: float
    memory: int


def compare(model: Path, pairs: int = _PAIRS, rounds: int = _ROUNDS) -> dict[str, float]:
    """Return ratios of speed (by wall clock and by processor time), plain's time over ours, and how far losses differ.

    :param model: a GGUF
    :param pairs: rows of a demo task to train on, once
    :param rounds: trainings of each contender, in turn
    :raises SelfguideError: where packages are missing or a contender fails
    """
    check_installed()
    found: dict[str, list[Result]] = {"ours": [], "plain": []}
    for _ in range(rounds):
        for name, results in found.items():
            results.append(_contend(name, model, pairs))

    def median(name: str, field: str) -> float:
        return statistics.median(float(getattr(result, field)) for result in found[name])

    ours, plain = found["ours"][0], found["plain"][0]  # losses are the same in every round
    return {
        "vs_plain": median("plain", "seconds") / median("ours", "seconds"),
        "vs_plain_cpu": median("plain", "cpu_seconds") / median("ours", "cpu_seconds"),
        "loss": ours.loss,
        "loss_plain": plain.loss,
        "loss_difference": abs(ours.loss / plain.loss - 1),
        "last_loss_difference": abs(ours.last_loss / plain.last_loss - 1),
        "tokens_per_second": ours.tokens / median("ours", "seconds"),
        "memory_mib": median("ours", "memory") / 2**20,
        "memory_mib_plain": median("plain", "memory") / 2**20,
    }


def _contend(name: str, model: Path, pairs: int) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "selfguide_lite.finetune.bench", str(model), name, str(pairs)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
        raise SelfguideError(f"the contender {name} failed: {words}")
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def _rows(model: Path, pairs: int) -> list[Row]:
    """Rows of a demo task, made from its evaluation file."""
    from selfguide_lite.core.resources import resource
    from selfguide_lite.llm.chat import ChatFormat
    from selfguide_lite.llm.native import Model
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.task import Example, load_task
    from selfguide_lite.task.eval_rows import load_eval

    task = load_task(resource("data/tasks/junk-offers.yaml"))
    assert task.eval is not None
    rows = load_eval(task.eval)[:pairs]
    prompts, vocabulary = Prompts(), Model(model, vocab_only=True)
    shown = [Example(input=row.input, output=row.references[0]) for row in rows]
    made = make_rows(shown, lambda text: prompts.answer(task, text), ChatFormat.of(vocabulary), 2048)
    vocabulary.close()
    return list(made.rows)


class _Clock:
    """Notes the clocks at the end of the first step and of the last."""

    def __init__(self) -> None:
        self.first: tuple[float, float] | None = None
        self.last = (0.0, 0.0)
        self.losses: list[float] = []
        self.memory = 0

    def tick(self, loss: float, memory: int) -> None:
        times = os.times()
        self.last = (time.perf_counter(), times.user + times.system)
        self.first = self.first or self.last
        self.losses.append(loss)
        self.memory = memory

    def result(self, tokens: int) -> Result:
        assert self.first is not None
        seconds, cpu_seconds = self.last[0] - self.first[0], self.last[1] - self.first[1]
        return Result(tokens, seconds, cpu_seconds, statistics.fmean(self.losses), self.losses[-1], self.memory)


def _run(name: str, model: Path, pairs: int) -> Result:
    rows = _rows(model, pairs)
    options = TrainOptions(epochs=1)
    clock = _Clock()
    with GgufFile(model) as gguf:
        shape, pad = shape_of(gguf), pad_id(gguf)

    def on_step(step: TrainStep) -> None:
        clock.tick(step.loss, step.memory)

    with tempfile.TemporaryDirectory() as out:
        job = FitJob(hf_folder(model), rows, options, Path(out), shape, pad)
        if name == "ours":
            fit(job, on_step, note=lambda _: None)
        else:
            plain_fit(job, clock.tick)
    return clock.result(sum(len(row.ids) for row in rows[options.batch_size :]))


def main() -> None:
    """Compare, or be one contender: `MODEL NAME PAIRS`."""
    if len(sys.argv) > 2:
        from dataclasses import asdict

        print(json.dumps(asdict(_run(sys.argv[2], Path(sys.argv[1]), int(sys.argv[3])))))
        return
    from selfguide_lite.llm import model_path

    found = compare(model_path(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
    for name, value in found.items():
        print(f"{name:24} {value:14,.4g}")
    print(json.dumps({"train": found}))


if __name__ == "__main__":
    main()
