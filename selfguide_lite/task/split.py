"""Parts answered rows into evaluation rows and rows to train on, every answer in proportion."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.matching import fold
from selfguide_lite.task.eval_rows import EvalRow, split_places

ENOUGH = 100  # evaluation rows under which the width of the interval is told


@dataclass(frozen=True, slots=True)
class Split:
    """Places of the rows of both parts, in their order.

    :param repeated: rows for training because their input occurs in more than one row
    """

    evaluation: tuple[int, ...]
    train: tuple[int, ...]
    repeated: int


def split(rows: Sequence[EvalRow], wanted: int, seed: int) -> Split:
    """Choose evaluation rows. An input that occurs in several rows is for training, so that none is in both parts.

    :param wanted: number of evaluation rows
    :param seed: fixes which rows; by content, so a row stays on its side when the file is sorted again
    :raises SelfguideError: where there are too few rows
    """
    often = Counter(fold(row.input) for row in rows)
    single = [place for place, row in enumerate(rows) if often[fold(row.input)] == 1]
    if len(single) <= wanted:
        raise SelfguideError(
            f"{len(single)} rows with an input of their own are too few for {wanted} evaluation rows and some to train "
            "on; give a smaller --eval"
        )
    chosen = {single[place] for place in split_places([rows[place] for place in single], wanted / len(single), seed)}
    rest = tuple(place for place in range(len(rows)) if place not in chosen)
    return Split(tuple(sorted(chosen)), rest, len(rows) - len(single))


def half_width(n: int) -> float:
    """Return about how far a 95 % interval reaches to each side of an accuracy of 80 %, in points of 100."""
    return 100 * 1.96 * math.sqrt(0.8 * 0.2 / n)
