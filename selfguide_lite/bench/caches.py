"""How fast sequences go on with each type of KV cache, the more of them at once the more memory holds."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.machine import cores
from selfguide_lite.llm.context_options import CacheType, ContextOptions
from selfguide_lite.llm.native import Context
from selfguide_lite.llm.tuning import fast_weights, load

TYPES: tuple[CacheType, ...] = ("f16", "q8_0", "q4_0")
AT_ONCE = (8, 16, 32, 64, 128, 200)
ROOM = 2048
_PROMPT, _STEPS, _LIMIT = 256, 16, 40.0


def caches(path: Path, at_once: Sequence[int] = AT_ONCE, room: int = ROOM) -> dict[str, Any]:
    """Measure every type with more and more sequences, until memory or the time for a type ends.

    Each sequence has a short prompt of its own, nothing is shared. `apart` is how far the logits behind the same prompt
    are from those of f16, by the root of the mean square, in their own standard deviations.

    :param room: tokens for which each sequence has memory, at least those that are computed
    """
    model, _ = load(fast_weights(path))
    found: dict[str, Any] = {}
    expected: npt.NDArray[np.float32] | None = None
    for kind in TYPES:
        ended, rates = "", {}
        began = time.perf_counter()
        for together in at_once:
            cells = together * max(room, _PROMPT + _STEPS)
            options = ContextOptions(cells, 512, flash=True, threads=cores(), sequences=together, cache=kind)
            try:
                context = Context(model, options)
            except SelfguideError:
                ended = f"no memory for {together} sequences"
                break
            try:
                logits = _prompt(context, together)
                expected = logits if expected is None else expected
                rates[together] = round(_rate(context, together), 1)
            finally:
                context.close()
            if time.perf_counter() - began > _LIMIT:
                ended = "time"
                break
        apart = None
        if rates and expected is not None:
            apart = float(np.sqrt(np.mean((logits - expected) ** 2)) / np.std(expected))
        found[kind] = {"tokens_per_second": rates, "ended": ended or "all tried", "apart": apart}
    model.close()
    return found


def _prompt(context: Context, sequences: int) -> npt.NDArray[np.float32]:
    """Compute every sequence's prompt, in calls of its own; return the logits behind the first one."""
    rng = np.random.default_rng(0)
    first = np.zeros(0, np.float32)
    for number in range(sequences):
        context.token[:_PROMPT] = rng.integers(3, context.model.vocabulary.size, _PROMPT)
        context.pos[:_PROMPT] = np.arange(_PROMPT)
        context.seq[:_PROMPT] = number
        context.output[:_PROMPT] = 0
        context.output[_PROMPT - 1] = 1
        context.decode(_PROMPT)
        if number == 0:
            first = context.logits(1)[0].copy()
    return first


def _rate(context: Context, sequences: int) -> float:
    """Let all sequences go on token by token."""
    rng = np.random.default_rng(1)
    context.seq[:sequences] = np.arange(sequences)
    context.output[:sequences] = 1
    began = time.perf_counter()
    for step in range(_STEPS):
        context.token[:sequences] = rng.integers(3, context.model.vocabulary.size, sequences)
        context.pos[:sequences] = _PROMPT + step
        context.decode(sequences)
        context.synchronize()
    return sequences * _STEPS / (time.perf_counter() - began)
