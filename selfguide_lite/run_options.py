"""How a job is done: what its caller may choose, the same for every task and stage of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfguide_lite.core.progress import Listener, NullListener
from selfguide_lite.core.renamed import with_current_names
from selfguide_lite.core.settings import Settings
from selfguide_lite.llm.options import EngineOptions
from selfguide_lite.prompts import Prompts
from selfguide_lite.task import Task


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a job is done; everything has a default.

    :param model: GGUF file; None: `$SELFGUIDE_MODEL`, else the default model
    :param settings: fields of `Settings` to change for this job, over those of the task
    :param prompts: the templates, such as ``Prompts(Path("my-prompts"))``
    :param seed: fixes prompts, samples, the order of training and the halves of the evaluation rows
    :param listener: told what happens; the default says nothing
    :param train: whether to finetune; without it a run ends with the dataset
    :param measure: whether to compare methods on the evaluation rows; without it these are only kept out of the data
    :param engine: how the model is opened, and the server that writes the data in its place, if there is one
    :param watch: given each engine that a run opens; what it returns is used in its place, so that it can be measured
    """

    model: Path | str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    prompts: Prompts = field(default_factory=Prompts)
    seed: int = 42
    listener: Listener = field(default_factory=NullListener)
    train: bool = True
    measure: bool = True
    engine: EngineOptions = field(default_factory=EngineOptions)
    watch: Callable[[Any], Any] = lambda engine: engine

    def set_for(self, task: Task) -> Task:
        """Return a task with the job's settings over its own.

        :raises pydantic.ValidationError: where there is no such setting, or a value does not fit
        """
        return task.model_copy(update={"settings": task.settings.changed(self.settings)})

    def chosen(self, task: Task, stored: Mapping[str, Any]) -> Settings:
        """Return a task's settings with those chosen in its database over them, and the job's over these.

        :param stored: as `Store.chosen_settings` gives them
        """
        return task.settings.changed({**stored, **with_current_names(self.settings)})
