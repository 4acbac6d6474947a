"""What is known of a running job: counts, rates and the time left. Draws nothing.

The time left is right within a third once a tenth is done, also for an engine that finishes in bursts and for the slow
first step of a training.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from selfguide_lite.core.progress import FunnelRow, Stage, TrainStep

Status = Literal["ahead", "running", "done"]
_RATE_WINDOW = 10.0  # seconds over which tokens per second are counted
_MARKS = 400  # remembered points of progress


@dataclass(slots=True)
class StageState:
    """One stage and its progress.

    :param first: units that were in the store when the stage began
    :param judged: how many were done when `kept` was last told
    :param started: the clock's seconds
    """

    name: Stage
    status: Status = "ahead"
    total: int = 0
    first: int = 0
    done: int = 0
    kept: int | None = None
    judged: int = 0
    text: str | None = None
    summary: str = ""
    started: float = 0.0
    ended: float = 0.0
    losses: list[float] = field(default_factory=list)
    last_step: TrainStep | None = None
    marks: list[tuple[float, int]] = field(default_factory=list)
    tokens: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def kept_share(self) -> float | None:
        """Share of the finished units that the filters kept, None where unknown."""
        return None if self.kept is None or not self.judged else min(1.0, self.kept / self.judged)

    def seconds(self, now: float) -> float:
        """Seconds since the stage began, or those it took."""
        return (self.ended if self.status == "done" else now) - self.started

    def tokens_per_second(self, now: float) -> float | None:
        """Tokens a second over the last few seconds, None before anything was generated."""
        if self.last_step is not None:
            return self.last_step.tokens_per_second
        while self.tokens and self.tokens[0][0] < now - _RATE_WINDOW:
            self.tokens.popleft()
        span = min(_RATE_WINDOW, now - self.started)
        return sum(n for _, n in self.tokens) / span if self.tokens and span > 0 else None

    def seconds_left(self, now: float) -> float | None:
        """Estimated seconds to go, None before there is ground for an estimate.

        The rate is taken from the later three quarters of what this process did. So neither the load of a first step
        nor the requests that a batch has in flight before its first result count as slow progress.
        """
        if self.status != "running" or not self.marks or self.done >= self.total:
            return None
        threshold = self.first + (self.done - self.first) / 4
        start, at = next((mark for mark in self.marks if mark[1] >= threshold), self.marks[-1])
        end, done = self.marks[-1]
        if done <= at or end <= start:
            if done <= self.first:
                return None
            start, at = self.started, self.first  # a single mark: all that is known
        rate = (done - at) / max(end - start, 1e-9)
        return max(0.0, (self.total - done) / rate - (now - end))

    def mark(self, now: float) -> None:
        """Remember where progress stands; old marks thin out."""
        if self.marks and self.marks[-1][1] == self.done:
            return
        self.marks.append((now, self.done))
        if len(self.marks) > _MARKS:
            self.marks[:] = self.marks[:1] + self.marks[2::2]


class JobState:
    """All stages of a job. It is a listener that remembers and says nothing.

    :param stages: those foreseen, shown as ahead; another one is added when it starts
    :param clock: seconds that only go forward
    """

    def __init__(self, stages: Sequence[Stage] = (), clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.stages: dict[Stage, StageState] = {name: StageState(name) for name in stages}
        self.rows: tuple[FunnelRow, ...] = ()

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        """See `Listener.start`. A stage that starts again, as the second evaluation does, begins again."""
        now = self.clock()
        self.stages[stage] = StageState(stage, "running", total=total, first=done, done=done, started=now)

    def advance(
        self, stage: Stage, done: int, tokens: int = 0, kept: int | None = None, text: str | None = None
    ) -> None:
        """See `Listener.advance`."""
        state = self._running(stage)
        now = self.clock()
        state.done = done
        if kept is not None:
            state.kept, state.judged = kept, done
        state.text = state.text if text is None else text
        if tokens:
            state.tokens.append((now, tokens))
        state.mark(now)

    def step(self, step: TrainStep) -> None:
        """See `Listener.step`."""
        state = self._running("train")
        state.done, state.total, state.last_step = step.step, step.total, step
        if math.isfinite(step.loss):
            state.losses.append(step.loss)
        state.mark(self.clock())

    def funnel(self, rows: Sequence[FunnelRow]) -> None:
        """See `Listener.funnel`."""
        self.rows = tuple(rows)

    def done(self, stage: Stage, summary: str) -> None:
        """See `Listener.done`."""
        now = self.clock()
        state = self.stages.setdefault(stage, StageState(stage, started=now))
        if state.status == "ahead":
            state.started = now
        state.status, state.summary, state.ended = "done", summary, now

    def note(self, message: str) -> None:
        """See `Listener.note`."""

    def _running(self, stage: Stage) -> StageState:
        state = self.stages.setdefault(stage, StageState(stage, started=self.clock()))
        if state.status != "running":
            state.status, state.started = "running", self.clock()
        return state
