"""How an answer is asked for, with the examples before the input or bare: evaluation and `predict` share it."""

from collections.abc import Callable

from selfguide_lite.core.messages import Message
from selfguide_lite.prompts import Prompts
from selfguide_lite.task import Task

Ask = Callable[[Task, str], tuple[Message, ...]]


def answer_prompt(prompts: Prompts, style: str) -> Ask:
    """Return what makes the prompt for an input of a task.

    :param style: name of an answer style: `few-shot` shows the task's examples, `bare` the instruction alone
    """
    return lambda task, text: prompts.answer(task, text, style)
