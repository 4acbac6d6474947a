"""Typed reads and writes over a run's SQLite file. Every write is committed before the call returns.

Which rows count is decided by the views alone (`views/*.sql`); nothing here filters.
"""

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from selfguide_lite import __version__
from selfguide_lite.errors import SelfguideError
from selfguide_lite.llm.base import ModelInfo
from selfguide_lite.progress import FunnelRow, TrainStep
from selfguide_lite.prompts import PromptTemplate
from selfguide_lite.settings import Settings
from selfguide_lite.store.connection import clear_errors, connect
from selfguide_lite.store.rows import (
    Adapter,
    Agreement,
    EvaluationRow,
    LabelCount,
    LabelledInput,
    LabelShares,
    LengthBound,
    NewInput,
    NewOutput,
    Pair,
    PoolInput,
    Prediction,
)
from selfguide_lite.store.similar import sketch, sketch_pending
from selfguide_lite.task import PAPER_NOISE_TERMS, Example, Task, effective_noise_terms, fold, last_label

# The settings that the views read: each is a row of `setting`.
FILTER_SETTINGS: tuple[str, ...] = (
    "noise_filter",
    "input_length_filter",
    "output_length_filter",
    "length_rule",
    "length_factor",
    "length_deviations",
    "length_slack_share",
    "length_slack_min",
    "near_duplicate_threshold",
    "label_named_filter",
    "consistency_filter",
    "min_share",
    "calibrate",
    "calibrate_min_inputs",
    "agreement_filter",
    "agreement_min_pairs",
    "min_confidence",
    "balance",
    "random_labels",
    "dataset_seed",
)
# In the order in which a text goes through them; what goes on to the next stage stands last, what had no chance first.
FUNNEL_STAGES = ("input", "output", "answer", "dataset")
_FUNNEL_ENDS = {"unanswered": -2, "no valid answer": -1, "kept": 1}
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


