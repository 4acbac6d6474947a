"""Puts the trainer's rows together to batches."""

from typing import Any

from selfguide_lite.finetune.rows import Row, padded


class Collator:
    """Makes padded batches of examples."""

    def __init__(self, pad: int):
        self._pad = pad

    def __call__(self, features: list[dict[str, list[int]]]) -> dict[str, Any]:
        import torch

        rows = [Row(tuple(feature["input_ids"]), feature["labels"].count(-100)) for feature in features]
        return {name: torch.tensor(values) for name, values in padded(rows, self._pad).items()}
