"""Where a training is written down."""

from collections.abc import Mapping
from typing import Any, Protocol

from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.progress import TrainStep


class TrainLog(Protocol):
    """Keeps a training's steps and how it ended; a run is known by the number that `begin` returns."""

    def begin(self, model: ModelInfo, options: Mapping[str, Any], seed: int, dataset_sha256: str) -> int:
        """Return the number of a new run, or of an unfinished one of the same model, options, seed and data."""
        ...

    def step(self, run_id: int, step: TrainStep) -> None:
        """Keep an optimizer step; a step that is made again after a resume takes the place of the first."""
        ...

    def end(self, run_id: int, reason: str) -> None:
        """Keep how a run ended: `done`, or `interrupted`."""
        ...

    def is_done(self, run_id: int, model_sha256: str, dataset_sha256: str) -> bool:
        """Tell whether a run is known, done, and of that model and those rows."""
        ...