def clean(text: str) -> str:
    """Return a text as it is stored: outer white space removed, NUL and lone surrogates as U+FFFD.

    SQLite's text functions end at a NUL, and a lone surrogate has no UTF-8 form.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd").strip()


class Store:
    """One run's database. Use `Store.open`, as a context manager.

    :param connection: in autocommit mode
    :param path: the file, for messages
    :param keeper: a second connection, closed after the first, see `_keeper`
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, keeper: sqlite3.Connection | None = None):
        self.connection = connection
        self.path = path
        self._keeper = keeper
        self._file = _identity(path)
        self._log: tuple[int, int] | None = None
        self._labels: dict[int, tuple[str, ...]] = {}

    @classmethod
    def open(cls, path: Path | str, *, read_only: bool = False, create: bool = True) -> Self:
        """Open a database, made where it is missing, its tables and views brought up to date.

        :param read_only: SQLite itself then refuses every write
        :param create: whether a missing file is made
        :raises SelfguideError: where the file is missing, no database, of a newer version, or not writable
        """
        path = Path(path)
        if read_only:
            keeper = _keeper(path)
            try:
                return cls(connect(path, read_only=True, create=False), path, keeper)
            except BaseException:
                if keeper is not None:
                    keeper.close()
                raise
        store = cls(connect(path, read_only=False, create=create), path)
        if store._value(
            "SELECT 1 FROM setting WHERE key = 'near_duplicate_threshold' AND value IS NOT NULL"
            " AND EXISTS (SELECT 1 FROM input WHERE sketched IS NULL)"
        ):
            with store._writing() as connection:
                sketch_pending(connection)
        return store

    def close(self) -> None:
        """Close the file. What was written is in it already."""
        self._check_in_place()
        self.connection.close()
        if self._keeper is not None:
            self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- helpers

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is committed, or none.

        :raises SelfguideError: where SQLite refuses, or the file is no longer the one that was opened: rows written to
            a file that was deleted would be lost without a word
        """
        if not self._check_in_place():
            raise SelfguideError(f"{self.path}: was deleted or replaced while in use; put it back, or start again")
        with clear_errors(self.path, "write to"):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def _check_in_place(self) -> bool:
        """Tell whether the file is still the one that was opened; if not, take its write-ahead log away.

        SQLite would take a log that is left behind for that of the file which took the place, and break that. So what
        the log holds is brought into this file, wherever it is now.
        """
        log = _identity(self.path.with_name(self.path.name + "-wal"))
        if _identity(self.path) == self._file:
            self._log = log or self._log
            return True
        if log is not None and log == self._log:  # else another program has begun a log of its own
            with suppress(sqlite3.Error):
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return False

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with clear_errors(self.path, "read"):
            return self.connection.execute(sql, values).fetchall()

    def _value(self, sql: str, *values: Any) -> Any:
        rows = self._rows(sql, *values)
        return rows[0][0] if rows else None

    # --- tasks

    def add_task(self, task: Task) -> int:
        """Put a task into the store, or find it there, and return its id.

        Noise terms and filter settings become rows the first time. When the task file changes later, only what
        changed in the file is carried over, so rows edited with SQL stay.

        :raises SelfguideError: where its kind, instruction, examples or labels are not those it was begun with
        """
        settings = task.settings.model_dump(mode="json", exclude_unset=True)
        terms = list(effective_noise_terms(task))
        row = self._rows("SELECT id, settings, noise_terms FROM task WHERE name = ?", task.name)
        with self._writing() as connection:
            if row:
                task_id = int(row[0][0])
                self._check_unchanged(task_id, task)
                settings_before, terms_before = json.loads(row[0][1]), json.loads(row[0][2])
                if task.noise_terms is None and _still_default(task, settings_before, terms_before):
                    terms = terms_before
                self._carry_over(task_id, task, settings_before, settings, terms_before, terms)
                connection.execute(
                    "UPDATE task SET settings = ?, noise_terms = ? WHERE id = ?",
                    (json.dumps(settings), json.dumps(terms), task_id),
                )
                return task_id
            cursor = connection.execute(
                "INSERT INTO task(name, kind, instruction, settings, noise_terms) VALUES (?, ?, ?, ?, ?)",
                (task.name, task.kind, task.instruction, json.dumps(settings), json.dumps(terms)),
            )
            task_id = int(cursor.lastrowid or 0)
            connection.executemany(
                "INSERT INTO example(task_id, number, input, output, folded) VALUES (?, ?, ?, ?, ?)",
                [(task_id, n, e.input, e.output, fold(e.input)) for n, e in enumerate(task.examples)],
            )
            connection.executemany(
                "INSERT INTO label(task_id, number, text, folded, meaning, share) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (task_id, n, text, fold(text), task.label_meanings.get(text), task.label_shares.get(text))
                    for n, text in enumerate(task.labels)
                ],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO noise_term VALUES (?, ?)", [(task_id, clean_term(term)) for term in terms]
            )
            resolved = task.settings.resolve(task.kind)
            connection.executemany(
                "INSERT INTO setting VALUES (?, ?, ?)",
                [(task_id, key, getattr(resolved, key)) for key in FILTER_SETTINGS],
            )
        return task_id

    def _check_unchanged(self, task_id: int, task: Task) -> None:
        stored = self.task(task_id)
        changed = [
            what
            for what, before, now in (
                ("kind", stored.kind, task.kind),
                ("instruction", stored.instruction, task.instruction),
                ("examples", stored.examples, task.examples),
                ("labels", stored.labels, task.labels),
            )
            if before != now
        ]
        if changed:
            raise SelfguideError(
                f"{self.path}: task {task.name!r} was begun with other {' and '.join(changed)}: "
                "undo that change, give the task a new name, or choose a new database with -d"
            )

    def _carry_over(
        self,
        task_id: int,
        task: Task,
        settings_before: Mapping[str, Any],
        settings: Mapping[str, Any],
        terms_before: Sequence[str],
        terms: Sequence[str],
    ) -> None:
        """Bring what changed in the task file since the last time into `setting` and `noise_term`."""
        resolved = task.settings.resolve(task.kind)
        for key in FILTER_SETTINGS:
            if settings_before.get(key) != settings.get(key):
                self.connection.execute(
                    "INSERT OR REPLACE INTO setting VALUES (?, ?, ?)", (task_id, key, getattr(resolved, key))
                )
        for term in set(terms_before) - set(terms):
            self.connection.execute(
                "DELETE FROM noise_term WHERE task_id = ? AND term = ?", (task_id, clean_term(term))
            )
        for term in terms:
            if term not in terms_before:
                self.connection.execute("INSERT OR IGNORE INTO noise_term VALUES (?, ?)", (task_id, clean_term(term)))

    def task(self, task_id: int) -> Task:
        """Return a task as it was begun, with the settings of its file.

        :raises SelfguideError: where there is no such task
        """
        rows = self._rows("SELECT name, kind, instruction, settings, noise_terms FROM task WHERE id = ?", task_id)
        if not rows:
            raise SelfguideError(f"{self.path}: has no task number {task_id}")
        name, kind, instruction, settings, terms = rows[0]
        details = self._rows("SELECT text, meaning, share FROM label WHERE task_id = ?", task_id)
        examples = self._rows("SELECT input, output FROM example WHERE task_id = ? ORDER BY number", task_id)
        return Task(
            name=name,
            kind=kind,
            instruction=instruction,
            labels=self.labels(task_id),
            label_meanings={text: meaning for text, meaning, _ in details if meaning is not None},
            label_shares={text: share for text, _, share in details if share is not None},
            examples=tuple(Example(input=given, output=answer) for given, answer in examples),
            noise_terms=tuple(json.loads(terms)),
            settings=Settings.model_validate_json(settings),
        )

    def labels(self, task_id: int) -> tuple[str, ...]:
        """Return a task's labels in their order; empty for generation."""
        rows = self._rows("SELECT text FROM label WHERE task_id = ? ORDER BY number", task_id)
        return tuple(text for (text,) in rows)

    def task_names(self) -> list[str]:
        """Return the names of all tasks in the file, oldest first."""
        return [name for (name,) in self._rows("SELECT name FROM task ORDER BY id")]

    def only_task_id(self, name: str | None = None) -> int:
        """Return the id of the task of that name, or of the only one.

        :raises SelfguideError: where there is none, or several and no name was given
        """
        names = self.task_names()
        if name is None and len(names) == 1:
            name = names[0]
        if not names:
            raise SelfguideError(
                f"{self.path}: holds no task yet; start one with `selfguide run TASK.yaml -d {self.path}`"
            )
        if name not in names:
            problem = "which task? name one with --task" if name is None else f"has no task {name!r}"
            raise SelfguideError(f"{self.path}: {problem}; there are: {', '.join(names)}")
        return int(self._value("SELECT id FROM task WHERE name = ?", name))

    # --- what the filters go by

    def settings(self, task_id: int) -> dict[str, Any]:
        """Return the filters' settings in force, as the views see them."""
        with clear_errors(self.path, "read"):
            cursor = self.connection.execute("SELECT * FROM filter_setting WHERE task_id = ?", (task_id,))
            row = cursor.fetchone()
        return {column[0]: value for column, value in zip(cursor.description, row, strict=True)} if row else {}

    def set_setting(self, task_id: int, key: str, value: Any) -> None:
        """Change one of the filters' settings: the views follow at once."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?, ?)", (task_id, key, value))
            if key == "near_duplicate_threshold" and value is not None:
                sketch_pending(connection)

    def noise_terms(self, task_id: int) -> list[str]:
        """Return a task's noise terms in alphabetical order."""
        rows = self._rows("SELECT term FROM noise_term WHERE task_id = ? ORDER BY term", task_id)
        return [term for (term,) in rows]

    def change_noise_terms(self, task_id: int, *, add: Iterable[str] = (), drop: Iterable[str] = ()) -> None:
        """Add and drop noise terms: every text is judged again."""
        with self._writing() as connection:
            connection.executemany(
                "DELETE FROM noise_term WHERE task_id = ? AND term = ?", [(task_id, term) for term in drop]
            )
            connection.executemany("INSERT OR IGNORE INTO noise_term VALUES (?, ?)", [(task_id, term) for term in add])

    # --- models and runs

    def add_model(self, info: ModelInfo) -> int:
        """Put a model into the store, or find it there by its hash and adapter, and return its id."""
        found = self._value(
            "SELECT id FROM model WHERE sha256 = ? AND ifnull(adapter, '') = ?", info.sha256, info.adapter or ""
        )
        if found is not None:
            return int(found)
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO model(name, path, sha256, architecture, parameters, adapter) VALUES (?, ?, ?, ?, ?, ?)",
                (info.name, info.path, info.sha256, info.architecture, info.parameters, info.adapter),
            )
            return int(cursor.lastrowid or 0)

    def start_run(
        self,
        task_id: int,
        stage: str,
        model_id: int | None,
        settings: Settings | Mapping[str, Any],
        seed: int,
        template: PromptTemplate | None,
    ) -> int:
        """Write down what is about to be done, and return the run's id."""
        return self._insert_run(task_id, stage, model_id, settings, seed, template, None)

    def _insert_run(
        self,
        task_id: int,
        stage: str,
        model_id: int | None,
        settings: Settings | Mapping[str, Any],
        seed: int,
        template: PromptTemplate | None,
        dataset_sha256: str | None,
    ) -> int:
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO run(task_id, stage, model_id, seed, settings, template, template_sha256, dataset_sha256,"
                " program_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    task_id,
                    stage,
                    model_id,
                    seed,
                    settings_json(settings),
                    template.source if template else None,
                    template.sha256 if template else None,
                    dataset_sha256,
                    __version__,
                ),
            )
            return int(cursor.lastrowid or 0)

    def finish_run(self, run_id: int, reason: str) -> None:
        """Write down when and why a run ended, such as `done` or `interrupted`."""
        with self._writing() as connection:
            connection.execute(f"UPDATE run SET finished_at = {_NOW}, reason = ? WHERE id = ?", (reason, run_id))

    # --- generated texts

    def add_input(self, new: NewInput) -> int:
        """Commit one generated input and return its id; a second one for the same prompt changes nothing."""
        text = clean(new.text)
        folded = fold(text)
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO input(task_id, run_id, round, prompt, label, text, length, folded, good, flawed,"
                " finish_reason, prompt_tokens, completion_tokens, mean_logprob, sketched)"
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
                    json.dumps(new.good),
                    json.dumps(new.flawed),
                    new.finish_reason,
                    new.prompt_tokens,
                    new.completion_tokens,
                    _number(new.mean_logprob),
                ),
            )
            if cursor.rowcount == 1:
                input_id = int(cursor.lastrowid or 0)
                sketch(connection, new.task_id, input_id, folded)
                return input_id
            found = connection.execute(
                "SELECT id FROM input WHERE task_id = ? AND round = ? AND prompt = ?",
                (new.task_id, new.round, new.prompt),
            ).fetchone()
            return int(found[0])

    def add_outputs(self, new: Iterable[NewOutput]) -> int:
        """Commit answers, all of them or none, and return how many were new; one that is there already stays."""
        rows = []
        labels_of: dict[int, tuple[str, ...]] = {}
        for output in new:
            text = clean(output.text)
            if output.input_id not in labels_of:
                labels_of[output.input_id] = self._labels_of_input(output.input_id)
            labels = labels_of[output.input_id]
            label = last_label(text, labels) if labels else None
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
                    _number(output.logprob),
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
                "UPDATE output SET answer_id = (SELECT min(o.id) FROM output AS o WHERE o.input_id = output.input_id"
                " AND ifnull(o.label, o.text) = ifnull(output.label, output.text))"
                " WHERE input_id = ? AND answer_id = 0",
                [(input_id,) for input_id in labels_of],
            )
            return added

    def _labels_of_input(self, input_id: int) -> tuple[str, ...]:
        task_id = self._value("SELECT task_id FROM input WHERE id = ?", input_id)
        if task_id not in self._labels:
            self._labels[task_id] = self.labels(task_id)
        return self._labels[task_id]

    def pool(self, task_id: int, before_round: int | None = None) -> list[PoolInput]:
        """Return the inputs that passed every input filter, in the order of round and prompt.

        :param before_round: only those made in earlier rounds
        """
        rows = self._rows(
            "SELECT i.id, i.text, i.round FROM input_verdict AS v JOIN input AS i ON i.id = v.id"
            " WHERE v.task_id = ? AND v.reason IS NULL AND (? IS NULL OR i.round IS NULL OR i.round < ?)"
            " ORDER BY i.round, i.prompt, i.id",
            task_id,
            before_round,
            before_round,
        )
        return [PoolInput(*row) for row in rows]

    def rounds_done(self, task_id: int) -> int:
        """Return the number of rounds of which some prompt was answered."""
        return int(self._value("SELECT count(DISTINCT round) FROM input WHERE task_id = ?", task_id))

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
        """Return the pool's inputs that still lack answers of a method.

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
        return [shown for shown in self.pool(task_id) if have.get(shown.id, 0) < need]

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

    def kept_label_shares(self, task_id: int) -> list[LabelShares]:
        """Return the kept inputs whose labels were scored, with the raw share of each label."""
        rows = self._rows(
            "SELECT i.id, i.text, o.label, sum(o.weight) FROM input_verdict AS v JOIN input AS i ON i.id = v.id"
            " JOIN output AS o ON o.input_id = i.id AND o.method = 'score' AND o.label IS NOT NULL"
            " WHERE v.task_id = ? AND v.reason IS NULL GROUP BY i.id, o.label ORDER BY i.round, i.prompt, i.id",
            task_id,
        )
        found: dict[int, LabelShares] = {}
        for input_id, text, label, share in rows:
            found.setdefault(input_id, LabelShares(input_id, text, {})).shares[label] = share
        return list(found.values())

    def unpaired_inputs(self, task_id: int) -> list[PoolInput]:
        """Return the kept inputs that are not in the dataset, in the order of round and prompt."""
        rows = self._rows(
            "SELECT i.id, i.text, i.round FROM input_verdict AS v JOIN input AS i ON i.id = v.id"
            " WHERE v.task_id = ? AND v.reason IS NULL AND i.id NOT IN (SELECT input_id FROM dataset)"
            " ORDER BY i.round, i.prompt, i.id",
            task_id,
        )
        return [PoolInput(*row) for row in rows]

    # --- the dataset

    def pairs(self, task_id: int) -> list[Pair]:
        """Return the view `dataset`: the pairs to train on, in the order of round and prompt."""
        rows = self._rows(
            "SELECT d.input_id, d.input, d.output FROM dataset AS d JOIN input AS i ON i.id = d.input_id"
            " WHERE d.task_id = ? ORDER BY i.round, i.prompt, i.id",
            task_id,
        )
        return [Pair(*row) for row in rows]

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

    # --- training

    def add_train_run(
        self,
        task_id: int,
        model_id: int,
        options: Settings | Mapping[str, Any],
        seed: int,
        dataset_sha256: str,
        template: PromptTemplate | None = None,
    ) -> int:
        """Return the id of a training run: the unfinished one of the same model, options, seed and data, or a new one.

        :param dataset_sha256: hash of the pairs that are trained on
        """
        found = self._value(
            "SELECT id FROM run WHERE task_id = ? AND stage = 'train' AND model_id = ? AND seed = ? AND settings = ?"
            " AND dataset_sha256 = ? AND ifnull(template_sha256, '') = ? AND (reason IS NULL OR reason <> 'done')"
            " ORDER BY id DESC LIMIT 1",
            task_id,
            model_id,
            seed,
            settings_json(options),
            dataset_sha256,
            template.sha256 if template else "",
        )
        if found is not None:
            return int(found)
        return self._insert_run(task_id, "train", model_id, options, seed, template, dataset_sha256)

    def add_train_step(self, run_id: int, step: TrainStep) -> None:
        """Commit one optimizer step; a step that is made again after a resume takes the place of the first."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO train_step(run_id, step, total, epoch, loss, learning_rate, grad_norm,"
                " tokens_per_second, memory) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run_id,
                    step.step,
                    step.total,
                    step.epoch,
                    _number(step.loss),
                    _number(step.learning_rate),
                    _number(step.grad_norm),
                    _number(step.tokens_per_second),
                    step.memory,
                ),
            )

    def train_steps(self, run_id: int) -> list[TrainStep]:
        """Return a training run's steps in their order; what was not a number is NaN."""
        rows = self._rows(
            "SELECT step, total, epoch, loss, learning_rate, grad_norm, tokens_per_second, memory FROM train_step"
            " WHERE run_id = ? ORDER BY step",
            run_id,
        )
        return [
            TrainStep(step, total, epoch, _known(loss), _known(rate), _known(norm), _known(speed), memory)
            for step, total, epoch, loss, rate, norm, speed, memory in rows
        ]

    def add_adapter(
        self,
        task_id: int,
        run_id: int,
        model_id: int,
        path: Path | str,
        sha256: str,
        settings: Settings | Mapping[str, Any] | None = None,
    ) -> int:
        """Write down a trained adapter's file and return its id; the same file of the same run keeps its id."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO adapter(task_id, run_id, model_id, path, sha256, settings) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT(run_id, sha256) DO UPDATE SET path = excluded.path",
                (task_id, run_id, model_id, str(path), sha256, settings_json(settings or {})),
            )
            found = connection.execute("SELECT id FROM adapter WHERE run_id = ? AND sha256 = ?", (run_id, sha256))
            return int(found.fetchone()[0])

    def latest_adapter(self, task_id: int) -> Adapter | None:
        """Return the adapter that was trained last, or None."""
        rows = self._rows(
            "SELECT id, task_id, run_id, model_id, path, sha256, created_at FROM adapter WHERE task_id = ?"
            " ORDER BY id DESC LIMIT 1",
            task_id,
        )
        return Adapter(*rows[0]) if rows else None

    # --- evaluation

    def add_evaluation(
        self,
        task_id: int,
        *,
        method: str,
        metric: str,
        model_id: int | None,
        adapter_id: int | None = None,
        data_sha256: str = "",
        n: int = 0,
        settings: Settings | Mapping[str, Any] | None = None,
        template: PromptTemplate | None = None,
        prior_id: int | None = None,
    ) -> int:
        """Return the id of an evaluation; the same method, model, adapter, data, settings and prompt have one id.

        :param method: such as `few-shot`, `few-shot calibrated`, `finetuned scored`
        :param data_sha256: hash of the rows that are evaluated
        :param prior_id: by what its answers were calibrated
        """
        values = (
            task_id,
            method,
            metric,
            model_id,
            adapter_id,
            data_sha256,
            settings_json(settings or {}),
            template.sha256 if template else None,
        )
        with self._writing() as connection:
            found = connection.execute(
                "SELECT id FROM evaluation WHERE task_id = ? AND method = ? AND metric = ? AND model_id IS ?"
                " AND adapter_id IS ? AND data_sha256 = ? AND settings = ? AND template_sha256 IS ?",
                values,
            ).fetchone()
            if found:
                return int(found[0])
            cursor = connection.execute(
                "INSERT INTO evaluation(task_id, method, metric, model_id, adapter_id, data_sha256, settings,"
                " template_sha256, template, n, program_version, prior_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, template.source if template else None, n, __version__, prior_id),
            )
            return int(cursor.lastrowid or 0)

    def add_calibrated(self, scored_id: int, *, method: str, prior_id: int, settings: Mapping[str, Any]) -> int:
        """Return the id of the evaluation that calibrates another one: of the same model, adapter, rows and prompt.

        :param settings: what tells it from other calibrations of the same evaluation
        """
        key = (method, settings_json(settings), scored_id)
        with self._writing() as connection:
            same = "task_id, metric, model_id, adapter_id, data_sha256, template_sha256"
            found = connection.execute(
                "SELECT e.id FROM evaluation AS e JOIN evaluation AS s ON s.task_id = e.task_id AND s.metric = e.metric"
                " AND s.model_id IS e.model_id AND s.adapter_id IS e.adapter_id AND s.data_sha256 = e.data_sha256"
                " AND s.template_sha256 IS e.template_sha256 WHERE e.method = ? AND e.settings = ? AND s.id = ?",
                key,
            ).fetchone()
            if found:
                return int(found[0])
            cursor = connection.execute(
                f"INSERT INTO evaluation({same}, template, n, method, settings, program_version, prior_id)"
                f" SELECT {same}, template, n, ?, ?, ?, ? FROM evaluation WHERE id = ?",
                (*key[:2], __version__, prior_id, scored_id),
            )
            return int(cursor.lastrowid or 0)

    def add_prediction(
        self,
        evaluation_id: int,
        number: int,
        *,
        input: str,
        references: Sequence[str],
        text: str,
        score: float,
        finish_reason: str = "stop",
        label_logprobs: Mapping[str, float] | None = None,
    ) -> None:
        """Commit one evaluated example; one that is there already stays as it is.

        :param number: of the example among the evaluated rows
        :param score: as a share of 1
        :param label_logprobs: each label's natural-log probability, where labels were scored
        """
        with self._writing() as connection:
            connection.execute(
                'INSERT INTO prediction(evaluation_id, number, input, "references", text, score, finish_reason,'
                " label_logprobs) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(evaluation_id, number) DO NOTHING",
                (
                    evaluation_id,
                    number,
                    clean(input),
                    json.dumps([clean(reference) for reference in references], ensure_ascii=False),
                    clean(text),
                    score,
                    finish_reason,
                    None if label_logprobs is None else _logprobs_json(label_logprobs),
                ),
            )

    def predictions(self, evaluation_id: int) -> list[Prediction]:
        """Return an evaluation's predictions in the order of their examples."""
        rows = self._rows(
            'SELECT number, input, "references", text, score, label_logprobs FROM prediction WHERE evaluation_id = ?'
            " ORDER BY number",
            evaluation_id,
        )
        return [
            Prediction(number, given, tuple(json.loads(references)), text, score, _logprobs(logprobs))
            for number, given, references, text, score, logprobs in rows
        ]

    def finish_evaluation(self, evaluation_id: int, mean: float, low: float, high: float) -> None:
        """Write down an evaluation's result: mean score and its 95 % interval, as shares of 1."""
        with self._writing() as connection:
            connection.execute(
                f"UPDATE evaluation SET mean = ?, low = ?, high = ?, finished_at = {_NOW} WHERE id = ?",
                (mean, low, high, evaluation_id),
            )

    def evaluations(self, task_id: int) -> list[EvaluationRow]:
        """Return a task's evaluations, oldest first."""
        rows = self._rows(
            "SELECT id, task_id, method, metric, adapter_id, n, mean, low, high FROM evaluation WHERE task_id = ?"
            " ORDER BY id",
            task_id,
        )
        return [EvaluationRow(*row) for row in rows]


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells one file from another of the same name."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _keeper(path: Path) -> sqlite3.Connection | None:
    """Return a connection that may write, to stand beside one that only reads; None where the file may not be written.

    It brings the views up to date (filters made with plain SQL are counted from then on), and, closed last, it takes
    away the two files of the write-ahead log, which a connection that only reads leaves behind.
    """
    try:
        return connect(path, read_only=False, create=False)
    except SelfguideError:
        return None


