"""How far the writing of inputs is, and when it is enough: all prompts, or as many pairs as are wanted."""

from collections.abc import Sequence

from selfguide_lite.core.settings import Settings
from selfguide_lite.run_context import RunContext


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

    def enough(self, next_round: Sequence[int]) -> bool:
        """Take in the answers of all inputs so far, and tell whether there are as many pairs as are wanted.

        :param next_round: as for `may_end`
        """
        if self._goal is None:
            return False
        self._pairs = self._count()
        self._context.listener.advance("generate", self._pairs)
        return self._pairs >= self._goal and may_end(self._context.settings, next_round)

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


def may_end(settings: Settings, next_round: Sequence[int]) -> bool:
    """Return whether writing may end before a round, should there be as many pairs as are wanted.

    :param next_round: the prompts of the next round that are left; a round that has begun is written to its end, so
        that a run that was stopped ends where one left alone would have ended
    """
    return settings.pairs is not None and len(next_round) >= settings.prompts_per_round
