"""One training as it is asked for, and what it was."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from selfguide_lite.finetune.memory import Shape
from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.finetune.rows import Row

LOG = "train.log"  # what the libraries print, in the training's folder


@dataclass(frozen=True, slots=True)
class FitJob:
    """What a training needs.

    :param base: Hugging Face folder, or a GGUF, which is turned into one
    :param out: folder for the LoRA and its checkpoints, of this training alone
    :param shape: of the base, to choose what fits into memory
    :param pad: token that fills up rows
    """

    base: Path
    rows: Sequence[Row]
    options: TrainOptions
    out: Path
    shape: Shape
    pad: int

    def as_json(self) -> dict[str, Any]:
        """Return what another process is sent."""
        return {
            "base": str(self.base),
            "rows": [[row.answer_start, *row.ids] for row in self.rows],
            "options": self.options.as_dict(),
            "out": str(self.out),
            "shape": asdict(self.shape),
            "pad": self.pad,
        }

    @classmethod
    def of_json(cls, sent: Mapping[str, Any]) -> Self:
        """Return the job that was sent."""
        options = sent["options"]
        return cls(
            base=Path(sent["base"]),
            rows=[Row(tuple(ids), answer_start) for answer_start, *ids in sent["rows"]],
            options=TrainOptions(**options | {"target_modules": tuple(options["target_modules"])}),
            out=Path(sent["out"]),
            shape=Shape(**sent["shape"]),
            pad=sent["pad"],
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """What a training was.

    :param loss: mean over the last tenth of the steps
    :param resumed_at: the step of the checkpoint it went on from, 0 for a fresh start
    """

    steps: int
    loss: float
    learning_rate: float
    seconds: float
    resumed_at: int
    device: str
