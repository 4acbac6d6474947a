"""One way of asking a loaded model, as it is evaluated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from selfguide_lite.methods.asking import FULL, Ask, answer_prompt
from selfguide_lite.methods.names import AnswerForm
from selfguide_lite.prompts import Prompts, PromptTemplate


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and under which names it is kept.

    :param method: its name in the table `evaluation`, such as `few-shot`; for several forms of answers the family's
    :param style: name of the answer style that prompts are made in
    :param ask: makes the prompt for an input in place of the style, from the same template
    :param answers: `free` for greedy text, `constrained` for greedy text that is an object of the task's schema,
        `scored` for the label with the largest probability
    :param prompt: the name under which this way's mean answer is kept, such as `few-shot` or `bare`
    :param adapter_id: the loaded adapter in the store; None for the plain model
    :param details: what tells this evaluation from another of the same method, such as the number of pairs
    """

    method: str
    style: str = FULL
    ask: Ask | None = None
    answers: AnswerForm = "free"
    prompt: str = FULL
    adapter_id: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def prompt_maker(self, prompts: Prompts) -> Ask:
        """Return what makes the prompt for an input."""
        return self.ask or answer_prompt(prompts, self.style)

    def template(self, prompts: Prompts) -> PromptTemplate:
        """Return the template of its prompts."""
        return prompts.answer_template(self.style)
