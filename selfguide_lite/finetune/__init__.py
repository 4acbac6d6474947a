"""Finetuning: from pairs to a LoRA. torch and Unsloth are imported only inside the functions that train."""

from selfguide_lite.finetune.launch import is_main_process
from selfguide_lite.finetune.log import TrainLog
from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.finetune.trainers import trainer_named
from selfguide_lite.finetune.training import TrainResult, TrainTarget, train
from selfguide_lite.gguf.projections import PROJECTIONS

__all__ = [
    "PROJECTIONS",
    "TrainLog",
    "TrainOptions",
    "TrainResult",
    "TrainTarget",
    "is_main_process",
    "train",
    "trainer_named",
]
