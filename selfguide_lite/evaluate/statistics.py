"""How sure a mean is: percentile bootstrap intervals. Knows nothing of what the numbers measure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
_SEED = 42


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gain:
    """What a change did to the scores of the same examples.

    :param n: number of examples
    :param over: the method that `before` is the score of
    :param before: mean score before, `after`: mean score after, both in 0..1
    :param low: lower end of the 95 % interval of the paired difference
    :param high: upper end
    """

    metric: str
    n: int
    over: str
    before: float
    after: float
    low: float
    high: float

    @property
    def gain(self) -> float:
        """Mean of the paired difference."""
        return self.after - self.before

    @property
    def verdict(self) -> str:
        """`better` or `worse` where the interval leaves out zero, else `no clear difference`."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no clear difference"


def wilson(right: int, n: int) -> Interval:
    """Return a share with its 95 % interval by Wilson's score method (1927), which holds for few and for extreme ones.

    :raises ValueError: where there are no cases
    """
    if not n:
        raise ValueError("a share needs at least one case")
    z = 1.959964
    share, square = right / n, z * z / n
    middle = (share + square / 2) / (1 + square)
    reach = z / (1 + square) * float(np.sqrt(share * (1 - share) / n + square / (4 * n)))
    return Interval(share, max(0.0, middle - reach), min(1.0, middle + reach))


def bootstrap(values: Sequence[float], resamples: int = RESAMPLES, seed: int = _SEED) -> Interval:
    """Return the mean with its 95 % percentile bootstrap interval.

    Resampling n values with replacement draws how often each distinct value occurs from a multinomial distribution;
    drawing those counts is the same thing and needs neither n x resamples numbers nor their memory.

    :param seed: the same values give the same interval every time
    :raises ValueError: where there are no values
    """
    if not len(values):
        raise ValueError("no values to take the mean of")
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    n = int(counts.sum())
    mean = float(distinct @ counts / n)
    if len(distinct) == 1:
        return Interval(mean, mean, mean)
    generator = np.random.default_rng(seed)
    # Very many distinct values come with very many rows, whose interval needs fewer resamples to be as exact.
    resamples = min(resamples, max(2_000, 40_000_000 // len(distinct)))
    chunk = max(1, 4_000_000 // len(distinct))
    means = np.concatenate(
        [
            generator.multinomial(n, counts / n, size=min(chunk, resamples - start)) @ distinct / n
            for start in range(0, resamples, chunk)
        ]
    )
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(mean, float(low), float(high))


def paired_gain(before: Sequence[float], after: Sequence[float], metric: str = "", over: str = "") -> Gain:
    """Return the gain over the same examples with the 95 % interval of the paired difference.

    :param before: scores in the examples' order
    :param after: scores of the same examples in the same order
    :param over: the name of the method before
    :raises ValueError: where the two do not match or are empty
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} scores before, {len(after)} after: not the same examples")
    # Rounded so that equal differences of unequal floats count as one value.
    difference = bootstrap(np.round(np.asarray(after) - np.asarray(before), 12).tolist())
    n = len(before)
    return Gain(metric, n, over, sum(before) / n, sum(after) / n, difference.low, difference.high)
