"""A model that prefers one label, corrected: shares divided by their mean (arXiv 2309.17249, batch calibration).

Knows nothing of where the average comes from; it is never one over evaluation rows.
"""

import math
from collections.abc import Mapping

from selfguide_lite.task import Task

_LEAST = 1e-12  # a share that no input ever had is no share to divide by


def wanted_shares(task: Task) -> dict[str, float]:
    """Return how often each label is expected: as the task says, else all equally often."""
    return {label: task.label_shares.get(label, 1 / len(task.labels)) for label in task.labels}


def calibrated(
    shares: Mapping[str, float], prior: Mapping[str, float], wanted: Mapping[str, float]
) -> dict[str, float]:
    """Return each label's share divided by its mean share and times its wanted one, adding up to 1.

    :param shares: of one input, one for each label
    :param prior: each label's mean share over inputs without answers
    :param wanted: how often each label occurs in practice
    """
    weights = {
        label: share / max(prior.get(label, 0.0), _LEAST) * wanted.get(label, 0.0) for label, share in shares.items()
    }
    total = math.fsum(weights.values())
    return {label: weight / total for label, weight in weights.items()} if total > 0 else dict(shares)


def likeliest(shares: Mapping[str, float]) -> str:
    """Return the label with the largest share, the first of those tied."""
    return max(shares, key=lambda label: shares[label])
