"""One way of asking a loaded model, as it is evaluated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from selfguide_lite.methods.asking import Ask
from selfguide_lite.methods.names import AnswerForm
from selfguide_lite.prompts import Prompts


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and under which names it is kept.

    :param method: its name in the table `evaluation`, such as `few-shot`; for several forms of answers the family's
    :param ask: makes the prompt for an input; None: the one that annotation and finetuning use
    :param answers: `free` for greedy text, `constrained` for greedy text that is an object of the task's schema,
        `scored` for the label with the largest probability
    :param prompt: the name under which this way's mean answer is kept, such as `few-shot` or `bare`
    :param adapter_id: the loaded adapter in the store; None for the plain model
    :param details: what tells this evaluation from another of the same method, such as the number of pairs
    """

    method: str
    ask: Ask | None = None
    answers: AnswerForm = "free"
    prompt: str = "few-shot"
    adapter_id: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def prompt_maker(self, prompts: Prompts) -> Ask:
        """Return what makes the prompt for an input."""
        return self.ask or prompts.annotate
