"""The order in which rows are trained on: shuffled again every epoch, answers that come often spread evenly.

Where a batch has one label more often than another, a step moves the model towards that label whatever the input says;
on few pairs such moves decide what is learnt. So labels take turns (docs/results.md has the figures).
"""

import random
from collections.abc import Iterator, Sequence, Sized


class EvenOrder(Sized):
    """Yields the places of all rows, once an epoch.

    :param answers: each row's answer, in any form that can be compared
    :param seed: with the epoch's number it fixes the order, so that a resumed training sees what it would have seen
    """

    def __init__(self, answers: Sequence[object], seed: int):
        self._groups: dict[object, list[int]] = {}
        for place, answer in enumerate(answers):
            self._groups.setdefault(answer, []).append(place)
        self._seed, self._size, self._epoch = seed, len(answers), 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next; the trainer calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        rng = random.Random(f"{self._seed}/{self._epoch}")
        placed: list[tuple[float, float, int]] = []
        for group in self._groups.values():
            shuffled = rng.sample(group, len(group))
            # By how far down its answer's rows a row stands, so that any stretch has every answer in proportion.
            placed += [((rank + 0.5) / len(group), rng.random(), place) for rank, place in enumerate(shuffled)]
        if len(self._groups) == self._size:  # every answer is another: nothing to spread
            rng.shuffle(placed)
            return iter([place for _, _, place in placed])
        return iter([place for _, _, place in sorted(placed)])
