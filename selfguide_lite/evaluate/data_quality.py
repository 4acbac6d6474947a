"""How good the data is, by what people said of a random sample of it."""

from dataclasses import dataclass

from selfguide_lite.evaluate.statistics import Interval, wilson
from selfguide_lite.store import Store
from selfguide_lite.store.reviews import NO_FILTER, judged


@dataclass(frozen=True, slots=True)
class Quality:
    """A part of the data, judged.

    :param name: `kept`, `dropped`, or the name of the filter that dropped it
    :param n: inputs that were judged
    :param right: of these, how many were right as they were: for a dropped one, dropped without need
    :param share: right over n, with its 95 % interval (Wilson)
    """

    name: str
    n: int
    right: int
    share: Interval

    @property
    def sentence(self) -> str:
        """What a person is told, in one line."""
        what = {"kept": "kept pairs are right", "dropped": "dropped ones were good"}.get(
            self.name, f"that {self.name} dropped were good"
        )
        share = self.share
        return f"{self.right} of {self.n} {what}: {share.mean:.0%} ({share.low:.0%} to {share.high:.0%})"


def data_quality(store: Store, task_id: int) -> list[Quality]:
    """Return the quality of kept pairs, of all that filters dropped, and of what each filter dropped."""
    rows = judged(store, task_id)
    kept = [row for row in rows if row.reason is None]
    dropped = [row for row in rows if row.reason is not None and row.reason not in NO_FILTER]
    parts = [("kept", sum(row.n for row in kept), sum(row.right for row in kept))]
    parts.append(("dropped", sum(row.n for row in dropped), sum(row.right for row in dropped)))
    parts += [(str(row.reason), row.n, row.right) for row in dropped]
    return [Quality(name, n, right, wilson(right, n)) for name, n, right in parts if n]
