"""Writes models and the runs of the stages: what was done, with which model, settings, seed and prompt template."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.paths import path_kept
from selfguide_lite.core.settings import Settings
from selfguide_lite.core.version import __version__
from selfguide_lite.prompts import PromptTemplate
from selfguide_lite.store.store_file import StoreFile
from selfguide_lite.store.stored_values import NOW, settings_json


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run about to be written down.

    :param dataset_sha256: hash of the pairs that a training uses
    """

    task_id: int
    stage: str
    model_id: int | None
    settings: Settings | Mapping[str, Any]
    seed: int
    template: PromptTemplate | None
    dataset_sha256: str | None = None


class RunStore(StoreFile):
    """The tables `model` and `run`."""

    def add_model(self, info: ModelInfo) -> int:
        """Put a model into the store, or find it there by its hash and adapter, and return its id.

        Its file is kept with its whole path, that of an adapter relative to the database where it lies beside it.
        """
        path = str(Path(info.path).absolute()) if Path(info.path).is_file() else info.path
        adapter = None if info.adapter is None else path_kept(self.path, Path(info.adapter))
        found = self._value(
            "SELECT id FROM model WHERE sha256 = ? AND ifnull(adapter, '') IN (?, ?) ORDER BY id LIMIT 1",
            info.sha256,
            adapter or "",
            info.adapter or "",
        )
        if found is not None:
            return int(found)
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO model(name, path, sha256, architecture, parameters, adapter) VALUES (?, ?, ?, ?, ?, ?)",
                (info.name, path, info.sha256, info.architecture, info.parameters, adapter),
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
        return self._insert_run(NewRun(task_id, stage, model_id, settings, seed, template))

    def _insert_run(self, new: NewRun) -> int:
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO run(task_id, stage, model_id, seed, settings, template, template_sha256, dataset_sha256,"
                " program_version, version)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ifnull((SELECT version FROM task WHERE id = ?), 1))",
                (
                    new.task_id,
                    new.stage,
                    new.model_id,
                    new.seed,
                    settings_json(new.settings),
                    new.template.source if new.template else None,
                    new.template.sha256 if new.template else None,
                    new.dataset_sha256,
                    __version__,
                    new.task_id,
                ),
            )
            return int(cursor.lastrowid or 0)

    def finish_run(self, run_id: int, reason: str) -> None:
        """Write down when and why a run ended, such as `done` or `interrupted`."""
        with self._writing() as connection:
            connection.execute(f"UPDATE run SET finished_at = {NOW}, reason = ? WHERE id = ?", (reason, run_id))

    def model_sha256(self, model_id: int) -> str | None:
        """Return the hash of a model's file, or None where there is no such model."""
        found: str | None = self._value("SELECT sha256 FROM model WHERE id = ?", model_id)
        return found

    def other_writers(self, task_id: int, model_id: int) -> list[str]:
        """Return the names of the models, other than this one, that generated or annotated texts of a task."""
        rows = self._rows(
            "SELECT DISTINCT m.name FROM run AS r JOIN model AS m ON m.id = r.model_id"
            " WHERE r.task_id = ? AND r.stage IN ('generate', 'annotate') AND m.id <> ?",
            task_id,
            model_id,
        )
        return [name for (name,) in rows]
