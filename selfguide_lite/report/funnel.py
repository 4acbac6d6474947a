"""The funnel in words: what entered a stage, what was kept, what was dropped and why. Knows nothing of terminals."""

from collections.abc import Sequence
from dataclasses import dataclass

from selfguide_lite.core.progress import FunnelRow

KEPT = "kept"
_STAGES = ("input", "output", "answer", "dataset")
_OPEN = ("unanswered",)  # neither kept nor dropped so far


@dataclass(frozen=True, slots=True)
class FunnelStage:
    """What became of the texts that entered a stage.

    :param entered: kept, dropped and open ones
    :param dropped: reasons with their numbers, the most frequent first
    :param waiting: those that the stage has not come to
    """

    name: str
    entered: int
    kept: int
    dropped: tuple[tuple[str, int], ...]
    waiting: int

    @property
    def share(self) -> float:
        """Of what entered, the part that was kept."""
        return self.kept / self.entered if self.entered else 0.0


def funnel_stages(rows: Sequence[FunnelRow]) -> list[FunnelStage]:
    """Return the stages in their order, those that are not of the funnel last."""
    names = sorted(
        dict.fromkeys(row.stage for row in rows), key=lambda name: _STAGES.index(name) if name in _STAGES else 9
    )
    stages = []
    for name in names:
        here = [row for row in rows if row.stage == name and row.n]
        dropped = sorted(
            ((row.reason, row.n) for row in here if row.reason != KEPT and row.reason not in _OPEN),
            key=lambda lost: (-lost[1], lost[0]),
        )
        kept = sum(row.n for row in here if row.reason == KEPT)
        waiting = sum(row.n for row in here if row.reason in _OPEN)
        entered = kept + waiting + sum(n for _, n in dropped)
        stages.append(FunnelStage(name, entered, kept, tuple(dropped), waiting))
    return stages


def outcome(reason: str) -> str:
    """Return what a reason means for a text: `kept`, `dropped: length`, `unanswered`."""
    return reason if reason == KEPT or reason in _OPEN else f"dropped: {reason.replace('_', ' ')}"


def parts(stage: FunnelStage) -> list[str]:
    """Return what became of a stage's texts: `395 of 400 kept`, `dropped: 3 duplicate`, `2 length`, `5 unanswered`."""
    lost = [f"{n:,} {reason.replace('_', ' ')}" for reason, n in stage.dropped]
    if lost:
        lost[0] = f"dropped: {lost[0]}"
    waiting = [f"{stage.waiting:,} unanswered"] if stage.waiting else []
    return [f"{stage.kept:,} of {stage.entered:,} kept", *lost, *waiting]
