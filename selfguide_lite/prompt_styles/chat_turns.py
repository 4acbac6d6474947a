"""Every shown input is an answer of the assistant, and the user's turn before it asks for it by its own label.

A small chat model that is asked in this way writes an input and does not talk about the task (docs/results.md).
"""

from typing import Any

from selfguide_lite.prompt_styles.base import ShownInput
from selfguide_lite.task import Task


class Style:
    """Inputs made before, then the seed examples, each with the turn that asks for it."""

    summary = "chat turns that each ask for an input by its label"
    shows_few = False

    def template(self, task: Task) -> str:
        """Return the one template, for all kinds of task."""
        return "input-chat-turns"

    def variables(
        self, task: Task, seeds: tuple[ShownInput, ...], pool: tuple[ShownInput, ...], label: str | None
    ) -> dict[str, Any]:
        """Return the shown inputs in their order; the seed examples stand next to what is asked for."""
        return {
            "instruction": task.instruction,
            "shown": [*pool, *seeds],
            "label": label,
            "meaning": task.label_meanings.get(label or ""),
        }
