"""Contexts that are measured side by side: how fast one way of computing is."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.llm.context_options import ContextOptions
from selfguide_lite.llm.llama import Tuning
from selfguide_lite.llm.native import Context, Model

PREFIX = 384  # tokens that all sequences share, at most
_TAIL = 24  # tokens of its own that each sequence has
_OWN = 112  # tokens of the prompt of a request that shares little
_ANSWER = 16  # and of its answer
_GAIN = 1.05  # more at once must be this much faster: a measurement varies, and they take more memory
_OWN_PREFIX = 64  # tokens that such requests share
_OWN_PARALLEL = (1, 2, 4, 8)
_STEP_SECONDS = 1.0  # a step should not be longer, or Ctrl-C would be felt to hang


@dataclass(frozen=True, slots=True)
class Measured:
    """What one way of computing reached, all workers together.

    :param prefill: prompt tokens a second
    :param decode: tokens a second with `tuning.parallel` sequences that share a prefix
    :param own: requests a second that share little, with `tuning.parallel_own` at once
    """

    tuning: Tuning
    prefill: float
    decode: float
    own: float

    @property
    def seconds(self) -> float:
        """Seconds for a stage's typical mixture.

        For each new input that is written, which shares little with others, its answers are some 40 tokens that share
        much, behind some 32 prompt tokens.
        """
        return 1 / self.own + 32 / self.prefill + 40 / self.decode


class Team:
    """Contexts that are measured side by side.

    :param prefix: tokens of the shared prefix, at most
    :param most: sequences at once, at most
    :param patience: seconds for one part of the measurement, roughly
    """

    def __init__(
        self, model: Model, tuning: Tuning, prefix: int, most: int, clock: Callable[[], float], patience: float
    ):
        self._tuning = tuning
        self._prefix, self._clock, self._patience = prefix, clock, patience
        cells = prefix + max(most * (_TAIL + 8), max(_OWN_PARALLEL) * (_OWN + _ANSWER)) + 64
        options = ContextOptions(cells=cells, batch=512, flash=tuning.flash, threads=tuning.threads, sequences=most + 1)
        self._contexts: list[Context] = []
        self._pool = ThreadPoolExecutor(tuning.workers)
        for _ in range(tuning.workers):
            self._contexts.append(Context(model, options))

    def close(self) -> None:
        self._pool.shutdown()
        for context in self._contexts:
            context.close()

    def measure(self, parallels: tuple[int, ...]) -> Measured:
        """Measure prompts, then answers behind a shared prefix, then requests that share little."""
        self._all(lambda context: _run(context, [0], 0, 8))  # the first call of a context is slow
        self._all(lambda context: context.clear())
        done, spent = 0, 0.0
        while done < self._prefix and spent < self._patience:  # a slow model gets a shorter prefix, in steps
            size = min(self._prefix - done, 64 if not done else 128)
            spent += self._all(partial(_run, sequences=[0], position=done, size=size))
            done += size
        prefill = done / spent * self._tuning.workers
        decode, parallel = self._decode(parallels, done, prefill)
        own, parallel_own = self._own(min(parallel, max(_OWN_PARALLEL)), prefill, decode)
        chunk = int(min(512, max(32, prefill / self._tuning.workers * _STEP_SECONDS)))
        tuning = replace(self._tuning, parallel=parallel, parallel_own=parallel_own, chunk=chunk)
        return Measured(tuning, prefill, decode, own)

    def _decode(self, parallels: tuple[int, ...], prefix: int, prefill: float) -> tuple[float, int]:
        """Return the best rate of single tokens behind a shared prefix, and the number of sequences it needs."""
        best, best_parallel = 0.0, parallels[0]
        began = self._clock()
        for parallel in parallels:
            others = list(range(1, parallel + 1))
            per = max(1, min(_TAIL, 512 // parallel))
            if self._tuning.workers * parallel * per > prefill * self._patience / 4:
                per = 2
            steps = 8 if best and 8 * parallel * self._tuning.workers < best * self._patience / 4 else 3

            def begin(context: Context, others: list[int] = others, per: int = per) -> None:
                for sequence in others:
                    context.copy(0, sequence, prefix)
                _run(context, others, prefix, per)

            def go(context: Context, others: list[int] = others, per: int = per, steps: int = steps) -> None:
                for step in range(steps):
                    _run(context, others, prefix + per + step, 1)

            def end(context: Context, others: list[int] = others) -> None:
                for sequence in others:
                    context.cut(sequence)

            self._all(begin)
            rate = self._tuning.workers * parallel * steps / self._all(go)
            self._all(end)
            if rate > best:
                best, best_parallel = rate, parallel
            elif rate < best * 0.9:
                break
            if self._clock() - began > 2 * self._patience:
                break
        return best, best_parallel

    def _own(self, most: int, prefill: float, decode: float) -> tuple[float, int]:
        """Return the best rate of requests that share little, and how many at once it needs."""
        expected = _OWN / prefill + _ANSWER / decode
        best, best_parallel = 0.0, most
        for parallel in _OWN_PARALLEL:
            if parallel > most or parallel * self._tuning.workers * expected > 4 * self._patience:
                break
            sequences = list(range(1, parallel + 1))

            def go(context: Context, sequences: list[int] = sequences) -> None:
                for sequence in sequences:
                    context.copy(0, sequence, _OWN_PREFIX)
                    _run(context, [sequence], _OWN_PREFIX, _OWN)
                for step in range(_ANSWER):
                    _run(context, sequences, _OWN_PREFIX + _OWN + step, 1)
                for sequence in sequences:
                    context.cut(sequence)

            self._all(lambda context: context.cut(0, _OWN_PREFIX))
            first = self._all(go)
            again = [self._all(go) for _ in range(3)] if first < self._patience / 8 else []  # so short a time varies
            rate = self._tuning.workers * parallel / min([first, *again])
            if rate > best * _GAIN:
                best, best_parallel = rate, parallel
            elif rate < best * 0.9:
                break
        return best or 1 / expected, best_parallel

    def _all(self, part: Callable[[Context], None]) -> float:
        """Run a part of the measurement in every context at once; return the seconds until the last is done."""
        began = self._clock()
        list(self._pool.map(part, self._contexts))
        return self._clock() - began


def _run(context: Context, sequences: list[int], position: int, size: int) -> None:
    """Compute `size` random tokens at the end of each sequence, with logits of the last."""
    count = len(sequences) * size
    rng = np.random.default_rng(count)
    context.token[:count] = rng.integers(3, context.model.vocabulary.size, count)
    context.pos[:count] = np.tile(np.arange(position, position + size), len(sequences))
    context.seq[:count] = np.repeat(sequences, size)
    context.output[:count] = 0
    context.output[size - 1 : count : size] = 1
    if not context.decode(count):
        raise SelfguideError("the measurement of this machine did not fit its own context")
    context.synchronize()
