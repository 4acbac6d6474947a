"""How good an answer is: exact match, ROUGE-L, and over labels recall and F1. Knows nothing of tasks, models or stores.

Exact match normalises as the Super-NaturalInstructions benchmark does. ROUGE-L is the `rouge-score` package's F1 with
stemming: its words and its stemmer, each word stemmed once, and the longest common subsequence found bit-parallel
(Hyyrö 2004), which gives the very same number some twenty times sooner.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from selfguide_lite.core.limits import require_address_space
from selfguide_lite.core.matching import normalize

_WORDS = re.compile(r"[a-z0-9]+")
_NLTK = 256 * 2**20  # bytes of address space that importing it takes at most, with what it imports where that is there


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """Return 1.0 where the answer is one of the references after normalising, else 0.0."""
    answer = normalize(prediction)
    return float(any(answer == normalize(reference) for reference in references))


def rouge_l(prediction: str, references: Sequence[str]) -> float:
    """Return the ROUGE-L F1 with stemming, the best over the references, in 0..1.

    One process on purpose: starting others and importing the stemmer there takes longer than 100,000 pairs do here.
    """
    tokens = _tokens(prediction)
    return max((_f1(_tokens(reference), tokens) for reference in references), default=0.0)


def recall_by_label(answers: Sequence[str | None], rights: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """Return the share of each label's rows that were answered with it; labels that are never right are left out.

    :param answers: the label of each answer, None where it has none
    :param rights: the right label of each
    """
    right = Counter(rights)
    hits = Counter(answer for answer, label in zip(answers, rights, strict=True) if answer == label)
    return {label: hits[label] / right[label] for label in labels if right[label]}


def macro_f1(answers: Sequence[str | None], rights: Sequence[str], labels: Sequence[str]) -> float:
    """Return the mean of the labels' F1, each label counting the same however rare it is.

    Labels that are neither right nor answered anywhere do not count; one that is only answered has an F1 of 0.

    :param answers: the label of each answer, None where it has none
    :param rights: the right label of each
    """
    right, answered = Counter(rights), Counter(answers)
    hits = Counter(answer for answer, label in zip(answers, rights, strict=True) if answer == label)
    seen = [label for label in labels if right[label] or answered[label]]
    return sum(2 * hits[label] / (right[label] + answered[label]) for label in seen) / len(seen) if seen else 0.0


@lru_cache(maxsize=1)
def _stem() -> Callable[[str], str]:
    """The Porter stemmer that the package uses, each word stemmed once. Importing it takes a second."""
    require_address_space(_NLTK)
    from nltk.stem.porter import PorterStemmer

    return lru_cache(maxsize=200_000)(PorterStemmer().stem)


@lru_cache(maxsize=50_000)
def _tokens(text: str) -> tuple[str, ...]:
    """The package's `tokenize`: runs of a-z and 0-9 after lower-casing, those over three characters stemmed."""
    stem = _stem()
    return tuple([stem(word) if len(word) > 3 else word for word in _WORDS.findall(text.lower())])


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
