"""How an answer is asked for, with the examples before the input or bare: evaluation and `predict` share it."""

from collections.abc import Callable, Mapping
from typing import Protocol

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.fields import Schema
from selfguide_lite.llm.base import Engine
from selfguide_lite.methods.names import FEW_SHOT, ZERO_SHOT
from selfguide_lite.prompts import Prompts
from selfguide_lite.task import Task

Ask = Callable[[Task, str], tuple[Message, ...]]
FULL = "few-shot"  # the answer style that tells a model most of the task: a teacher is asked in it
PROMPTED: Mapping[str, str] = {ZERO_SHOT: "bare", FEW_SHOT: FULL}  # the style of each family that asks the plain model


class Room(Protocol):
    """What knows how many tokens a model takes: an engine, or a counter without weights."""

    @property
    def n_ctx(self) -> int:
        """Tokens of prompt and answer at most."""
        ...

    def smallest_object(self, schema: Schema) -> int:
        """Return how many tokens the smallest object of a schema takes at most."""
        ...


def answer_prompt(prompts: Prompts, style: str) -> Ask:
    """Return what makes the prompt for an input of a task.

    :param style: name of an answer style: `few-shot` shows the task's examples, `bare` the instruction alone
    """
    return lambda task, text: prompts.answer(task, text, style)


def is_taught(task: Task, style: str, *, teacher: bool) -> bool:
    """Tell whether a model learns from a finetuned teacher: labels, and another prompt than the full one.

    :param style: the model's own answer style
    :param teacher: the setting of that name
    """
    return teacher and task.rules.labelled and style != FULL


def prepare(engine: Engine, task: Task, ask: Ask) -> None:
    """Have what all prompts for a task's inputs begin with at hand: the instruction, and the examples where shown."""
    engine.prepare(ask(task, "A"), ask(task, "0"))


def check_room(engine: Room, task: Task, max_tokens: int) -> None:
    """Check that the smallest object of a task's schema fits into an answer, where its answers are objects.

    :param max_tokens: of an answer at most
    :raises SelfguideError: where it does not, or the model's vocabulary cannot write every object
    """
    if task.answer_schema is None:
        return
    least = engine.smallest_object(task.answer_schema)
    if least > max_tokens:
        raise SelfguideError(
            f"task {task.name}: the smallest object of its schema takes up to {least:,} tokens, more than the "
            f"{max_tokens:,} that output_max_tokens allows: raise it, or take fewer or shorter fields"
        )
    if least + 1 >= engine.n_ctx:
        raise SelfguideError(
            f"task {task.name}: the smallest object of its schema takes up to {least:,} tokens, and the model's "
            f"context holds {engine.n_ctx:,}: take fewer or shorter fields, or a larger context"
        )
