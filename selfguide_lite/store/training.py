"""Reads and writes trainings: runs, optimizer steps and adapters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfguide_lite.core.progress import TrainStep
from selfguide_lite.core.settings import Settings
from selfguide_lite.prompts import PromptTemplate
from selfguide_lite.store.rows import Adapter
from selfguide_lite.store.runs import NewRun, RunStore
from selfguide_lite.store.stored_values import finite, nan_if_unknown, settings_json


class TrainingStore(RunStore):
    """The tables `train_step` and `adapter`, and the training rows of `run`."""

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
        return self._insert_run(NewRun(task_id, "train", model_id, options, seed, template, dataset_sha256))

    def trained_model(self, run_id: int) -> int:
        """Return the id of the model that a run trained."""
        return int(self._value("SELECT model_id FROM run WHERE id = ?", run_id))

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
                    finite(step.loss),
                    finite(step.learning_rate),
                    finite(step.grad_norm),
                    finite(step.tokens_per_second),
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
            TrainStep(
                step,
                total,
                epoch,
                nan_if_unknown(loss),
                nan_if_unknown(rate),
                nan_if_unknown(norm),
                nan_if_unknown(speed),
                memory,
            )
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

    def is_trained(self, run_id: int, task_id: int, model_sha256: str, dataset_sha256: str) -> bool:
        """Tell whether a training run of a task is done, with that model and those pairs."""
        found = self._value(
            "SELECT 1 FROM run JOIN model ON model.id = run.model_id"
            " WHERE run.id = ? AND task_id = ? AND model.sha256 = ? AND dataset_sha256 = ? AND reason = 'done'",
            run_id,
            task_id,
            model_sha256,
            dataset_sha256,
        )
        return found is not None

    def adapter_base(self, task_id: int, adapter: Path | None = None) -> Path | None:
        """Return the file of the model that a task's newest adapter was trained for, or None.

        :param adapter: the file of another adapter that is meant
        """
        named = None if adapter is None else str(adapter)
        found = self._value(
            "SELECT m.path FROM adapter AS a JOIN model AS m ON m.id = a.model_id WHERE a.task_id = ?"
            " AND (? IS NULL OR a.path = ?) ORDER BY a.id DESC LIMIT 1",
            task_id,
            named,
            named,
        )
        return None if found is None else Path(found)
