"""The part of docs/results.md on labels that are not equally frequent.

The rows of two data sets count such that their first label has nine tenths: what rows that are drawn 9 : 1 show on
average, and with all rows in use.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from data.results.gains import gain_text
from data.results.plan import DEFAULT, UNEVEN
from data.results.record import Record
from selfguide_lite.evaluate.statistics import Gain
from selfguide_lite.experiments.tables import markdown_table
from selfguide_lite.methods.names import is_finetuned

Numbers = np.ndarray[Any, Any]
_FREQUENT = 0.9
_RESAMPLES = 2_000
_UNCALIBRATED = ("zero-shot scored", "few-shot", "few-shot scored")
_METHODS = (*_UNCALIBRATED, "few-shot calibrated", "finetuned", "finetuned scored", "finetuned calibrated")


def section(runs: Sequence[Record]) -> list[str]:
    """Return the lines of the results' page; none where no run was made that counts here."""
    rows = []
    for task in UNEVEN:
        mine = [one for one in runs if one["task"] == task]
        untold = [one for one in mine if one["group"] == "shared" and one["variant"] == DEFAULT]
        for name, done in (("not told", untold), ("told", [one for one in mine if one["told"]])):
            rows += _rows(task, name, done) if done else []
    if not rows:
        return []
    head = ["task", "`label_shares`", "seeds", "method", "exact match", "against the best", "macro-F1"]
    return [
        "## Labels nine to one",
        "",
        "The same rows, counted such that the first label (ham, subjective) has nine tenths: the mean over all ways of",
        "drawing rows 9 : 1. A constant answer has 90.0 exact match and a macro-F1 of 47.4. Against the best: the",
        "difference to the best prompting without calibration (free text or scored, chosen on these rows), with the",
        "paired 95 % interval. Not told: the default settings, which take labels to be equally frequent.",
        "",
        markdown_table([*head, "against the best"], rows),
        "",
    ]


def _rows(task: str, name: str, done: Sequence[Record]) -> list[list[str]]:
    rights = np.asarray(done[0]["rights"])
    count = len(done[0]["labels"])
    methods = [one for one in _METHODS if all(one in run["methods"] for run in done)]
    answers = {one: [np.asarray(run["methods"][one]) for run in done] for one in methods}
    whole = np.arange(len(rights))
    scores = {one: _mean(answers[one], rights, whole, count) for one in methods}
    draws = list(_resampled(rights))
    usual = [one for one in methods if one in _UNCALIBRATED]
    best = [max(usual, key=lambda one: float(scores[one][measure])) for measure in (0, 1)]
    compared = [one for one in methods if is_finetuned(one) or one in best]
    drawn = {one: np.stack([_mean(answers[one], rights, places, count) for places in draws]) for one in compared}
    seeds = ", ".join(str(run["seed"]) for run in done)
    rows = []
    for one in methods:
        cells = [task, name, seeds, one]
        for measure in (0, 1):
            cells.append(f"{100 * scores[one][measure]:.1f}")
            other = best[measure]
            if not is_finetuned(one):
                cells.append("the best" if one == other else "")
                continue
            low, high = np.quantile(drawn[one][:, measure] - drawn[other][:, measure], (0.025, 0.975))
            before, after = float(scores[other][measure]), float(scores[one][measure])
            cells.append(gain_text(Gain("", len(rights), other, before, after, float(low), float(high))))
        rows.append(cells)
    return rows


def _resampled(rights: Numbers) -> Sequence[Numbers]:
    """Return places of rows drawn with replacement, as many of every label as there are."""
    rng = np.random.default_rng(0)
    by_label = [np.flatnonzero(rights == label) for label in np.unique(rights)]
    return [np.concatenate([rng.choice(one, len(one)) for one in by_label]) for _ in range(_RESAMPLES)]


def _mean(answers: Sequence[Numbers], rights: Numbers, places: Numbers, count: int) -> Numbers:
    """Return exact match and macro-F1 over these rows, as means over the seeds."""
    right = rights[places]
    means: Numbers = np.mean([weighted_scores(one[places], right, count) for one in answers], axis=0)
    return means


def weighted_scores(answers: Numbers, rights: Numbers, count: int) -> tuple[float, float]:
    """Return exact match and macro-F1 where the first label counts nine tenths, and the others share the rest.

    :param answers: label numbers, -1 for an answer without a label
    :param count: number of labels
    """
    first = rights == 0
    weights = np.where(first, _FREQUENT / max(1, first.sum()), (1 - _FREQUENT) / max(1, (~first).sum()))
    f1 = []
    for label in range(count):
        found, meant = answers == label, rights == label
        both = weights[found & meant].sum()
        f1.append(2 * both / max(1e-12, weights[found].sum() + weights[meant].sum()))
    return float(weights[answers == rights].sum()), float(np.mean(f1))
