"""Classification: an answer is one of the task's labels, the one that occurs last in a text."""

from collections.abc import Sequence
from functools import lru_cache

from selfguide_lite.core.matching import fold, last_label, normalize
from selfguide_lite.kinds.base import TaskKind
from selfguide_lite.metrics import exact_match

_SHOWN = 80  # characters of a text in a message


class Kind(TaskKind):
    """One of a few labels."""

    summary = "one of a few labels"
    metric = "exact match"
    labelled = parsed = balanced = True
    starter = """\
instruction: >-
  Say whether the guest of the hotel is happy or unhappy with what they write about.

# Every answer that is allowed, each with a few words on what it means: the model reads them when it writes inputs.
labels:
  happy: the guest liked it
  unhappy: the guest did not like it

# About three, as different from one another as the inputs you expect: their lengths set what is kept.
examples:
  - input: The room was spotless and the view over the harbour alone was worth the price.
    output: happy
  - input: We asked twice for towels and nobody came.
    output: unhappy
  - input: >-
      It took an hour to check in. After that, though, everybody was kind to us, and the breakfast was the best
      that we had on the whole trip.
    output: happy
  - input: Never again. The wall was so thin that I heard every word of the film next door.
    output: unhappy
"""

    def check(self, labels: Sequence[str], answers: Sequence[str]) -> None:
        """Require two labels that differ, and examples that have them."""
        if len(labels) < 2:
            raise ValueError("labels: a classification task needs at least two")
        folded = [fold(label) for label in labels]
        if len(set(folded)) < len(folded):
            raise ValueError("labels: two of them are the same after folding case and white space")
        for number, answer in enumerate(answers):
            if fold(answer) not in folded:
                raise ValueError(f"examples.{number}.output: {answer[:_SHOWN]!r} is not one of the labels")

    def parse(self, text: str, labels: Sequence[str]) -> str | None:
        """Return the label that occurs last in a text as whole words, or None."""
        return last_label(text, labels)

    def score(self, text: str, references: Sequence[str], labels: Sequence[str]) -> float:
        """Return 1 where the label in a text is a right one, else 0; without a label the whole text is compared."""
        return exact_match(_last_label(text, tuple(labels)) or text, references)

    def accepts(self, answer: str, labels: Sequence[str]) -> bool:
        """Tell whether an answer is a label, case, punctuation and white space folded."""
        known = _forms(tuple(labels))
        return normalize(answer) in known or fold(answer) in known


@lru_cache(maxsize=100)
def _forms(labels: tuple[str, ...]) -> frozenset[str]:
    return frozenset(form for label in labels for form in (normalize(label), fold(label)))


@lru_cache(maxsize=100_000)  # a model repeats its answers
def _last_label(text: str, labels: tuple[str, ...]) -> str | None:
    return last_label(text, labels)
