"""How a finetune is done: what a user may choose, and the rules for what was left open."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from selfguide_lite.core.settings import Settings
from selfguide_lite.finetune.launch import world_size
from selfguide_lite.gguf.projections import PROJECTIONS

Bits = Literal[4, 8, 16]
# The default settings' passes, and steps at least: the length that the rate belongs to.
USUAL_EPOCHS, USUAL_STEPS = 2, 40


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Options of one finetune.

    :param trainer: what trains, see `trainers/`
    :param epochs: passes over the dataset, as in the paper 3
    :param min_steps: optimizer steps at least: few pairs get more epochs
    :param max_steps: optimizer steps at most: many pairs get fewer epochs
    :param average_weights: share of the steps, at the end, over which the weights are averaged; 0: the last step's
    :param learning_rate: at its peak; None: see `peak_rate`
    :param batch_size: rows a step and process
    :param gradient_accumulation_steps: steps whose gradients are summed before the weights move
    :param answer_style: how the answers that are learnt are asked for
    :param max_seq_length: tokens of prompt and answer; a longer row is left out
    :param alpha: the LoRA is scaled by alpha / rank
    :param target_modules: what has a LoRA; where the architecture fuses some, the matrix that holds them has it
    :param bits: of the base's weights while training, on CUDA; None: by the card's free memory
    :param gradient_checkpointing: compute activations twice in place of keeping them; None: where the model is large
    :param save_steps: optimizer steps between two checkpoints; None: one an epoch
    """

    trainer: str = "unsloth"
    epochs: float = 3
    min_steps: int = 1
    max_steps: int = 1_000_000
    average_weights: float = 0.0
    weight_decay: float = 0.0
    learning_rate: float | None = None
    batch_size: int = 8
    gradient_accumulation_steps: int = 1
    max_seq_length: int = 2048
    answer_style: str = "few-shot"
    rank: int = 16
    alpha: float = 32
    dropout: float = 0.0
    target_modules: tuple[str, ...] = PROJECTIONS
    bits: Bits | None = None
    gradient_checkpointing: bool | None = None
    save_steps: int | None = None
    seed: int = 42

    @classmethod
    def from_settings(cls, settings: Settings, *, seed: int = 42) -> "TrainOptions":
        """Return the options that a run's settings ask for; what is no setting, such as `bits`, has its default."""
        return cls(
            trainer=settings.trainer,
            epochs=settings.epochs,
            min_steps=settings.min_steps,
            max_steps=settings.max_steps,
            average_weights=settings.average_weights,
            weight_decay=settings.weight_decay,
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            gradient_accumulation_steps=settings.gradient_accumulation_steps,
            max_seq_length=settings.max_seq_length,
            answer_style=settings.answer_style,
            rank=settings.lora_rank,
            alpha=settings.lora_alpha,
            dropout=settings.lora_dropout,
            seed=seed,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all options, for the store."""
        return asdict(self)


def total_steps(rows: int, options: TrainOptions) -> int:
    """Return the number of optimizer steps of a whole training: as the epochs have, within the bounds on steps."""
    batches = math.ceil(math.ceil(rows / world_size()) / options.batch_size)
    steps = math.ceil(math.ceil(batches / options.gradient_accumulation_steps) * options.epochs)
    return max(1, min(max(steps, options.min_steps), options.max_steps))


def peak_rate(parameters: int, rows: int, options: TrainOptions) -> float:
    """Return the learning rate at its peak: the one that was given, or one by the model's size and the steps.

    A training of more steps than the default's has smaller ones, so that it goes about as far as that one. At the same
    rate, more passes over the same pairs lost accuracy (docs/results.md, "Trainings on the same pairs").
    """
    if options.learning_rate is not None:
        return options.learning_rate
    usual = total_steps(rows, replace(options, epochs=USUAL_EPOCHS, min_steps=USUAL_STEPS, max_steps=1_000_000))
    return rate_for(parameters) * min(1.0, usual / total_steps(rows, options))


def rate_for(parameters: int) -> float:
    """Return the peak learning rate for a model of so many parameters, in a training of the usual length.

    The paper's 5e-5 moves all weights. A LoRA moves few and starts at nothing: 2e-4 is the usual rate, and from a
    hundred million parameters on the steadiest measured here (docs/results.md). Much narrower models bear and need
    higher rates: 3e-3 at 4 million, never more than 5e-3.
    """
    return min(max(2e-4 * float((1.35e8 / max(parameters, 1)) ** 0.78), 2e-4), 5e-3)
