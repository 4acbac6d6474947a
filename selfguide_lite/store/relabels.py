"""Reads and writes the second opinion on labels: the scores that the finetuned model gives them."""

from collections.abc import Iterable

from selfguide_lite.store.rows import Relabel, ScoredInput
from selfguide_lite.store.runs import NewRun, RunStore
from selfguide_lite.store.stored_values import NOW, finite

_SCORED = (
    " FROM input_verdict AS v JOIN input AS i ON i.id = v.id"
    " JOIN output AS o ON o.input_id = i.id AND o.method = 'score' AND o.label IS NOT NULL"
)


class RelabelStore(RunStore):
    """The table `relabel`: at most one row for each scored label, all of a task made by one run."""

    def scored_inputs(self, task_id: int) -> list[ScoredInput]:
        """Return the kept inputs whose labels were scored, in the order of round and prompt."""
        rows = self._rows(
            f"SELECT i.id, i.text, o.label, o.id, o.weight{_SCORED}"
            " WHERE v.task_id = ? AND v.reason IS NULL ORDER BY i.round, i.prompt, i.id, o.sample",
            task_id,
        )
        found: dict[int, ScoredInput] = {}
        for input_id, text, label, output_id, share in rows:
            shown = found.setdefault(input_id, ScoredInput(input_id, text, {}, {}))
            shown.outputs[label], shown.shares[label] = output_id, share
        return list(found.values())

    def relabelled_by(self, task_id: int) -> int | None:
        """Return the id of the adapter that has scored all labels of the kept inputs; None where some are missing."""
        rows = self._rows(
            "SELECT DISTINCT r.adapter_id" + _SCORED + " LEFT JOIN relabel AS l ON l.output_id = o.id"
            " LEFT JOIN run AS r ON r.id = l.run_id WHERE v.task_id = ? AND v.reason IS NULL",
            task_id,
        )
        return None if len(rows) != 1 or rows[0][0] is None else int(rows[0][0])

    def replace_relabels(self, run: NewRun, new: Iterable[Relabel]) -> None:
        """Put the finetuned model's scores in the place of any that the task has, all of them or none."""
        run_id = self._insert_run(run)
        rows = [(one.output_id, run_id, one.share, finite(one.logprob)) for one in new]
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM relabel WHERE output_id IN (SELECT o.id FROM input AS i"
                " JOIN output AS o ON o.input_id = i.id WHERE i.task_id = ?)",
                (run.task_id,),
            )
            connection.executemany("INSERT INTO relabel(output_id, run_id, share, logprob) VALUES (?, ?, ?, ?)", rows)
            connection.execute(f"UPDATE run SET finished_at = {NOW}, reason = 'done' WHERE id = ?", (run_id,))
