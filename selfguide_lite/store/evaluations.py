"""Reads and writes evaluations and their predictions."""

import json
from collections.abc import Mapping
from typing import Any

from selfguide_lite.core.version import __version__
from selfguide_lite.store.rows import EvaluationRow, NewEvaluation, Prediction
from selfguide_lite.store.store_file import StoreFile
from selfguide_lite.store.stored_values import NOW, clean, logprobs_json, logprobs_of, settings_json


class EvaluationStore(StoreFile):
    """The tables `evaluation` and `prediction`."""

    def add_evaluation(self, task_id: int, new: NewEvaluation) -> int:
        """Return the id of an evaluation; the same method, model, adapter, data, settings and prompt have one id."""
        template = new.template
        values = (
            task_id,
            new.method,
            new.metric,
            new.model_id,
            new.adapter_id,
            new.data_sha256,
            settings_json(new.settings or {}),
            template.sha256 if template else None,
        )
        with self._writing() as connection:
            found = connection.execute(
                "SELECT id FROM evaluation WHERE task_id = ? AND method = ? AND metric = ? AND model_id IS ?"
                " AND adapter_id IS ? AND data_sha256 = ? AND settings = ? AND template_sha256 IS ?"
                " AND prompt_key = (SELECT prompt_key FROM task WHERE id = ?)",
                (*values, task_id),
            ).fetchone()
            if found:
                return int(found[0])
            cursor = connection.execute(
                "INSERT INTO evaluation(task_id, method, metric, model_id, adapter_id, data_sha256, settings,"
                " template_sha256, template, n, program_version, prior_id, prompt_key)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT prompt_key FROM task WHERE id = ?))",
                (*values, template.source if template else None, new.n, __version__, new.prior_id, task_id),
            )
            return int(cursor.lastrowid or 0)

    def add_calibrated(self, scored_id: int, *, method: str, prior_id: int, settings: Mapping[str, Any]) -> int:
        """Return the id of the evaluation that calibrates another one: of the same model, adapter, rows and prompt.

        :param settings: what tells it from other calibrations of the same evaluation
        """
        key = (method, settings_json(settings), scored_id)
        with self._writing() as connection:
            same = "task_id, metric, model_id, adapter_id, data_sha256, template_sha256, prompt_key"
            found = connection.execute(
                "SELECT e.id FROM evaluation AS e JOIN evaluation AS s ON s.task_id = e.task_id AND s.metric = e.metric"
                " AND s.model_id IS e.model_id AND s.adapter_id IS e.adapter_id AND s.data_sha256 = e.data_sha256"
                " AND s.template_sha256 IS e.template_sha256 AND s.prompt_key = e.prompt_key"
                " WHERE e.method = ? AND e.settings = ? AND s.id = ?",
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

    def add_prediction(self, evaluation_id: int, new: Prediction) -> None:
        """Commit one evaluated example; one that is there already stays as it is."""
        with self._writing() as connection:
            connection.execute(
                'INSERT INTO prediction(evaluation_id, number, input, "references", text, score, finish_reason,'
                " label_logprobs) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(evaluation_id, number) DO NOTHING",
                (
                    evaluation_id,
                    new.number,
                    clean(new.input),
                    json.dumps([clean(reference) for reference in new.references], ensure_ascii=False),
                    clean(new.text),
                    new.score,
                    new.finish_reason,
                    None if new.label_logprobs is None else logprobs_json(new.label_logprobs),
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
            Prediction(number, given, tuple(json.loads(references)), text, score, logprobs_of(logprobs))
            for number, given, references, text, score, logprobs in rows
        ]

    def finish_evaluation(self, evaluation_id: int, mean: float, low: float, high: float) -> None:
        """Write down an evaluation's result: mean score and its 95 % interval, as shares of 1."""
        with self._writing() as connection:
            connection.execute(
                f"UPDATE evaluation SET mean = ?, low = ?, high = ?, finished_at = {NOW} WHERE id = ?",
                (mean, low, high, evaluation_id),
            )

    def evaluations(self, task_id: int) -> list[EvaluationRow]:
        """Return a task's evaluations with the prompts that it has now, oldest first."""
        rows = self._rows(
            "SELECT id, task_id, method, metric, adapter_id, n, mean, low, high, data_sha256 FROM evaluation"
            " WHERE task_id = ?1 AND prompt_key = (SELECT prompt_key FROM task WHERE id = ?1) ORDER BY id",
            task_id,
        )
        return [EvaluationRow(*row) for row in rows]
