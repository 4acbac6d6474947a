"""The mean of a LoRA's weights over the last part of its training, in place of the weights of the last step.

On few pairs the last step's weights depend on which rows came last; their mean over many steps does not (stochastic
weight averaging, arXiv 1803.05407). Every checkpoint keeps the mean, so that a training that goes on has the same one.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

_FILE = "average.safetensors"


class WeightAverage:
    """A running mean of trainable weights.

    :param weights: name and tensor of each, as the optimizer moves them
    :param start: the last step that is not part of the mean
    """

    def __init__(self, weights: Iterable[tuple[str, Any]], start: int):
        self._weights = dict(weights)
        self._start = start
        self._mean: dict[str, Any] = {}
        self._count = 0

    def add(self, step: int) -> None:
        """Take in the weights after a step."""
        if step <= self._start:
            return
        self._count += 1
        for name, weight in self._weights.items():
            now = weight.detach().float()
            if name not in self._mean:
                self._mean[name] = now.clone()
            else:
                self._mean[name] += (now - self._mean[name]) / self._count

    def save(self, checkpoint: Path) -> None:
        """Write the mean into a checkpoint's folder, made if need be, before the trainer writes the rest of it."""
        from safetensors.torch import save_file

        if self._count:
            checkpoint.mkdir(parents=True, exist_ok=True)
            save_file(self._mean, str(checkpoint / _FILE), metadata={"count": str(self._count)})

    def load(self, checkpoint: Path) -> None:
        """Go on from a checkpoint's mean; one from before the mean began has none."""
        from safetensors import safe_open

        if not (checkpoint / _FILE).is_file():
            return
        with safe_open(str(checkpoint / _FILE), framework="pt") as file:
            self._count = int(file.metadata()["count"])
            self._mean = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)

    def apply(self) -> None:
        """Give the weights their mean; without a step that counts they stay as they are."""
        import torch

        with torch.no_grad():
            for name, mean in self._mean.items():
                self._weights[name].copy_(mean)
