"""Reads the pairs to train on, and what the filters and the vote made of the generated texts."""

from collections.abc import Iterator

from selfguide_lite.core.progress import FunnelRow
from selfguide_lite.store.rows import Agreement, LabelCount, LengthBound, Pair
from selfguide_lite.store.tasks import TaskStore

# In the order in which a text goes through them; what goes on to the next stage stands last, what had no chance first.
FUNNEL_STAGES = ("input", "output", "answer", "dataset")
_FUNNEL_ENDS = {"unanswered": -2, "no valid answer": -1, "kept": 1}


class DatasetStore(TaskStore):
    """The views `dataset`, `funnel`, `agreement` and `length_bound`."""

    def pairs(self, task_id: int) -> list[Pair]:
        """Return the view `dataset`: the pairs to train on, in the order of round and prompt."""
        return list(self.each_pair(task_id))

    def each_pair(self, task_id: int) -> Iterator[Pair]:
        """Yield what `pairs` returns, one by one: a file of many needs no memory for all."""
        rows = self._each(
            "SELECT d.input_id, d.input, d.output, d.by_hand FROM dataset AS d JOIN input AS i ON i.id = d.input_id"
            " WHERE d.task_id = ? ORDER BY i.round, i.prompt, i.id",
            task_id,
        )
        return (Pair(*row) for row in rows)

    def pair_count(self, task_id: int) -> int:
        """Return how many pairs there are."""
        return int(self._value("SELECT count(*) FROM dataset WHERE task_id = ?", task_id))

    def funnel(self, task_id: int) -> list[FunnelRow]:
        """Return the counts by stage and reason, from prompts sent to pairs kept."""
        rows = self._rows("SELECT stage, reason, n FROM funnel WHERE task_id = ?", task_id)
        rows.sort(key=lambda row: (FUNNEL_STAGES.index(row[0]), _FUNNEL_ENDS.get(row[1], 0)))
        return [FunnelRow(*row) for row in rows]

    def agreement(self, task_id: int) -> Agreement:
        """Return whether the labels that were asked for and those that were answered go together."""
        rows = self._rows(
            "SELECT asked, agreeing, expected, rarest, enabled, fallback FROM agreement WHERE task_id = ?", task_id
        )
        if not rows:
            return Agreement(0, 0, 0.0, 0, bool(self.settings(task_id).get("agreement_filter")), False)
        asked, agreeing, expected, rarest, enabled, fallback = rows[0]
        return Agreement(asked, agreeing, expected, rarest, bool(enabled), bool(fallback))

    def length_bounds(self, task_id: int) -> list[LengthBound]:
        """Return the length intervals in force for inputs and outputs."""
        rows = self._rows(
            "SELECT part, n, mean, deviation, low, high, enabled, rule FROM length_bound WHERE task_id = ?"
            " ORDER BY part",
            task_id,
        )
        return [
            LengthBound(part, n, mean, deviation, low, high, bool(enabled), rule)
            for part, n, mean, deviation, low, high, enabled, rule in rows
        ]

    def label_balance(self, task_id: int) -> list[LabelCount]:
        """Return for every label of a classification task how many answers and how many pairs have it."""
        rows = self._rows(
            "SELECT l.text, ifnull(a.n, 0), ifnull(d.n, 0) FROM label AS l"
            " LEFT JOIN (SELECT answer, count(*) AS n FROM answer_verdict WHERE task_id = ? GROUP BY answer) AS a"
            " ON a.answer = l.text"
            " LEFT JOIN (SELECT output, count(*) AS n FROM dataset WHERE task_id = ? GROUP BY output) AS d"
            " ON d.output = l.text WHERE l.task_id = ? ORDER BY l.number",
            task_id,
            task_id,
            task_id,
        )
        return [LabelCount(*row) for row in rows]
