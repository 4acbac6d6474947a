"""How good an answer is: exact match on its last label, or ROUGE-L. Knows nothing of models or stores.

Exact match normalises as the Super-NaturalInstructions benchmark does. ROUGE-L is the `rouge-score` package's F1 with
stemming: its own tokenizer and stemmer, each word stemmed once, and the longest common subsequence found bit-parallel
(Hyyrö 2004), which gives the same number as its table some ten times sooner.
"""

import multiprocessing
import os
import string
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from typing import Any, Literal

from selfguide_lite.task import Kind, last_label

Metric = Literal["exact match", "ROUGE-L"]

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
# Below this many pairs starting processes costs more than it saves.
_PARALLEL_FROM = 20_000


def metric_of(kind: Kind) -> Metric:
    """Return the metric that a kind of task is scored with."""
    return "exact match" if kind == "classification" else "ROUGE-L"


def normalize(text: str) -> str:
    """Lower-case, remove ASCII punctuation, fold white space: the benchmark's `normalize_answer`."""
    return " ".join(text.lower().translate(_NO_PUNCTUATION).split())


def exact_match(prediction: str, references: Sequence[str], labels: Sequence[str] = ()) -> float:
    """Return 1.0 where the answer is one of the references after normalising, else 0.0.

    :param labels: the answer is the one that occurs last in the prediction; where none occurs, or none is given, the
        whole prediction is compared
    """
    answer = normalize(_answer(prediction, labels))
    return float(any(answer == normalize(reference) for reference in references))


def rouge_l(prediction: str, references: Sequence[str]) -> float:
    """Return the ROUGE-L F1 with stemming, the best over the references, in 0..1."""
    tokens = _tokens(prediction)
    return max((_f1(_tokens(reference), tokens) for reference in references), default=0.0)


def score_answers(
    metric: Metric,
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    labels: Sequence[str] = (),
    processes: int | None = None,
) -> list[float]:
    """Score many answers, in their order; large sets are shared out over processes.

    :param references: those of each prediction
    :param processes: at most this many; None: one a core
    """
    jobs = list(zip(predictions, references, strict=True))
    workers = min(processes or os.cpu_count() or 1, len(jobs) // _PARALLEL_FROM + 1)
    # Exact match is quicker than sending the texts to another process.
    if workers == 1 or metric == "exact match":
        return _score(metric, jobs, labels)
    size = -(-len(jobs) // workers)
    parts = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        shares = pool.map(_score, [metric] * len(parts), parts, [labels] * len(parts))
        return [score for share in shares for score in share]


def _score(metric: Metric, jobs: Sequence[tuple[str, Sequence[str]]], labels: Sequence[str]) -> list[float]:
    if metric == "exact match":
        return [exact_match(prediction, references, labels) for prediction, references in jobs]
    return [rouge_l(prediction, references) for prediction, references in jobs]


@lru_cache(maxsize=100_000)
def _label_of(prediction: str, labels: tuple[str, ...]) -> str | None:
    return last_label(prediction, labels)


def _answer(prediction: str, labels: Sequence[str]) -> str:
    return (_label_of(prediction, tuple(labels)) if labels else None) or prediction


class _CachedStemmer:
    """The package's Porter stemmer, each word stemmed once. Importing it takes a second, so only where it is used."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer  # type: ignore[import-untyped]

        self.stem = lru_cache(maxsize=200_000)(PorterStemmer().stem)


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    return _CachedStemmer()


@lru_cache(maxsize=50_000)
def _tokens(text: str) -> tuple[str, ...]:
    from rouge_score.tokenize import tokenize

    return tuple(tokenize(text, _stemmer()))


def _f1(target: Sequence[str], prediction: Sequence[str]) -> float:
    if not target or not prediction:
        return 0.0
    common = _common(target, prediction)
    precision, recall = common / len(prediction), common / len(target)
    return 2 * precision * recall / (precision + recall) if common else 0.0


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence; bit i of `row` is 0 where word i of `left` lengthens it."""
    places: dict[str, int] = {}
    for place, word in enumerate(left):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(left)) - 1
    row = full
    for word in right:
        if here := places.get(word, 0) & row:
            row = ((row + here) | (row - here)) & full
    return len(left) - row.bit_count()
