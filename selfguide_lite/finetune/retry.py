"""A training that runs out of a card's memory goes on with smaller batches and comes out as it would have."""

from collections.abc import Callable
from dataclasses import replace

from selfguide_lite.core.progress import TrainStep
from selfguide_lite.finetune.job import Fit, FitJob
from selfguide_lite.finetune.launch import world_size
from selfguide_lite.finetune.memory import OutOfMemory, release_memory
from selfguide_lite.finetune.options import TrainOptions

FitOnce = Callable[[FitJob, Callable[[TrainStep], None], Callable[[str], None]], Fit]


def with_smaller_batches(options: TrainOptions) -> TrainOptions | None:
    """Return options that train the same with less memory; None where a batch is one row already.

    The batch is divided by its smallest factor, usually 2, and as many more gradients are summed: each optimizer step
    has the rows that it had, also the last of an epoch.
    """
    factor = next((n for n in range(2, options.batch_size + 1) if options.batch_size % n == 0), None)
    if factor is None:
        return None
    return replace(
        options,
        batch_size=options.batch_size // factor,
        gradient_accumulation_steps=options.gradient_accumulation_steps * factor,
    )


def fit_within_memory(
    job: FitJob, fit: FitOnce, on_step: Callable[[TrainStep], None], note: Callable[[str], None]
) -> Fit:
    """Train; where the card's memory is not enough, go on from the last checkpoint with smaller batches.

    :param fit: does one attempt, and goes on from the last checkpoint in the job's folder
    :param on_step: called once for every step, although those after the last checkpoint are done again
    :raises OutOfMemory: where one row is too much, or several processes train together
    """
    last = 0

    def once(step: TrainStep) -> None:
        nonlocal last
        if step.step > last:
            last = step.step
            on_step(step)

    while True:
        try:
            return fit(job, once, note)
        except OutOfMemory:
            smaller = with_smaller_batches(job.options) if world_size() == 1 else None
            if smaller is None:
                raise
            note(
                f"the card had too little memory at step {last + 1}: going on with batches of {smaller.batch_size} "
                f"in place of {job.options.batch_size} and {smaller.gradient_accumulation_steps} gradients summed"
            )
            job = replace(job, options=smaller)
        release_memory()  # what the failed attempt held, where it ran in this process
