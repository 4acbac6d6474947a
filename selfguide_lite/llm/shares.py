"""From the log-probabilities of candidates to their shares."""

import math
from collections.abc import Sequence


def shares(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Return each candidate's share of the probability that all of them have together.

    :param logprobs: natural-log probabilities; those that are not finite count as nothing
    :return: shares that add up to 1; equal ones where no probability is known
    """
    known = [value for value in logprobs if math.isfinite(value)]
    if not known:
        return (1 / len(logprobs),) * len(logprobs)
    top = max(known)
    weights = [math.exp(value - top) if math.isfinite(value) else 0.0 for value in logprobs]
    return tuple(weight / sum(weights) for weight in weights)
