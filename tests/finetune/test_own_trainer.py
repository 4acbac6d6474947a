"""A trainer is one class: one from another package trains through the real command, in a process of its own."""

import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from datasets_for_tests import filled
from needs import needs
from plugins_for_tests import Plugins

from selfguide_lite.cli import main
from selfguide_lite.core.paths import training_folders
from selfguide_lite.core.progress import NullListener, TrainStep
from selfguide_lite.core.registry import TRAINERS
from selfguide_lite.core.resources import resource
from selfguide_lite.finetune import TrainOptions, TrainTarget, train, trainer_named
from selfguide_lite.gguf.adapter import read_adapter
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import Pair, Store
from selfguide_lite.task import load_task

TINY = resource("data/tiny_vicuna/tiny-vicuna.gguf")
# One step is one pass over all rows at once, by PEFT and torch alone.
SOURCE = """
import math
import time

from selfguide_lite.core.progress import TrainStep
from selfguide_lite.finetune.job import Fit
from selfguide_lite.finetune.options import rate_for
from selfguide_lite.finetune.rows import padded
from selfguide_lite.gguf.to_hf import hf_folder


class Plain:
    summary = "PEFT in a plain loop"

    def check(self):
        pass

    def fit(self, job, on_step, note):
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(job.options.seed)
        base = AutoModelForCausalLM.from_pretrained(hf_folder(job.base), dtype=torch.float32)
        config = LoraConfig(r=job.options.rank, lora_alpha=job.options.alpha, task_type="CAUSAL_LM",
                            target_modules=list(job.options.target_modules))
        model = get_peft_model(base, config)
        rate = job.options.learning_rate or rate_for(job.shape.parameters)
        optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=rate)
        batch = {name: torch.tensor(rows) for name, rows in padded(job.rows, job.pad).items()}
        note("each step takes all rows")
        total, losses, started = math.ceil(job.options.epochs), [], time.perf_counter()
        for step in range(1, total + 1):
            loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            on_step(TrainStep(step, total, step, losses[-1], rate, math.nan, math.nan, 0))
        model.save_pretrained(job.out)
        return Fit(total, losses[-1], rate, time.perf_counter() - started, 0, "CPU")
"""


@pytest.fixture(autouse=True)
def own_trainer(plugins: Plugins) -> None:
    plugins.install("own_trainer", SOURCE, {"selfguide_lite.finetune.trainers": {"plain": "Plain"}})


def test_the_registry_lists_it_and_settings_take_it() -> None:
    assert TRAINERS.names() == ("unsloth", "plain")
    assert trainer_named("plain").summary == "PEFT in a plain loop"
    done = CliRunner().invoke(main, ["train", "--set", "trainer=magic", "-d", "no.db"])
    assert done.exit_code == 2
    assert "trainer: there is no trainer 'magic'; there are: unsloth, plain" in done.output
    assert "Traceback" not in done.output


@pytest.mark.slow
def test_it_trains_through_the_real_command(tmp_path: Path) -> None:
    needs("peft")
    db = filled(tmp_path / "colours.db", n=8)
    words = ["train", "-d", str(db), "-m", str(TINY), "--epochs", "4", "--rank", "4", "--seed", "1", "--json"]
    done = CliRunner().invoke(main, [*words, "--set", "trainer=plain"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["pairs"], answer["steps"]) == (8, 4)
    assert "each step takes all rows" in done.stderr
    with Store.open(db, read_only=True) as store:
        adapter = store.latest_adapter(store.only_task_id())
        assert adapter is not None and [Path(adapter.path).parent] == training_folders(db, "colours")
        steps = store.train_steps(adapter.run_id)
        (settings,) = store.connection.execute("SELECT settings FROM run WHERE id = ?", (adapter.run_id,)).fetchone()
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert all(later.loss < earlier.loss for earlier, later in pairwise(steps))
    assert math.isnan(steps[0].grad_norm)
    assert json.loads(settings)["trainer"] == "plain"
    assert {a.shape[0] for a, _ in read_adapter(Path(adapter.path)).pairs.values()} == {4}
    # What was done once is not done again.
    again = CliRunner().invoke(main, [*words, "--set", "trainer=plain"])
    assert again.exit_code == 0 and "already trained on these 8 pairs" in again.stderr, again.output


class Kept:
    """A log in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []

    def begin(self, model: object, options: object, seed: int, dataset_sha256: str) -> int:
        self.events.append(("begin", seed))
        return 7

    def step(self, run_id: int, step: TrainStep) -> None:
        self.events.append(("step", run_id, step.step))

    def end(self, run_id: int, reason: str) -> None:
        self.events.append(("end", run_id, reason))

    def is_done(self, run_id: int, model_sha256: str, dataset_sha256: str) -> bool:
        return ("end", run_id, "done") in self.events


@pytest.mark.slow
def test_training_needs_no_store(tmp_path: Path) -> None:
    """Pairs, a way of asking and a log are enough."""
    needs("peft")
    task = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml"))
    pairs = [Pair(number, example.input, example.output) for number, example in enumerate(task.examples)]
    log, target = Kept(), TrainTarget(TINY, tmp_path / "lora")
    options = TrainOptions(trainer="plain", epochs=2, rank=4, seed=3)

    def trained(chosen: TrainOptions) -> bool:
        return train(pairs, lambda text: Prompts().answer(task, text), target, chosen, log, NullListener()).skipped

    assert not trained(options)
    assert log.events == [("begin", 3), ("step", 7, 1), ("step", 7, 2), ("end", 7, "done")]
    assert trained(options)
    assert len(log.events) == 4
