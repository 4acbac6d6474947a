"""The two stages in which a model writes its own training data: new inputs, and answers to them."""

from dataclasses import replace

from selfguide_lite.core.progress import NullListener
from selfguide_lite.core.settings import Settings
from selfguide_lite.llm.base import Engine
from selfguide_lite.methods.asking import check_room
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Store
from selfguide_lite.synthesis.annotate import annotate, check_method, samples_of
from selfguide_lite.synthesis.generate import generate, inputs_left
from selfguide_lite.synthesis.goal import may_end
from selfguide_lite.synthesis.objects import writes_output_first

__all__ = ["annotate", "generate", "is_synthesized", "synthesize"]


def synthesize(context: RunContext, engine: Engine) -> None:
    """Write a task's inputs and answer them: after every round, or at the end.

    It is after every round where `annotate_each_round` is on, and where a number of pairs is the goal.

    :raises SelfguideError: as `generate` and `annotate`; where an object of the task's schema does not fit
    """
    check_method(context.task, context.settings)
    writes_output_first(context.task, context.settings)
    check_room(engine, context.task, context.settings.output_max_tokens)
    quiet = replace(context, listener=NullListener())

    def answer() -> None:
        annotate(quiet, engine)

    settings = context.settings
    generate(context, engine, answer if settings.annotate_each_round or settings.pairs is not None else None)
    annotate(context, engine)


def is_synthesized(store: Store, task_id: int, settings: Settings) -> bool:
    """Whether there is nothing left to write and every kept input has its answers, so that no model is needed.

    :param settings: resolved for the task's kind
    """
    if store.unanswered(task_id, settings.method or "sample", samples_of(settings)):
        return False
    left = inputs_left(store, task_id, settings)
    if not left or settings.pairs is None:
        return not left
    return may_end(settings, next(iter(left.values()))) and store.pair_count(task_id) >= settings.pairs
