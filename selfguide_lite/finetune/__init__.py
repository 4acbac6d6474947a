"""Finetuning: from the dataset to a LoRA. torch and Unsloth are imported only inside the functions that train."""

from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.finetune.training import TrainResult, train

__all__ = ["TrainOptions", "TrainResult", "train"]