def _still_default(task: Task, settings_before: Mapping[str, Any], terms_before: Sequence[str]) -> bool:
    """Whether a task was begun with a default list of noise terms and has one still.

    Files of format 1 were begun with the paper's list; a default that changes with the program changes no old file.
    """
    same_list = settings_before.get("noise_list", "modern") == task.settings.noise_list
    return same_list and tuple(terms_before) in (PAPER_NOISE_TERMS, effective_noise_terms(task))


def clean_term(term: str) -> str:
    """Return a noise term as it is stored: white space counts, so only what SQLite cannot hold is replaced."""
    return term.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def settings_json(settings: Settings | Mapping[str, Any]) -> str:
    """Return settings as JSON with sorted keys, so that equal settings are equal texts."""
    values = settings.model_dump(mode="json") if isinstance(settings, Settings) else dict(settings)
    return json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)


def _logprobs_json(values: Mapping[str, float]) -> str:
    """Return log-probabilities as JSON, which has no infinity: null is no probability at all."""
    return json.dumps({clean(label): _number(value) for label, value in values.items()}, ensure_ascii=False)


def _logprobs(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    return {label: -math.inf if value is None else value for label, value in json.loads(text).items()}


def _number(value: float | None) -> float | None:
    """Return None for what is not a finite number: SQLite has no NaN."""
    return value if value is not None and math.isfinite(value) else None


def _known(value: float | None) -> float:
    """Return NaN for what is not known."""
    return math.nan if value is None else value
