"""Finetuning: from the dataset to a LoRA. torch and Unsloth are imported only inside the functions that train."""

from selfguide_lite.finetune.lora import check_installed, is_main_process
from selfguide_lite.finetune.options import PROJECTIONS, TrainOptions
from selfguide_lite.finetune.training import TrainResult, train, training_pairs

__all__ = [
    "PROJECTIONS",
    "TrainOptions",
    "TrainResult",
    "check_installed",
    "is_main_process",
    "train",
    "training_pairs",
]
