"""A gain over several seeds, and how a table shows it: the parts of docs/results.md share both."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from selfguide_lite.evaluate.statistics import Gain, paired_gain


def paired(befores: Sequence[np.ndarray[Any, Any]], afters: Sequence[np.ndarray[Any, Any]]) -> Gain:
    """Return the gain of several seeds on the same rows: a row's score is its mean over them."""
    n = min(map(len, befores))
    before = np.mean([given[:n] for given in befores], axis=0)
    after = np.mean([given[:n] for given in afters], axis=0)
    return paired_gain(before.tolist(), after.tolist())


def gain_text(gain: Gain) -> str:
    """Return a gain in points with its interval, bold where that is off zero."""
    text = f"{100 * gain.gain:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    return f"**{text}**" if gain.low > 0 or gain.high < 0 else text
