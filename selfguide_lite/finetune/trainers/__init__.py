"""What trains a LoRA, one file each. Its libraries are imported inside the functions that train, and nowhere else.

A trainer is found by its name in this folder; its class is called `Trainer`. Knows nothing of tasks and stores.
"""

from collections.abc import Callable
from typing import Protocol

from selfguide_lite.core.progress import TrainStep
from selfguide_lite.core.registry import TRAINERS
from selfguide_lite.finetune.job import Fit, FitJob

__all__ = ["Trainer", "trainer_named"]


class Trainer(Protocol):
    """Makes a LoRA from token rows."""

    summary: str
    """What it is, in a few words."""

    def check(self) -> None:
        """Refuse at once where something is missing that training needs.

        :raises SelfguideError: with what is missing and how to install it
        """
        ...

    def fit(self, job: FitJob, on_step: Callable[[TrainStep], None], note: Callable[[str], None]) -> Fit:
        """Train, and leave a PEFT folder in the job's folder.

        Goes on from the last whole checkpoint there (folders `checkpoint-STEP`). The options that do not fit this
        trainer are named in a note.

        :param on_step: called after every optimizer step, in the main process alone
        :param note: told what is worth a line
        :raises SelfguideError: where memory does not suffice, or the weights cannot be trained
        """
        ...


def trainer_named(name: str) -> Trainer:
    """Return a trainer by its name, such as `unsloth`.

    :raises SelfguideError: where there is none; settings are checked before
    """
    trainer: Trainer = TRAINERS.get(name)
    return trainer
