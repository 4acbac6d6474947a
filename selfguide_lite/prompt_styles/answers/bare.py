"""Nothing but the instruction stands before the input."""

from collections.abc import Sequence

from selfguide_lite.task import Example, Task


class Style:
    """A prompt that is short to read; a finetuned model has the examples in its weights."""

    summary = "the instruction and the input alone"

    def examples(self, task: Task, text: str) -> Sequence[Example]:
        """Return none."""
        return ()
