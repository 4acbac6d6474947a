"""How far the writing of inputs is, and when it is enough: all prompts, or as many pairs as are wanted."""

from collections.abc import Sequence

from selfguide_lite.core.settings import Settings
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Store


class Progress:
    """Tells how far the writing is: in prompts, or in pairs where their number is the goal.

    :param total: prompts of all rounds
    :param ready: those that were answered before
    """

    def __init__(self, context: RunContext, total: int, ready: int):
        self._context, self._total, self.ready = context, total, ready
        self._goal, self._pairs = context.settings.pairs, 0

    def start(self) -> None:
        """Say how much is to be done."""
        if self._goal is None:
            self._context.listener.start("generate", self._total, self.ready)
            return
        self._pairs = self._count()
        self._context.listener.start("generate", self._goal, self._pairs)

    def answered(self) -> None:
        """Take in that all inputs so far have their answers."""
        if self._goal is not None:
            self._pairs = self._count()
            self._context.listener.advance("generate", self._pairs)

    def written(self, tokens: int) -> None:
        """Take in one more input of so many tokens."""
        self.ready += 1
        self._context.listener.advance("generate", self.ready if self._goal is None else self._pairs, tokens)

    def kept(self, count: int, newest: str | None) -> None:
        """Take in how many inputs passed the filters, and the newest of them."""
        done = self.ready if self._goal is None else self._pairs
        self._context.listener.advance("generate", done, 0, count, newest)

    def _count(self) -> int:
        return min(self._context.store.pair_count(self._context.task_id), self._goal or 0)


def enough_pairs(store: Store, task_id: int, settings: Settings, next_round: Sequence[int]) -> bool:
    """Return whether the dataset has as many pairs as are wanted.

    :param next_round: the prompts of the next round that are left; a round that has begun is written to its end, so
        that a run that was stopped ends where one left alone would have ended
    """
    if settings.pairs is None or len(next_round) < settings.prompts_per_round:
        return False
    return store.pair_count(task_id) >= settings.pairs
