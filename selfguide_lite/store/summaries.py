"""What a report tells of a task's texts, runs and evaluations, read from the views as plain rows. Writes nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from selfguide_lite.store.store_file import StoreFile


def row_counts(path: Path) -> tuple[int, int, int] | None:
    """Return how many inputs, outputs and training steps a file holds; None where it cannot be read.

    The file is read as it is, also one of an older or a newer version.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            inputs, outputs, steps = (
                int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
                for table in ("input", "output", "train_step")
            )
    except sqlite3.Error:
        return None
    return inputs, outputs, steps


class SummaryStore(StoreFile):
    """What a report reads: counts, lengths, outcomes and runs, as plain rows."""

    def input_count(self, task_id: int) -> int:
        """Return how many inputs were ever generated for a task."""
        return int(self._value("SELECT count(*) FROM input WHERE task_id = ?", task_id))

    def output_count(self, task_id: int) -> int:
        """Return how many answers the inputs of a task have."""
        return int(
            self._value(
                "SELECT count(*) FROM input AS i JOIN output AS o ON o.input_id = i.id WHERE i.task_id = ?", task_id
            )
        )

    def confidences(self, task_id: int) -> list[float]:
        """Return the confidence of every answer of a task."""
        return [share for (share,) in self._rows("SELECT confidence FROM answer WHERE task_id = ?", task_id)]

    def text_lengths(self, task_id: int, part: Literal["input", "output"]) -> list[tuple[int, bool]]:
        """Return the length in characters of every text of a part, and whether no filter rejects it."""
        rows = self._rows(
            {
                "input": "SELECT i.length, v.reason IS NULL FROM input_verdict AS v JOIN input AS i ON i.id = v.id"
                " WHERE v.task_id = ?",
                "output": "SELECT o.length, v.reason IS NULL FROM output_verdict AS v JOIN output AS o ON o.id = v.id"
                " JOIN input AS i ON i.id = o.input_id WHERE i.task_id = ?",
            }[part],
            task_id,
        )
        return [(length, bool(kept)) for length, kept in rows]

    def label_counts(self, task_id: int, where: Literal["asked", "answered", "paired"]) -> dict[str, int]:
        """Return how often each label was asked for, was the answer, or is a pair's output."""
        return dict(
            self._rows(
                {
                    "asked": "SELECT label, count(*) FROM input WHERE task_id = ? AND label IS NOT NULL GROUP BY label",
                    "answered": "SELECT answer, count(*) FROM answer WHERE task_id = ? GROUP BY answer",
                    "paired": "SELECT output, count(*) FROM dataset WHERE task_id = ? GROUP BY output",
                }[where],
                task_id,
            )
        )

    def near_twins(self, task_id: int, limit: int) -> list[tuple[float, int, str, int, str]]:
        """Return the kept inputs that resemble each other most: similarity, and id and text of both."""
        rows = self._rows(
            "SELECT t.similarity, a.id, a.text, b.id, b.text FROM near_twin AS t"
            " JOIN input AS a ON a.id = t.input_id JOIN input AS b ON b.id = t.twin_id"
            " JOIN input_verdict AS va ON va.id = a.id AND va.reason IS NULL"
            " JOIN input_verdict AS vb ON vb.id = b.id AND vb.reason IS NULL"
            " WHERE a.task_id = ? ORDER BY t.similarity DESC, a.id LIMIT ?",
            task_id,
            limit,
        )
        return [(similarity, one, text, other, other_text) for similarity, one, text, other, other_text in rows]

    def input_outcomes(self, task_id: int) -> list[tuple[Any, ...]]:
        """Return what happened to every input, in the order of round and prompt.

        :return: id, text, reason and detail of the first filter that rejects it or its answer, answer, confidence,
            whether it is in the dataset
        """
        return self._rows(
            "SELECT i.id, i.text, ifnull(v.reason, w.reason), ifnull(v.detail, w.detail), a.answer, a.confidence,"
            " d.input_id IS NOT NULL FROM input_verdict AS v JOIN input AS i ON i.id = v.id"
            " LEFT JOIN answer AS a ON a.input_id = i.id LEFT JOIN answer_verdict AS w ON w.id = i.id"
            " LEFT JOIN dataset AS d ON d.input_id = i.id"
            " WHERE v.task_id = ? ORDER BY i.round, i.prompt, i.id",
            task_id,
        )

    def last_training(self, task_id: int) -> int | None:
        """Return the id of the newest run that wrote training steps, or None."""
        found: int | None = self._value(
            "SELECT max(r.id) FROM run AS r WHERE r.task_id = ? AND r.id IN (SELECT run_id FROM train_step)", task_id
        )
        return found

    def runs_of(self, task_id: int) -> list[tuple[Any, ...]]:
        """Return a task's runs, oldest first.

        :return: id, stage, reason, name and hash of the model, seed, settings as JSON, template and its hash, version
            of the program, times of start and end
        """
        return self._rows(
            "SELECT r.id, r.stage, r.reason, m.name, m.sha256, r.seed, r.settings, r.template, r.template_sha256,"
            " r.program_version, r.started_at, r.finished_at FROM run AS r LEFT JOIN model AS m ON m.id = r.model_id"
            " WHERE r.task_id = ? ORDER BY r.id",
            task_id,
        )
