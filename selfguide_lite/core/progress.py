"""What a running job tells whoever watches it. The terminal's display and the plain lines are two listeners."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Stage = Literal["generate", "annotate", "train", "export", "evaluate"]


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """A row of the view `funnel`: n texts of a stage that ended for a reason (`kept` for those that stayed)."""

    stage: str
    reason: str
    n: int


@dataclass(frozen=True, slots=True)
class TrainStep:
    """One optimizer step, as the table `train_step` keeps it.

    :param loss: mean cross-entropy of the answer tokens, natural log
    :param memory: bytes, of the process on a CPU, of the card's allocator on CUDA
    """

    step: int
    total: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    memory: int


class Listener(Protocol):
    """Told what happens, in this order: start, any number of advance or step, done; for each stage that has work."""

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        """A stage begins: `done` of `total` units were already in the store."""
        ...

    def advance(
        self, stage: Stage, done: int, tokens: int = 0, kept: int | None = None, text: str | None = None
    ) -> None:
        """Now `done` units are ready; `tokens` were generated since the last call; `text` is the newest kept one."""
        ...

    def step(self, step: TrainStep) -> None:
        """Training made a step."""
        ...

    def funnel(self, rows: Sequence[FunnelRow]) -> None:
        """The funnel now."""
        ...

    def done(self, stage: Stage, summary: str) -> None:
        """A stage ended, or was skipped because its work was in the store."""
        ...

    def note(self, message: str) -> None:
        """One line worth reading."""
        ...


class NullListener:
    """A listener that says nothing (`--quiet`, and the default of the Python API)."""

    def start(self, stage: Stage, total: int, done: int = 0) -> None: ...

    def advance(
        self, stage: Stage, done: int, tokens: int = 0, kept: int | None = None, text: str | None = None
    ) -> None: ...

    def step(self, step: TrainStep) -> None: ...

    def funnel(self, rows: Sequence[FunnelRow]) -> None: ...

    def done(self, stage: Stage, summary: str) -> None: ...

    def note(self, message: str) -> None: ...
