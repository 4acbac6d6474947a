"""Reads and writes what was generated: inputs and outputs."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.kinds import TaskKind, kind_named
from selfguide_lite.store.rows import LabelledInput, LabelScore, NewInput, NewOutput, PoolInput
from selfguide_lite.store.similar import sketch
from selfguide_lite.store.stored_values import clean, finite
from selfguide_lite.store.tasks import TaskStore
from selfguide_lite.store.triggers import GROUP_NEW_ANSWERS
from selfguide_lite.task import fold


@dataclass(frozen=True, slots=True)
class _Reader:
    """Finds the answer in a text, as the kind of one task does."""

    rules: TaskKind
    labels: tuple[str, ...]

    def answer_in(self, text: str) -> str | None:
        return self.rules.parse(text, self.labels)


class TextStore(TaskStore):
    """The tables `input` and `output`, and the views that say which inputs are in the pool."""

    def __init__(self, connection: sqlite3.Connection, path: Path, keeper: sqlite3.Connection | None = None):
        super().__init__(connection, path, keeper)
        self._readers: dict[int, _Reader] = {}

    def add_input(self, new: NewInput) -> int:
        """Commit one generated input and return its id; a second one for the same prompt changes nothing."""
        text = clean(new.text)
        folded = fold(text)
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO input(task_id, run_id, round, prompt, label, text, length, folded, seed_inputs,"
                " pool_inputs, finish_reason, prompt_tokens, completion_tokens, mean_logprob, sketched)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)"
                " ON CONFLICT(task_id, round, prompt) DO NOTHING",
                (
                    new.task_id,
                    new.run_id,
                    new.round,
                    new.prompt,
                    new.label,
                    text,
                    len(text),
                    folded,
                    json.dumps(new.seed_inputs),
                    json.dumps(new.pool_inputs),
                    new.finish_reason,
                    new.prompt_tokens,
                    new.completion_tokens,
                    finite(new.mean_logprob),
                ),
            )
            if cursor.rowcount == 1:
                input_id = int(cursor.lastrowid or 0)
                sketch(connection, new.task_id, input_id, folded)
                if new.raw is not None:
                    connection.execute("INSERT INTO raw_text(input_id, text) VALUES (?, ?)", (input_id, clean(new.raw)))
                return input_id
            found = connection.execute(
                "SELECT id FROM input WHERE task_id = ? AND round = ? AND prompt = ?",
                (new.task_id, new.round, new.prompt),
            ).fetchone()
            return int(found[0])

    def add_outputs(self, new: Iterable[NewOutput]) -> int:
        """Commit answers, all of them or none, and return how many were new; one that is there already stays."""
        new, rows = list(new), []
        readers: dict[int, _Reader] = {}
        for output in new:
            text = clean(output.text)
            if output.input_id not in readers:
                readers[output.input_id] = self._reader_of(output.input_id)
            label = readers[output.input_id].answer_in(text)
            rows.append(
                (
                    output.input_id,
                    output.run_id,
                    output.sample,
                    output.method,
                    text,
                    len(text),
                    label,
                    len(text if label is None else label),
                    output.weight,
                    finite(output.logprob),
                    output.finish_reason,
                    output.prompt_tokens,
                    output.completion_tokens,
                )
            )
        with self._writing() as connection:
            added = connection.executemany(
                "INSERT INTO output(input_id, run_id, sample, method, text, length, label, answer_length, weight,"
                " logprob, finish_reason, prompt_tokens, completion_tokens, answer_id)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
                " ON CONFLICT(input_id, method, sample) DO NOTHING",
                rows,
            ).rowcount
            connection.executemany(
                f"{GROUP_NEW_ANSWERS} AND input_id = ?",
                [(input_id,) for input_id in readers],
            )
            connection.executemany(
                "INSERT INTO raw_text(output_id, text) SELECT id, ? FROM output"
                " WHERE input_id = ? AND method = ? AND sample = ? ON CONFLICT DO NOTHING",
                [(clean(one.raw), one.input_id, one.method, one.sample) for one in new if one.raw is not None],
            )
            return added

    def forget_labels(self) -> None:
        """Read the tasks' labels again from now on: they have changed."""
        self._readers.clear()

    def _reader_of(self, input_id: int) -> "_Reader":
        rows = self._rows(
            "SELECT t.id, t.kind FROM input AS i JOIN task AS t ON t.id = i.task_id WHERE i.id = ?", input_id
        )
        if not rows:
            raise SelfguideError(f"{self.path}: has no input number {input_id}")
        task_id, kind = rows[0]
        if task_id not in self._readers:
            rules = kind_named(kind)
            labels = self.labels(task_id)
            self._readers[task_id] = _Reader(self.task(task_id).rules if rules.structured else rules, labels)
        return self._readers[task_id]

    def input_texts(self, task_id: int | None = None) -> list[str]:
        """Return the texts of all inputs that were ever generated, rejected ones too, and those that people edited.

        :param task_id: None: of every task in the file
        """
        rows = self._rows(
            "SELECT text FROM input WHERE ?1 IS NULL OR task_id = ?1"
            " UNION ALL SELECT input FROM review WHERE input IS NOT NULL AND (?1 IS NULL OR task_id = ?1)",
            task_id,
        )
        return [text for (text,) in rows]

    def label_scores(self, task_id: int, model_id: int, template_sha256: str) -> list[LabelScore]:
        """Return the label scores that a model gave with a prompt template, for all inputs of a task."""
        rows = self._rows(
            "SELECT o.input_id, o.text, o.weight, r.settings FROM output AS o JOIN run AS r ON r.id = o.run_id"
            " JOIN input AS i ON i.id = o.input_id WHERE i.task_id = ? AND o.method = 'score' AND r.model_id = ?"
            " AND r.template_sha256 = ?",
            task_id,
            model_id,
            template_sha256,
        )
        return [LabelScore(input_id, label, share, json.loads(settings)) for input_id, label, share, settings in rows]

    def pool(self, task_id: int) -> list[PoolInput]:
        """Return the inputs that passed every input filter, in the order of round and prompt."""
        rows = self._rows(
            "SELECT i.id, i.text, i.round FROM input_verdict AS v JOIN input AS i ON i.id = v.id"
            " WHERE v.task_id = ? AND v.reason IS NULL ORDER BY i.round, i.prompt, i.id",
            task_id,
        )
        return [PoolInput(*row) for row in rows]

    def first_round_like(self, run_id: int) -> int | None:
        """Return the first round asked as this run asks: same model, settings, seed and prompt; None: no round was."""
        found: int | None = self._value(
            "SELECT min(i.round) FROM run AS this JOIN run AS r ON r.task_id = this.task_id AND r.stage = this.stage"
            " AND r.model_id IS this.model_id AND r.settings = this.settings AND r.seed IS this.seed"
            " AND r.template_sha256 IS this.template_sha256 JOIN input AS i ON i.run_id = r.id WHERE this.id = ?",
            run_id,
        )
        return found

    def requests_done(self, task_id: int) -> set[tuple[int, int]]:
        """Return the round and number of every prompt that was answered."""
        rows = self._rows(
            "SELECT round, prompt FROM input WHERE task_id = ? AND round IS NOT NULL AND prompt IS NOT NULL", task_id
        )
        return {(round_, prompt) for round_, prompt in rows}

    def unanswered(self, task_id: int, method: str, samples: int) -> list[PoolInput]:
        """Return the pool's inputs that still lack answers of a method, without those that a person answered.

        :param samples: how many an input must have; for `score` it is the number of labels, or one that failed
        """
        have = dict(
            self._rows(
                "SELECT o.input_id, count(*) FROM input AS i JOIN output AS o ON o.input_id = i.id"
                " WHERE i.task_id = ? AND o.method = ? GROUP BY o.input_id",
                task_id,
                method,
            )
        )
        need = 1 if method == "score" else samples
        settled = {
            input_id
            for (input_id,) in self._rows(
                "SELECT input_id FROM by_hand WHERE task_id = ? AND answer IS NOT NULL", task_id
            )
        }
        return [shown for shown in self.pool(task_id) if shown.id not in settled and have.get(shown.id, 0) < need]

    def agreeing_pool(self, task_id: int) -> list[LabelledInput]:
        """Return the pool with the label that each input was asked for, its answer, and whether they agree."""
        rows = self._rows(
            "SELECT i.id, i.text, i.round, i.label, a.answer, a.answer = i.label FROM input_verdict AS v"
            " JOIN input AS i ON i.id = v.id LEFT JOIN answer AS a ON a.input_id = i.id"
            " WHERE v.task_id = ? AND v.reason IS NULL ORDER BY i.round, i.prompt, i.id",
            task_id,
        )
        return [
            LabelledInput(input_id, text, round_, label, answer, None if agrees is None else bool(agrees))
            for input_id, text, round_, label, answer, agrees in rows
        ]

    def unpaired_inputs(self, task_id: int) -> list[PoolInput]:
        """Return the kept inputs that are not in the dataset, in the order of round and prompt."""
        rows = self._rows(
            "SELECT i.id, i.text, i.round FROM input_verdict AS v JOIN input AS i ON i.id = v.id"
            " WHERE v.task_id = ? AND v.reason IS NULL AND i.id NOT IN (SELECT input_id FROM dataset)"
            " ORDER BY i.round, i.prompt, i.id",
            task_id,
        )
        return [PoolInput(*row) for row in rows]
