"""The two stages in which a model writes its own training data: new inputs, and answers to them."""

from selfguide_lite.settings import Settings
from selfguide_lite.store import Store
from selfguide_lite.synthesis.annotate import annotate
from selfguide_lite.synthesis.generate import generate, inputs_left

__all__ = ["annotate", "generate", "is_synthesized"]


def is_synthesized(store: Store, task_id: int, settings: Settings) -> bool:
    """Whether every prompt has been answered and every kept input has its answers, so that no model is needed.

    :param settings: resolved for the task's kind
    """
    return not inputs_left(store, task_id, settings) and not store.unanswered(
        task_id, settings.method or "sample", settings.samples
    )
