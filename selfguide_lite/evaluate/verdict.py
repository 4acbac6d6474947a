"""Is the finetuned model better than the best prompting? Cross-fitted, so that no row helps to choose what it scores.

The rows are parted in two halves. On each half stand the prompting and the finetuned variant that were best on the
other half; every row counts once. Picking the best of many on the very rows that score it would flatter both sides.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.evaluate.evaluation import Evaluation
from selfguide_lite.evaluate.statistics import Gain, paired_gain
from selfguide_lite.kinds import kind_named
from selfguide_lite.methods.names import FINETUNED, named, simplicity, usual_form
from selfguide_lite.task.eval_rows import EvalRow, split_places

MIN_ROWS = 60
Scores = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Crossed:
    """A cross-fitted gain.

    :param gain: of the finetuned model over the best prompting
    :param overs: the prompting that each half was compared with
    :param afters: the finetuned variant that was chosen for each half
    """

    gain: Gain
    overs: tuple[str, str]
    afters: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a comparison.

    :param sentence: for people, without a full stop
    :param gain: over the best prompting; None where it was not measured
    :param winner: the method that `predict` uses
    :param crossed: how the gain came about
    """

    metric: str
    n: int
    sentence: str
    gain: Gain | None
    winner: str
    crossed: Crossed | None = None

    @property
    def tested(self) -> bool:
        """Whether there were enough rows to tell."""
        return self.gain is not None


def best_of(scores: Scores, where: npt.NDArray[np.bool_] | None = None) -> str:
    """Return the method with the highest mean, the simplest of those tied.

    :param where: only these rows
    """

    def mean(name: str) -> float:
        values = np.asarray(scores[name], dtype=np.float64)
        return float((values if where is None else values[where]).mean())

    return min(scores, key=lambda name: (-round(mean(name), 12), simplicity(name)))


def cross_fitted(prompting: Scores, finetuned: Scores, first: npt.NDArray[np.bool_], metric: str = "") -> Crossed:
    """Return the gain of the finetuned variants over the prompting methods.

    :param prompting: each method's scores in the rows' order
    :param finetuned: the same rows' scores by each variant
    :param first: which rows are the first half
    """
    before, after = np.empty(len(first)), np.empty(len(first))
    overs, afters = [], []
    for half in (first, ~first):
        overs.append(best_of(prompting, ~half))
        afters.append(best_of(finetuned, ~half))
        before[half] = np.asarray(prompting[overs[-1]])[half]
        after[half] = np.asarray(finetuned[afters[-1]])[half]
    gain = paired_gain(before.tolist(), after.tolist(), metric, best_of(prompting))
    return Crossed(gain, (overs[0], overs[1]), (afters[0], afters[1]))


def is_better(crossed: Crossed, prompting: Scores, finetuned: Scores) -> bool:
    """Tell whether a finetuned variant is surely better: cross-fitted and, of what would be used, over all rows."""
    means = [float(np.mean(scores[best_of(scores)])) for scores in (prompting, finetuned)]
    return crossed.gain.low > 0 and means[1] > means[0]


def crossed_gain(prompting: Mapping[str, Evaluation], finetuned: Mapping[str, Evaluation], seed: int) -> Crossed:
    """Return the cross-fitted gain between evaluations of the same rows, of however few.

    :param seed: fixes the halves, with the rows' own content
    :raises SelfguideError: where they are not of the same rows
    """
    every = [*prompting.values(), *finetuned.values()]
    rows = [EvalRow(given.input, given.references) for given in every[0].predictions]
    for other in every[1:]:
        if [EvalRow(given.input, given.references) for given in other.predictions] != rows:
            raise SelfguideError(f"{other.method} and {every[0].method} were evaluated on different examples")
    chosen = split_places(rows, 0.5, seed)
    first = np.array([place in chosen for place in range(len(rows))])
    return cross_fitted(_scores(prompting), _scores(finetuned), first, every[0].metric)


def judge(
    prompting: Mapping[str, Evaluation],
    finetuned: Mapping[str, Evaluation],
    kind: str,
    seed: int,
    unusable: Collection[str] = (),
) -> Verdict:
    """Return what the evaluations of one set of rows say.

    :param finetuned: none where there is no finetuned model
    :param seed: fixes the halves
    :param unusable: promptings that `predict` cannot use: they are compared with and never chosen
    """
    usual = named(FINETUNED, usual_form(kind))
    if not prompting:
        return unmeasured(kind)
    one = next(iter(prompting.values()))
    n = len(one.scores)
    usable = {name: given for name, given in prompting.items() if name not in unusable}
    best = best_of(_scores(usable or prompting))
    if not finetuned:
        return Verdict(one.metric, n, "Not measured: there is no finetuned model", None, best)
    if n < MIN_ROWS:
        said = f"Not measured: {n} evaluation rows cannot tell, {MIN_ROWS} can"
        return Verdict(one.metric, n, f"{said}. predict uses {usual}, which was not tested", None, usual)
    crossed = crossed_gain(prompting, finetuned, seed)
    gain = crossed.gain
    if is_better(crossed, _scores(prompting), _scores(finetuned)):
        sentence = f"Better than every prompting tried: {_points(gain.gain)} points{_interval(gain)}"
        return Verdict(one.metric, n, sentence, gain, best_of(_scores(finetuned)), crossed)
    winner = best
    if len(usable) < len(prompting) and usable:
        winner = judge(usable, finetuned, kind, seed).winner
    said = "Worse than" if gain.high < 0 else "Not shown to be better than"
    sentence = (
        f"{said} {gain.over} prompting ({_points(gain.gain)} points, {100 * gain.low:+.1f} to {100 * gain.high:+.1f}): "
        f"predict uses {winner}"
    )
    return Verdict(one.metric, n, sentence, gain, winner, crossed)


def unmeasured(kind: str) -> Verdict:
    """Return the verdict on a finetuned model that there are no evaluation rows for."""
    usual = named(FINETUNED, usual_form(kind))
    sentence = f"Not measured: the task has no evaluation rows. predict uses {usual}, which was not tested"
    return Verdict(kind_named(kind).metric, 0, sentence, None, usual)


def _scores(evaluations: Mapping[str, Evaluation]) -> dict[str, list[float]]:
    return {name: evaluation.scores for name, evaluation in evaluations.items()}


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _interval(gain: Gain) -> str:
    return f" ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
