"""Drawing tokens: random streams that depend on names alone, and sampling by inverse distribution, many rows at once.

Knows nothing of models or text.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Logits = npt.NDArray[np.float32]
Streams = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.int64]

_BLOCK = 64  # vocabulary entries looked at together
_NUCLEUS = 256  # entries sorted for top-p before all of them are


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


def uniforms(streams: Streams, steps: Streams) -> Floats:
    """Return each stream's number in [0, 1) at a step of its own.

    Splitmix64 read as a counter-based generator: the state is the stream's start plus a multiple of the step.
    """
    z = streams + np.uint64(0x9E3779B97F4A7C15) * (steps + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    chances: Floats = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return chances


class Sampler:
    """Draws for many samples from a few distributions. Its buffers are kept from call to call.

    Each row's result depends on that row and its chances alone, so a text does not depend on what else is computed.
    """

    def __init__(self) -> None:
        self._buffer: Logits = np.zeros((0, 0), np.float32)

    def draw(self, rows: Logits, rules: Sequence[Rule], owners: Ids, chances: Floats) -> tuple[Ids, Floats]:
        """Return a token for each sample, and its natural-log probability under the unmodified distribution.

        :param rows: logits, shape (rows, vocabulary)
        :param rules: how to draw from each row
        :param owners: the row each sample draws from
        :param chances: each sample's number in [0, 1), mapped by the inverse of the cumulative distribution
        """
        best = rows.argmax(axis=1)
        top = rows[np.arange(len(rows)), best]
        weights = self._exponentials(rows, top)
        sums = _block_sums(weights)
        log_total = top + np.log(sums.sum(axis=1))
        tokens = best[owners]
        groups: dict[Rule, list[int]] = {}
        for row, rule in enumerate(rules):
            if rule.temperature > 0:
                groups.setdefault(rule, []).append(row)
        for rule, members in groups.items():
            everyone = len(members) == len(rows)
            picked: slice | Ids = slice(None) if everyone else np.array(members)
            samples = np.arange(len(owners)) if everyone else np.flatnonzero(np.isin(owners, members))
            place = owners if everyone else np.searchsorted(members, owners[samples])
            logits, highest = rows[picked], top[picked]
            if rule.top_k <= 0 and rule.top_p >= 1:
                if rule.temperature == 1:
                    drawn = _from_all(weights[picked], sums[picked], place, chances[samples])
                else:
                    heated = np.exp((logits - highest[:, None]) * np.float32(1 / rule.temperature))
                    drawn = _from_all(heated, _block_sums(heated), place, chances[samples])
            else:
                drawn = _from_largest(logits, highest, rule, place, chances[samples])
            tokens[samples] = drawn
        return tokens, rows[owners, tokens].astype(np.float64) - log_total[owners]

    def _exponentials(self, rows: Logits, top: Logits) -> Logits:
        count, size = rows.shape
        if self._buffer.shape[1] != size or self._buffer.shape[0] < count:
            self._buffer = np.empty((count, size), np.float32)
        out = self._buffer[:count]
        np.subtract(rows, top[:, None], out=out)
        return np.exp(out, out=out)


def largest(rows: Logits, count: int) -> Ids:
    """Return the ids of each row's `count` largest entries, largest first, the lower id first among equals."""
    height, size = rows.shape
    count = min(count, size)
    if count == size:
        return np.argsort(-rows, axis=1, kind="stable")
    blocks = size // _BLOCK
    # all that reaches the count-th largest block maximum holds the `count` largest; so does a partition of a small row
    few = rows[:, : blocks * _BLOCK].reshape(height, blocks, _BLOCK).max(axis=2) if count < blocks else rows
    bound = np.partition(few, few.shape[1] - count, axis=1)[:, few.shape[1] - count]
    row, ids = np.divmod(np.flatnonzero(rows >= bound[:, None]), size)
    order = np.lexsort((ids, -rows[row, ids], row))
    starts = np.searchsorted(row, np.arange(height))  # `row` is sorted as it is
    found: Ids = ids[order[starts[:, None] + np.arange(count)]]
    return found


def _from_largest(rows: Logits, top: Logits, rule: Rule, place: Ids, chances: Floats) -> Ids:
    """Draw from the `top_k` largest entries, or those that make up `top_p`."""
    size = rows.shape[1]
    heat = 1 / rule.temperature
    count = min(rule.top_k, size) if rule.top_k > 0 else min(_NUCLEUS, size)
    ids = largest(rows, count)
    if rule.top_k <= 0 and count < size:
        everything = np.exp((rows - top[:, None]) * np.float32(heat)).sum(axis=1, dtype=np.float64)
        here = np.exp((np.take_along_axis(rows, ids, 1) - top[:, None]) * np.float32(heat)).sum(axis=1)
        if (here < rule.top_p * everything * (1 + 1e-5)).any():
            ids = largest(rows, size)
    values = np.take_along_axis(rows, ids, 1).astype(np.float64) - top[:, None]
    total = np.cumsum(np.exp(values * heat), axis=1)
    last = np.full(len(rows), ids.shape[1] - 1)
    mass = total[:, -1]
    if rule.top_p < 1:
        if rule.top_k <= 0 and count < size and ids.shape[1] < size:
            mass = everything
        last = np.minimum((total < (rule.top_p * mass)[:, None]).sum(axis=1), last)
        mass = total[np.arange(len(rows)), last]
    targets = chances * mass[place]
    chosen = np.minimum((total[place] <= targets[:, None]).sum(axis=1), last[place])
    drawn: Ids = ids[place, chosen]
    return drawn


def _block_sums(weights: Logits) -> Floats:
    """Sum a row's entries by blocks, shape (rows, blocks)."""
    height, size = weights.shape
    full = size - size % _BLOCK
    sums: Floats = weights[:, :full].reshape(height, -1, _BLOCK).sum(axis=2).astype(np.float64)
    if full < size:
        sums = np.concatenate((sums, weights[:, full:].sum(axis=1, keepdims=True, dtype=np.float64)), axis=1)
    return sums


def _from_all(weights: Logits, sums: Floats, place: Ids, chances: Floats) -> Ids:
    """Draw from the whole vocabulary: first a block of it, then an entry of the block."""
    ends = np.cumsum(sums, axis=1)
    targets = chances * ends[place, -1]
    blocks = np.minimum((ends[place] <= targets[:, None]).sum(axis=1), sums.shape[1] - 1)
    rest = targets - np.where(blocks > 0, ends[place, blocks - 1], 0.0)
    size = weights.shape[1]
    ids = np.minimum(blocks[:, None] * _BLOCK + np.arange(_BLOCK), size - 1)
    inside = weights[place[:, None], ids].astype(np.float64)
    inside[blocks[:, None] * _BLOCK + np.arange(_BLOCK) >= size] = 0
    total = np.cumsum(inside, axis=1)
    # the two sums differ by rounding: a target past the block's end is its last entry that has weight
    ends_inside = np.minimum(rest, np.nextafter(total[:, -1], 0))
    chosen = (total <= ends_inside[:, None]).sum(axis=1)
    drawn: Ids = ids[np.arange(len(ids)), np.minimum(chosen, _BLOCK - 1)]
    return drawn
