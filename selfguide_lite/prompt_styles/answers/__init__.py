"""Ways to ask for an answer, one file each: which examples stand before the input. Found as input styles are."""

from collections.abc import Sequence
from typing import Protocol

from selfguide_lite.core.registry import ANSWER_STYLES
from selfguide_lite.task import Example, Task


class AnswerStyle(Protocol):
    """How an answer is asked for, in training and afterwards."""

    summary: str
    """What it is, in a few words."""

    def examples(self, task: Task, text: str) -> Sequence[Example]:
        """Return the examples that are shown before an input, in their order.

        :param text: the input; what is the same for all inputs is computed once by the engines
        """
        ...


def answer_style(name: str) -> AnswerStyle:
    """Return a style by its name, such as `few-shot`.

    :raises SelfguideError: where there is none; settings are checked before
    """
    style: AnswerStyle = ANSWER_STYLES.get(name)
    return style


def hidden_examples(task: Task, name: str) -> list[Example]:
    """Return the task's examples that a style's prompts do not show."""
    style = answer_style(name)
    return [one for one in task.examples if one not in style.examples(task, one.input)]
