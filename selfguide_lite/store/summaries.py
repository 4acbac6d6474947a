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

    def confidence_counts(self, task_id: int, least: float) -> list[tuple[int, int, int, int]]:
        """Return how sure the answers of a task are, in steps of five percent that occur.

        :param least: the share that an answer needs
        :return: number of the step (0 to 19), and of the answers in it: how many, how many under `least`, over 90 %
        """
        rows = self._rows(
            "SELECT min(19, CAST(100 * confidence AS INTEGER) / 5), count(*), sum(confidence < ?),"
            " sum(confidence > 0.9) FROM answer WHERE task_id = ? GROUP BY 1 ORDER BY 1",
            least,
            task_id,
        )
        return [(step, n, under, over) for step, n, under, over in rows]

    def text_lengths(self, task_id: int, part: Literal["input", "output"]) -> list[tuple[int, bool, int]]:
        """Return the lengths in characters of a part's texts: length, whether no filter rejects them, how many."""
        rows = self._rows(
            {
                "input": "SELECT i.length, v.reason IS NULL, count(*) FROM input_verdict AS v"
                " JOIN input AS i ON i.id = v.id WHERE v.task_id = ? GROUP BY 1, 2",
                "output": "SELECT o.length, v.reason IS NULL, count(*) FROM output_verdict AS v"
                " JOIN output AS o ON o.id = v.id JOIN input AS i ON i.id = o.input_id WHERE i.task_id = ?"
                " GROUP BY 1, 2",
            }[part],
            task_id,
        )
        return [(length, bool(kept), n) for length, kept, n in rows]

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
            "WITH kept AS MATERIALIZED (SELECT id FROM input_verdict WHERE reason IS NULL)"
            # The plus keeps SQLite from trying every kept input for each pair.
            " SELECT t.similarity, a.id, a.text, b.id, b.text FROM near_twin AS t"
            " CROSS JOIN input AS a ON a.id = t.input_id CROSS JOIN input AS b ON b.id = t.twin_id"
            " WHERE +t.input_id IN (SELECT id FROM kept) AND +t.twin_id IN (SELECT id FROM kept)"
            " AND a.task_id = ? ORDER BY t.similarity DESC, a.id LIMIT ?",
            task_id,
            limit,
        )
        return [(similarity, one, text, other, other_text) for similarity, one, text, other, other_text in rows]

    def input_outcomes(self, task_id: int, step: int) -> list[tuple[Any, ...]]:
        """Return what happened to the inputs, in the order of their ids.

        :param step: every so many inputs, from the first one on
        :return: id, text, reason and detail of the first filter that rejects it or its answer, answer, confidence,
            whether it is in the dataset
        """
        return self._rows(
            "WITH chosen AS MATERIALIZED (SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place"
            " FROM input WHERE task_id = ?) WHERE place % ? = 0),"
            " verdict AS MATERIALIZED (SELECT * FROM input_verdict WHERE id IN (SELECT id FROM chosen)),"
            " voted AS MATERIALIZED (SELECT * FROM answer WHERE input_id IN (SELECT id FROM chosen)),"
            " judged AS MATERIALIZED (SELECT * FROM answer_verdict WHERE id IN (SELECT id FROM chosen)),"
            " paired AS MATERIALIZED (SELECT input_id FROM dataset WHERE input_id IN (SELECT id FROM chosen))"
            " SELECT i.id, i.text, ifnull(v.reason, w.reason), ifnull(v.detail, w.detail), a.answer, a.confidence,"
            " d.input_id IS NOT NULL FROM verdict AS v JOIN input AS i ON i.id = v.id"
            " LEFT JOIN voted AS a ON a.input_id = i.id LEFT JOIN judged AS w ON w.id = i.id"
            " LEFT JOIN paired AS d ON d.input_id = i.id ORDER BY i.id",
            task_id,
            step,
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
