"""What every stage of a task's run works with."""

from dataclasses import dataclass, field

from selfguide_lite.core.progress import Listener, NullListener
from selfguide_lite.core.settings import Settings
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import Store
from selfguide_lite.task import Task


@dataclass(frozen=True, slots=True)
class RunContext:
    """A task in its store, and how its stages are done.

    :param settings: those of the task with what was given for this call; what was left open is filled in
    :param seed: fixes prompts, samples, the order of training and the halves of the evaluation rows
    """

    store: Store
    task_id: int
    settings: Settings
    prompts: Prompts = field(default_factory=Prompts)
    seed: int = 42
    listener: Listener = field(default_factory=NullListener)

    def __post_init__(self) -> None:
        """Fill in the defaults of the task's kind."""
        object.__setattr__(self, "settings", self.settings.resolve(self.task.kind))

    @property
    def task(self) -> Task:
        """The task as the store has it."""
        return self.store.task(self.task_id)
