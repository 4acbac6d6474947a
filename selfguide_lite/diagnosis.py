"""Why few texts, or none, became pairs to train on, and what may help: one table of advice, by reason for rejection.

Knows the counts of the view `funnel`, nothing of the store they come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from selfguide_lite.core.progress import FunnelRow

ADVICE = {
    "empty": "a model in the chat format of its GGUF file; `selfguide doctor` shows it",
    "noise": "remove noise terms that your texts need (noise_terms in the task file), or a larger model",
    "length": "examples of more varied lengths, --set length_factor=5, or --set input_length_filter=false",
    "given": "--set given_weight=1, so that rows of your own count",
    "review": "`selfguide review`, which shows what was rejected by hand",
    "label_gone": "`selfguide run --rename OLD=NEW` where a label only has another name now",
    "echo": "more examples, or a higher --set input_temperature",
    "duplicate": "a higher --set input_temperature, or more examples",
    "label": "clearer labels, --set method=score, or a larger model",
    "schema": "a server that keeps to a json_schema, or a model file, whose answers always fit the schema",
    "ungrounded": "`verbatim` only for fields that the input spells as the answer does, or a larger model",
    "label_named": "examples that name the labels too, or --set label_named_filter=false",
    "share": "a lower --set min_vote_share, or a larger model",
    "disagreement": (
        "what each label means (labels in the task file), more examples, --set agreement_filter=false, a larger model"
    ),
    "confidence": "a lower --set min_confidence, or a larger model",
    "balance": "more rounds: the label with the fewest answers limits the others",
    "unanswered": "`selfguide annotate`, which answers the kept inputs",
}
_OF_OWN_FILTERS = "more varied examples, a larger model, or more rounds"
_NO_LOSS = ("kept", "no valid answer")  # the latter counts inputs whose outputs are all counted by their own reasons
_NOUNS = {"dataset": "pair"}
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Loss:
    """Texts of a stage that were rejected for one reason.

    :param n: how many
    """

    stage: str
    reason: str
    n: int

    @property
    def advice(self) -> str:
        """What may help against it."""
        return ADVICE.get(self.reason, _OF_OWN_FILTERS)

    def __str__(self) -> str:
        many = "" if self.n == 1 else "s"
        if self.reason == "unanswered":
            return f"{self.n:,} kept input{many} not answered yet"
        return f"{self.n:,} {_NOUNS.get(self.stage, self.stage)}{many} lost to {self.reason}"


def losses(funnel: Sequence[FunnelRow]) -> list[Loss]:
    """Return what was lost between prompts and pairs, the largest number first."""
    lost = [Loss(row.stage, row.reason, row.n) for row in funnel if row.n and row.reason not in _NO_LOSS]
    return sorted(lost, key=lambda loss: -loss.n)


def no_pairs(task_name: str, funnel: Sequence[FunnelRow]) -> str:
    """Say in one line where all texts were lost, and what may help against the commonest reason."""
    lost = losses(funnel)
    if not lost:
        return f"task {task_name}: no pairs to train on, since nothing was written; `selfguide generate` writes inputs"
    return f"task {task_name}: no pair survived the filters ({_listed(lost)}). What may help: {lost[0].advice}"


def one_answer(task_name: str, answer: str, pairs: int, funnel: Sequence[FunnelRow]) -> str:
    """Say in one line that all pairs of a classification task have one label, and what may help."""
    lost = losses(funnel)
    why = f" ({_listed(lost)})" if lost else ""
    advice = f", or {lost[0].advice}" if lost else ""
    return (
        f"task {task_name}: all {pairs} pairs have the same answer {answer!r}, so there is nothing to learn{why}. "
        f"`selfguide dataset` shows them. What may help: more rounds{advice}"
    )


def no_new_inputs(rounds: int, kept: int, funnel: Sequence[FunnelRow]) -> str:
    """Say in one line why no more inputs are asked for, and what may help.

    :param rounds: the last ones, none of which added an input
    :param kept: inputs that passed the filters
    """
    lost = losses([row for row in funnel if row.stage == "input"])
    why = f" ({_listed(lost)})" if lost else ""
    advice = f"What may help: {lost[0].advice}; " if lost else ""
    return (
        f"the last {rounds} rounds added nothing, so no more inputs are asked for: {kept:,} are kept{why}. "
        f"{advice}--set patience_rounds tries for longer"
    )


def _listed(lost: Sequence[Loss]) -> str:
    return ", ".join(map(str, lost[:_SHOWN]))
