"""The task's examples stand before the input."""

from collections.abc import Sequence

from selfguide_lite.task import Example, Task


class Style:
    """Every example is a turn of the user and a turn of the assistant."""

    summary = "with the task's examples before the input"

    def examples(self, task: Task, text: str) -> Sequence[Example]:
        """Return all examples of the task."""
        return task.examples
