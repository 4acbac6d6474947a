"""Drawing tokens: random streams that depend on names alone, and sampling by inverse distribution, many rows at once.

Knows nothing of models or text.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Logits = npt.NDArray[np.float32]
Streams = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.int64]

_BLOCK = 64  # vocabulary entries looked at together when the largest are sought
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a request says about drawing. `top_k` 0 and `top_p` 1 keep every token; `temperature` 0 is greedy."""

    temperature: float
    top_k: int
    top_p: float


def stream(seed: int, key: str, sample: int) -> int:
    """Return the 64-bit start of a sample's own random stream."""
    name = f"{seed}\0{sample}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")


def uniforms(streams: Streams, step: int) -> Floats:
    """Return each stream's number in [0, 1) for a step, shape of `streams`.

    Splitmix64 read as a counter-based generator: the state is the stream's start plus a multiple of the step.
    """
    with np.errstate(over="ignore"):
        z = streams + _GOLDEN * np.uint64(step + 1)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Drawer:
    """Distributions over the next token for a few rows of logits at once.

    Each row's numbers depend on that row alone, bit for bit, so a sample's text does not depend on its neighbours.

    :param rows: logits, shape (rows, vocabulary)
    :param normalize: also find each row's log of the summed exponentials, for log-probabilities
    """

    def __init__(self, rows: Logits, normalize: bool = True):
        self._rows = rows
        self.best: Ids = rows.argmax(axis=1)
        self._top: Logits = rows[np.arange(len(rows)), self.best]
        self.log_total: Floats = np.zeros(len(rows))
        self._exp: Logits | None = None
        if normalize:
            self._exp = np.exp(rows - self._top[:, None])
            self.log_total = self._top + np.log(self._exp.sum(axis=1, dtype=np.float64))

    def draw(self, row: int, rule: Rule, chances: Floats) -> Ids:
        """Return a token for each chance in [0, 1): the inverse of the row's cumulative distribution under `rule`."""
        if rule.temperature <= 0:
            return np.full(len(chances), self.best[row])
        logits = self._rows[row]
        if rule.top_k <= 0 and rule.top_p >= 1:
            return self._draw_all(row, rule.temperature, chances)
        size = len(logits)
        if rule.top_k > 0:
            ids = largest(logits, min(rule.top_k, size))
        else:
            ids = np.argsort(-logits, kind="stable")
        weights = np.exp((logits[ids].astype(np.float64) - float(self._top[row])) / rule.temperature)
        total = np.cumsum(weights)
        if rule.top_p < 1:
            keep = int(np.searchsorted(total, rule.top_p * total[-1])) + 1
            total = total[:keep]
        place = np.searchsorted(total, chances * total[-1], side="right")
        chosen: Ids = ids[np.minimum(place, len(total) - 1)]
        return chosen

    def _draw_all(self, row: int, temperature: float, chances: Floats) -> Ids:
        """Draw from the whole vocabulary: first a block of it, then a token of the block."""
        if temperature == 1 and self._exp is not None:
            weights = self._exp[row]
        else:
            weights = np.exp((self._rows[row] - self._top[row]) * np.float32(1 / temperature))
        full = len(weights) - len(weights) % _BLOCK
        sums = weights[:full].reshape(-1, _BLOCK).sum(axis=1, dtype=np.float64)
        blocks = np.append(sums, weights[full:].sum(dtype=np.float64))
        ends = np.cumsum(blocks)
        targets = chances * ends[-1]
        chosen = np.empty(len(chances), np.int64)
        for index, target in enumerate(targets):
            block = min(int(np.searchsorted(ends, target, side="right")), len(ends) - 1)
            inside = np.cumsum(weights[block * _BLOCK : (block + 1) * _BLOCK], dtype=np.float64)
            rest = target - (ends[block - 1] if block else 0.0)
            place = int(np.searchsorted(inside, rest, side="right"))
            token = min(block * _BLOCK + place, len(weights) - 1)
            while weights[token] == 0 and token:  # rounding may point just past the last weight of a block
                token -= 1
            chosen[index] = token
        return chosen

    def logprob(self, row: int, token: int) -> float:
        """Return the natural-log probability of a token under the unmodified distribution."""
        return float(self._rows[row, token]) - float(self.log_total[row])


def largest(logits: Logits, count: int) -> Ids:
    """Return the ids of the `count` largest entries, largest first, the lower id first among equals."""
    size = len(logits)
    blocks = size // _BLOCK
    if count < blocks:
        # the blocks' maxima hold at least `count` entries that reach the count-th largest maximum
        maxima = logits[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
        bound = np.partition(maxima, blocks - count)[blocks - count]
        ids = np.flatnonzero(logits >= bound)
    else:
        ids = np.arange(size)
    order: Ids = ids[np.argsort(-logits[ids], kind="stable")][:count]
    return order
