"""Writes a training into a run's database, for the code that trains and knows no store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.progress import TrainStep
from selfguide_lite.prompts import PromptTemplate
from selfguide_lite.store.store import Store


@dataclass(frozen=True, slots=True)
class StoreTrainLog:
    """The trainings of one task in a store.

    :param template: that asks for the answers
    """

    store: Store
    task_id: int
    template: PromptTemplate

    def begin(self, model: ModelInfo, options: Mapping[str, Any], seed: int, dataset_sha256: str) -> int:
        """Return the id of a training run: the unfinished one of the same model, options, seed and data, or a new one.

        :param dataset_sha256: hash of the rows that are trained on
        """
        model_id = self.store.add_model(model)
        return self.store.add_train_run(self.task_id, model_id, options, seed, dataset_sha256, self.template)

    def step(self, run_id: int, step: TrainStep) -> None:
        """Commit one optimizer step."""
        self.store.add_train_step(run_id, step)

    def end(self, run_id: int, reason: str) -> None:
        """Close a run with the reason for its end."""
        self.store.finish_run(run_id, reason)

    def is_done(self, run_id: int, model_sha256: str, dataset_sha256: str) -> bool:
        """Tell whether a run of this task is done, with that model and those rows."""
        return self.store.is_trained(run_id, self.task_id, model_sha256, dataset_sha256)
