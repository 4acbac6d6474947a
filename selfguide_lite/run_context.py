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
    :ivar task: as the store has it
    :param seed: fixes prompts, samples, the order of training and the halves of the evaluation rows
    """

    store: Store
    task_id: int
    settings: Settings
    prompts: Prompts = field(default_factory=Prompts)
    seed: int = 42
    listener: Listener = field(default_factory=NullListener)
    task: Task = field(init=False)

    def __post_init__(self) -> None:
        """Read the task, and fill in the defaults of its kind."""
        object.__setattr__(self, "task", self.store.task(self.task_id))
        object.__setattr__(self, "settings", self.task.rules.resolve(self.settings))
