"""What every job of several trainings works with: model, prompts, seed, and how the model is opened and trained.

Knows nothing of what is compared or searched for.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from selfguide_lite.core.progress import Listener
from selfguide_lite.core.renamed import renamed_notes, with_current_names
from selfguide_lite.core.settings import Settings
from selfguide_lite.llm import Engine, EngineOptions, model_path, open_engine
from selfguide_lite.methods.asking import is_taught
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import Pair, Store
from selfguide_lite.task import Task


def pairs_key(pairs: Sequence[Pair]) -> str:
    """SHA-256 of what pairs teach: their texts in their order."""
    content = [[pair.input, pair.output] for pair in pairs]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ExperimentContext:
    """The same for every task and method of a job.

    :param changes: fields of `Settings` to change, over those of a task
    :param seed: fixes generations, samples and training
    :param engine: how the model is opened
    """

    model: Path
    changes: Mapping[str, Any]
    prompts: Prompts
    seed: int
    listener: Listener
    engine: EngineOptions

    @classmethod
    def of(cls, options: RunOptions | None) -> Self:
        """Fill in what was left open.

        :raises SelfguideError: where there is no such model
        """
        given = options or RunOptions()
        model = model_path(given.model)
        for line in renamed_notes(given.settings):
            given.listener.note(line)
        settings = with_current_names(given.settings)
        return cls(model, settings, given.prompts, given.seed, given.listener, given.engine)

    def opened(self, model: Path | None = None) -> Any:
        """Open the model's engine, or another model's in the same way, as a context."""
        return open_engine(model or self.model, self.engine)

    def set_for(self, task: Task, changes: Mapping[str, Any] | None = None) -> Task:
        """Return a task with the job's settings over its own, and further ones over these."""
        return task.model_copy(update={"settings": task.settings.changed({**self.changes, **(changes or {})})})

    def of_task(self, store: Store, task_id: int, settings: Settings) -> RunContext:
        """Return what the stages of one task's run work with."""
        return RunContext(store, task_id, settings, self.prompts, self.seed, self.listener)

    def write(self, store: Store, task_id: int, engine: Engine, settings: Settings) -> None:
        """Write a task's inputs and answer them, as a run does, or what is missing of it."""
        from selfguide_lite.synthesis import synthesize

        synthesize(self.of_task(store, task_id, settings), engine)

    def answer(self, store: Store, task_id: int, engine: Engine, settings: Settings) -> None:
        """Answer the inputs that passed the filters as the store shows them, or those that lack answers."""
        from selfguide_lite.synthesis import annotate

        annotate(self.of_task(store, task_id, settings), engine)

    def train_beside(
        self,
        db: Path,
        task: Task,
        pairs: Sequence[Pair],
        place: Path,
        settings: Settings,
        prompts: Prompts | None = None,
    ) -> Path:
        """Finetune on given pairs and return the GGUF adapter; a finetune that was finished before is not done again.

        There is no teacher, whose answers to inputs without pairs would be learnt too: it is the pairs that are tried.

        :param db: a database that keeps this training's steps, apart from a run's own
        :param place: folder for the LoRA, its checkpoints and the adapter
        :param prompts: that ask for the pairs' outputs, where they are not the job's
        :raises SelfguideError: where there is nothing to learn or the model cannot be trained
        """
        from selfguide_lite.finetune import TrainOptions, TrainTarget
        from selfguide_lite.finetuning import train_task
        from selfguide_lite.gguf.adapter import write_adapter

        if is_taught(task, settings.answer_style, teacher=settings.teacher):
            self.listener.note(
                "the short prompt is learnt from the pairs themselves here, without the teacher that a run has"
            )
        place.mkdir(parents=True, exist_ok=True)
        adapter = place / "adapter.gguf"
        with Store.open(db) as store:
            task_id = store.add_task(task.model_copy(update={"settings": Settings()}))
            context = RunContext(store, task_id, settings, prompts or self.prompts, self.seed, self.listener)
            options = TrainOptions.from_settings(settings, seed=self.seed)
            result = train_task(context, TrainTarget(self.model, place), options, pairs)
            if not (result.skipped and adapter.is_file()):
                write_adapter(result.folder, self.model, adapter)
        return adapter
