"""A listener that passes everything on, and pauses the work while the battery is low."""

from collections.abc import Sequence

from selfguide_lite.core.battery import BatteryGuard
from selfguide_lite.core.progress import FunnelRow, Listener, Stage, TrainStep


class Pausing:
    """Work pauses where it tells of progress; all that was done until then is in the store.

    :param guard: what looks at the battery
    """

    def __init__(self, inner: Listener, guard: BatteryGuard):
        self._inner = inner
        self._guard = guard

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        self._inner.start(stage, total, done)

    def advance(
        self, stage: Stage, done: int, tokens: int = 0, kept: int | None = None, text: str | None = None
    ) -> None:
        self._inner.advance(stage, done, tokens, kept, text)
        self._guard.wait_while_low()

    def step(self, step: TrainStep) -> None:
        self._inner.step(step)

    def funnel(self, rows: Sequence[FunnelRow]) -> None:
        self._inner.funnel(rows)

    def done(self, stage: Stage, summary: str) -> None:
        self._inner.done(stage, summary)

    def note(self, message: str) -> None:
        self._inner.note(message)
