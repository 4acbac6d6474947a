"""Reads and writes the tasks: what they are, the settings of their filters, their noise terms."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.refusals import setting_problem
from selfguide_lite.core.registry import KINDS
from selfguide_lite.core.renamed import current_name
from selfguide_lite.core.settings import Settings
from selfguide_lite.kinds import TaskKind
from selfguide_lite.store.connection import clear_errors
from selfguide_lite.store.fields import add_fields, read_fields
from selfguide_lite.store.similar import sketch_pending
from selfguide_lite.store.store_file import StoreFile
from selfguide_lite.store.stored_values import clean_term
from selfguide_lite.task import PAPER_NOISE_TERMS, Example, Task, effective_noise_terms, fold

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
    "min_vote_share",
    "min_votes",
    "calibrate",
    "calibrate_min_inputs",
    "agreement_filter",
    "agreement_min_pairs",
    "min_confidence",
    "balance",
    "random_labels",
    "dataset_seed",
    "added_filters_off",
    "given_weight",
)


class TaskStore(StoreFile):
    """The tables `task`, `example`, `label`, `setting` and `noise_term`."""

    def add_task(self, task: Task) -> int:
        """Put a task into the store, or find it there, and return its id.

        Noise terms and filter settings become rows the first time. When the task file changes later, only what
        changed in the file is carried over, so rows edited with SQL stay. A default that follows from another setting
        changes with that setting.

        :raises SelfguideError: where its kind, instruction, examples or labels are not those it was begun with
        """
        given = task.settings.model_dump(mode="json", exclude_unset=True)
        terms = list(effective_noise_terms(task))
        row = self._rows("SELECT id, settings, noise_terms FROM task WHERE name = ?", task.name)
        with self._writing() as connection:
            self._add_kind(task.kind, task.rules)
            if row:
                task_id = int(row[0][0])
                stored = self.task(task_id)
                chosen = self.chosen_settings(task_id)
                given = {key: value for key, value in given.items() if key not in chosen or chosen[key] != value}
                self._check_unchanged(stored, task)
                settings_before, terms_before = json.loads(row[0][1]), json.loads(row[0][2])
                if task.noise_terms is None and _still_default(task, settings_before, terms_before):
                    terms = terms_before
                self._carry_settings(task_id, stored, task)
                self._carry_noise_terms(task_id, terms_before, terms)
                connection.execute(
                    "UPDATE task SET settings = ?, noise_terms = ?, eval = ifnull(?, eval) WHERE id = ?",
                    (json.dumps(given), json.dumps(terms), _absolute(task.eval), task_id),
                )
                return task_id
            cursor = connection.execute(
                "INSERT INTO task(name, kind, instruction, settings, noise_terms, eval) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    task.name,
                    task.kind,
                    task.instruction,
                    json.dumps(given),
                    json.dumps(terms),
                    _absolute(task.eval),
                ),
            )
            task_id = int(cursor.lastrowid or 0)
            connection.execute("INSERT INTO task_version(task_id, number) VALUES (?, 1)", (task_id,))
            self._add_definition(task_id, task)
            connection.executemany(
                "INSERT OR IGNORE INTO noise_term VALUES (?, ?)", [(task_id, clean_term(term)) for term in terms]
            )
            resolved = task.rules.resolve(task.settings)
            connection.executemany(
                "INSERT INTO setting VALUES (?, ?, ?)",
                [(task_id, key, getattr(resolved, key)) for key in FILTER_SETTINGS],
            )
        return task_id

    def _add_definition(self, task_id: int, task: Task) -> None:
        """Insert a task's examples, labels and fields."""
        add_fields(self.connection, task_id, task.name, task.output_schema)
        self.connection.executemany(
            "INSERT INTO example(task_id, number, input, output, folded) VALUES (?, ?, ?, ?, ?)",
            [(task_id, n, e.input, e.output, fold(e.input)) for n, e in enumerate(task.examples)],
        )
        self.connection.executemany(
            "INSERT INTO label(task_id, number, text, folded, meaning, share) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (task_id, n, text, fold(text), task.label_meanings.get(text), task.label_shares.get(text))
                for n, text in enumerate(task.labels)
            ],
        )

    def _add_kind(self, name: str, rules: TaskKind) -> None:
        """Tell the views what a kind of task means."""
        self.connection.execute(
            "INSERT INTO kind(name, labelled, parsed, balanced, structured) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT(name) DO UPDATE SET labelled = excluded.labelled, parsed = excluded.parsed,"
            " balanced = excluded.balanced, structured = excluded.structured",
            (name, rules.labelled, rules.parsed, rules.balanced, rules.structured),
        )

    def _check_unchanged(self, stored: Task, task: Task) -> None:
        changed = [
            what
            for what, before, now in (
                ("kind", stored.kind, task.kind),
                ("instruction", stored.instruction, task.instruction),
                ("examples", stored.examples, task.examples),
                ("labels", stored.labels, task.labels),
                ("fields", stored.output_schema, task.output_schema),
            )
            if before != now
        ]
        if changed:
            raise SelfguideError(
                f"{self.path}: task {task.name!r} was begun with other {' and '.join(changed)}: "
                "`selfguide run` brings the change in and keeps what is there; or undo it, give the task a new "
                "name, or choose a new database with -d"
            )

    def _carry_settings(self, task_id: int, stored: Task, task: Task) -> None:
        """Bring the filter settings that changed in the task file since the last time into `setting`."""
        before, after = stored.rules.resolve(stored.settings), task.rules.resolve(task.settings)
        given_before, given = (one.model_dump(exclude_unset=True) for one in (stored.settings, task.settings))
        for key in FILTER_SETTINGS:
            value = getattr(after, key)
            # What was not given may have changed too: some defaults follow from other settings.
            if given_before.get(key) != given.get(key) or getattr(before, key) != value:
                self.connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?, ?)", (task_id, key, value))

    def _carry_noise_terms(self, task_id: int, terms_before: Sequence[str], terms: Sequence[str]) -> None:
        """Bring the noise terms that changed in the task file since the last time into `noise_term`."""
        for term in set(terms_before) - set(terms):
            self.connection.execute(
                "DELETE FROM noise_term WHERE task_id = ? AND term = ?", (task_id, clean_term(term))
            )
        for term in terms:
            if term not in terms_before:
                self.connection.execute("INSERT OR IGNORE INTO noise_term VALUES (?, ?)", (task_id, clean_term(term)))

    def task(self, task_id: int) -> Task:
        """Return a task as it was begun, with the settings of its file and those chosen in the database over them.

        :raises SelfguideError: where there is no such task, its kind is not installed here, or a setting does not fit
        """
        rows = self._rows("SELECT name, kind, instruction, settings, noise_terms FROM task WHERE id = ?", task_id)
        if not rows:
            raise SelfguideError(f"{self.path}: has no task number {task_id}")
        name, kind, instruction, settings, terms = rows[0]
        if kind not in KINDS:
            raise SelfguideError(
                f"{self.path}: task {name!r} is of the kind {kind!r}, which is not installed here; "
                f"there are: {', '.join(KINDS.names())}"
            )
        details = self._rows("SELECT text, meaning, share FROM label WHERE task_id = ?", task_id)
        examples = self._rows("SELECT input, output FROM example WHERE task_id = ? ORDER BY number", task_id)
        return Task(
            name=name,
            kind=kind,
            instruction=instruction,
            labels=self.labels(task_id),
            output_schema=read_fields(self.connection, task_id),
            label_meanings={text: meaning for text, meaning, _ in details if meaning is not None},
            label_shares={text: share for text, _, share in details if share is not None},
            examples=tuple(Example(input=given, output=answer) for given, answer in examples),
            noise_terms=tuple(json.loads(terms)),
            settings=Settings.model_validate_json(settings).changed(self.chosen_settings(task_id)),
        )

    def labels(self, task_id: int) -> tuple[str, ...]:
        """Return a task's labels in their order; empty where its kind has none."""
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

    def settings(self, task_id: int) -> dict[str, Any]:
        """Return the filters' settings in force, as the views see them."""
        with clear_errors(self.path, "read"):
            cursor = self.connection.execute("SELECT * FROM filter_setting WHERE task_id = ?", (task_id,))
            row = cursor.fetchone()
        return {column[0]: value for column, value in zip(cursor.description, row, strict=True)} if row else {}

    def chosen_settings(self, task_id: int) -> dict[str, Any]:
        """Return the settings of stages, not of filters, that were chosen in the database: they go over a task file's.

        :raises SelfguideError: where one does not fit, such as after an edit by hand
        """
        rows = self._rows("SELECT key, value FROM setting WHERE task_id = ?", task_id)
        found = {key: value for key, value in rows if key in Settings.model_fields and key not in FILTER_SETTINGS}
        if problem := setting_problem(found):
            raise SelfguideError(f"{self.path}: table setting: {problem}; `selfguide set` changes it")
        return Settings.model_validate(found).model_dump(exclude_unset=True)

    def forget_setting(self, task_id: int, key: str) -> None:
        """Take away what was chosen for a setting in the database."""
        with self._writing() as connection:
            connection.execute("DELETE FROM setting WHERE task_id = ? AND key = ?", (task_id, key))

    def set_setting(self, task_id: int, key: str, value: Any) -> None:
        """Change a setting, by its name or an old name of it; where it is a filter's, the views follow at once."""
        key = current_name(key)
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


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())


def _still_default(task: Task, settings_before: Mapping[str, Any], terms_before: Sequence[str]) -> bool:
    """Whether a task was begun with a default list of noise terms and has one still.

    Files of format 1 were begun with the paper's list; a default that changes with the program changes no old file.
    """
    same_list = settings_before.get("noise_list", "modern") == task.settings.noise_list
    return same_list and tuple(terms_before) in (PAPER_NOISE_TERMS, effective_noise_terms(task))
