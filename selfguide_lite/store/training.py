"""Reads and writes trainings: runs, optimizer steps and adapters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.paths import path_kept, places_of
from selfguide_lite.core.progress import TrainStep
from selfguide_lite.core.settings import Settings
from selfguide_lite.prompts import PromptTemplate
from selfguide_lite.store.rows import Adapter, TrainedModel
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
        """Write down a trained adapter's file and return its id; the same file of the same run keeps its id.

        :param path: kept relative to the database's folder where it lies in it
        """
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO adapter(task_id, run_id, model_id, path, sha256, settings) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT(run_id, sha256) DO UPDATE SET path = excluded.path",
                (task_id, run_id, model_id, path_kept(self.path, Path(path)), sha256, settings_json(settings or {})),
            )
            found = connection.execute("SELECT id FROM adapter WHERE run_id = ? AND sha256 = ?", (run_id, sha256))
            return int(found.fetchone()[0])

    def latest_adapter(self, task_id: int) -> Adapter | None:
        """Return the adapter that was trained or compared with prompting last, or None."""
        return next(iter(self._adapters("task_id = ?", task_id)), None)

    def adapters(self, task_id: int) -> list[Adapter]:
        """Return a task's adapters, the oldest first."""
        return sorted(self._adapters("task_id = ?", task_id), key=lambda adapter: adapter.id)

    def adapter_of_run(self, run_id: int) -> Adapter | None:
        """Return the newest adapter that a training made, or None."""
        return max(self._adapters("run_id = ?", run_id), key=lambda adapter: adapter.id, default=None)

    def _adapters(self, where: str, value: int) -> list[Adapter]:
        """Return adapters with their files as they lie now, the one that was trained or compared last first."""
        rows = self._rows(
            "SELECT id, task_id, run_id, model_id, path, sha256, created_at, settings FROM adapter AS a"
            f" WHERE {where} ORDER BY max(created_at, ifnull((SELECT max(v.created_at) FROM verdict AS v"
            " WHERE v.adapter_id = a.id), '')) DESC, id DESC",
            value,
        )
        return [
            Adapter(
                number,
                task_id,
                run_id,
                model_id,
                str(self._found(path, sha256)),
                sha256,
                created_at,
                json.loads(settings or "{}").get("pairs"),
            )
            for number, task_id, run_id, model_id, path, sha256, created_at, settings in rows
        ]

    def _found(self, kept: str, sha256: str) -> Path:
        """Return where an adapter's file lies; where it is nowhere, where it should."""
        places = places_of(self.path, kept)
        there = [place for place in places if place.is_file()]
        if len(there) > 1:
            there.sort(key=lambda place: file_sha256(place) != sha256)
        return (there or places)[0]

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

    def model_of(self, model_id: int) -> TrainedModel:
        """Return what is known of a model that was trained on, its file where it lies now."""
        ((name, path, sha256),) = self._rows("SELECT name, path, sha256 FROM model WHERE id = ?", model_id)
        places = (*places_of(self.path, path), self.path.parent / Path(path).name)
        return TrainedModel(name, next((place for place in places if place.is_file()), Path(path)), sha256)

    def evaluated(self, adapter_id: int) -> bool:
        """Tell whether an evaluation points to an adapter."""
        return self._value("SELECT 1 FROM evaluation WHERE adapter_id = ? LIMIT 1", adapter_id) is not None
