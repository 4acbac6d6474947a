"""Ways to ask for an answer, one file each: what stands before the input, and where. Found as input styles are."""

from collections.abc import Sequence
from typing import Protocol

from selfguide_lite.core.registry import ANSWER_STYLES
from selfguide_lite.task import Example, Task

USUAL_TEMPLATE = "annotate"  # the instruction, examples and the input as turns of a chat


class AnswerStyle(Protocol):
    """How an answer is asked for, in training and afterwards.

    A style whose prompt is made by another template than `annotate` has its name in `template`, or the path of the file
    where another package brings the style.
    """

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


def answer_template(name: str) -> str:
    """Return what names the template of a style's prompts."""
    return str(getattr(answer_style(name), "template", USUAL_TEMPLATE))


def hidden_examples(task: Task, name: str) -> list[Example]:
    """Return the task's examples that a style's prompts do not show."""
    style = answer_style(name)
    return [one for one in task.examples if one not in style.examples(task, one.input)]
