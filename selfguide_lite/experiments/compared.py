"""The result of a comparison of methods."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.evaluate.evaluation import Evaluation
from selfguide_lite.evaluate.statistics import Gain
from selfguide_lite.evaluate.verdict import Verdict
from selfguide_lite.methods.names import (
    FEW_SHOT,
)


@dataclass(frozen=True, slots=True)
class Compared:
    """A line of the table.

    :param pairs: that the model was finetuned on, or shown; None for plain prompting
    :param gain: the plain paired one over the prompting that is best over all rows; None for prompting itself
    :param same_as: the method that came out with the very same pairs, so that its answers are these too
    :param macro_f1: for classification
    """

    method: str
    pairs: int | None
    evaluation: Evaluation
    gain: Gain | None
    same_as: str | None = None
    macro_f1: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The table of one task.

    :param over: the best prompting, which the lines' gains are over
    :param verdict: the cross-fitted comparison of SELF-GUIDE with prompting; None where it is not among the methods
    """

    task: str
    db: Path
    seed: int
    lines: tuple[Compared, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    over: str = FEW_SHOT
    verdict: Verdict | None = None

    def line(self, method: str) -> Compared:
        """Return a method's line.

        :raises KeyError: where the table has none
        """
        for line in self.lines:
            if line.method == method:
                return line
        raise KeyError(method)

    def as_json(self) -> dict[str, Any]:
        """Return the table for programs; scores are shares of 1."""
        return {
            "task": self.task,
            "db": str(self.db),
            "seed": self.seed,
            "methods": [
                {
                    "method": line.method,
                    "metric": line.evaluation.metric,
                    "n": len(line.evaluation.scores),
                    "pairs": line.pairs,
                    "mean": line.evaluation.mean,
                    "low": line.evaluation.low,
                    "high": line.evaluation.high,
                    "same_as": line.same_as,
                    "macro_f1": line.macro_f1,
                    "gain": line.gain
                    and {"gain": line.gain.gain, "low": line.gain.low, "high": line.gain.high, "n": line.gain.n},
                }
                for line in self.lines
            ],
            "skipped": dict(self.skipped),
            "over": self.over,
            "gain": asdict(self.verdict.gain) if self.verdict and self.verdict.gain else None,
            "verdict": self.verdict.sentence if self.verdict else None,
        }
