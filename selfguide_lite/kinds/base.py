"""What all kinds of task have in common, and the defaults that follow from a kind's properties."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from selfguide_lite.core.settings import Settings
from selfguide_lite.fields import Schema

_ROUNDS_FOR_PAIRS = 100  # at most, where a number of pairs is the goal and no number of rounds is given


class TaskKind(ABC):
    """What a kind of task means.

    Four properties are kept in the database (table `kind`), since the views ask for them.
    """

    summary: ClassVar[str]
    """What its answers are, in a few words."""
    metric: ClassVar[str]
    """Name of the metric that `score` computes."""
    labelled: ClassVar[bool] = False
    """Whether its tasks have labels, one of which is the answer: then labels are scored, calibrated, asked for."""
    parsed: ClassVar[bool] = False
    """Whether an answer must be found in a text (`parse`): a text without one is rejected by the filter `label`."""
    balanced: ClassVar[bool] = False
    """Whether the dataset gets as many pairs of each answer, where the setting `balance` does not say otherwise."""
    structured: ClassVar[bool] = False
    """Whether an answer is an object of the task's schema: decoding keeps to it, and answers vote field by field."""
    starter: ClassVar[str]
    """Instruction and examples (and labels) of a task that runs as it is, as YAML, for `selfguide init`."""

    def of(self, schema: Schema | None) -> Self:
        """Return the kind for one task.

        :param schema: of a structured answer, every size filled in
        """
        return self

    @abstractmethod
    def check(self, labels: Sequence[str], answers: Sequence[str]) -> None:
        """Check what a task needs.

        :param answers: those of its examples
        :raises ValueError: `FIELD: what is wrong`
        """

    @abstractmethod
    def parse(self, text: str, labels: Sequence[str]) -> str | None:
        """Return the answer that a text gives, so that equal answers are equal texts; None: the text as it is."""

    @abstractmethod
    def score(self, text: str, references: Sequence[str], labels: Sequence[str]) -> float:
        """Return how good an answer is, from 0 to 1, against the best of several right answers."""

    def accepts(self, answer: str, labels: Sequence[str]) -> bool:
        """Tell whether a right answer of an evaluation row has a form that this kind can score."""
        return True

    def defaults(self, settings: Settings) -> dict[str, Any]:
        """Return values for settings that were left open, by the properties of the kind.

        :param settings: what was given
        """
        method = settings.method or ("score" if self.labelled else "greedy")
        conditioned = self.labelled and settings.label_condition
        return {
            "direction": "input-first",
            "method": method,
            "annotate_each_round": conditioned and method == "score",
            "output_length_filter": not self.parsed,
            "label_named_filter": self.labelled,
            "calibrate": method == "score",
            "agreement_filter": conditioned,
            "balance": self.balanced,
        }

    def resolve(self, settings: Settings) -> Settings:
        """Return settings with the kind's defaults for what was left open."""
        filled = {name: value for name, value in self.defaults(settings).items() if getattr(settings, name) is None}
        if settings.pairs is not None and "rounds" not in settings.model_fields_set:
            filled["rounds"] = _ROUNDS_FOR_PAIRS
        return settings.model_copy(update=filled)
