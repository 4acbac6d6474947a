"""The paper's way (arXiv 2407.12874): one turn that lists seed inputs and inputs made before, without labels."""

from typing import Any

from selfguide_lite.prompt_styles.base import ShownInput
from selfguide_lite.task import Task


class Style:
    """One user turn with two lists."""

    summary = "one prompt that lists examples and earlier inputs without labels, as in the paper"
    shows_few = True

    def template(self, task: Task) -> str:
        """Return the template for tasks with labels, or the one for those without."""
        return f"input-paper-{'classification' if task.rules.labelled else 'generation'}"

    def variables(
        self, task: Task, seeds: tuple[ShownInput, ...], pool: tuple[ShownInput, ...], label: str | None
    ) -> dict[str, Any]:
        """Return the two lists as plain texts."""
        return {
            "instruction": task.instruction,
            "good": [one.text for one in seeds],
            "flawed": [one.text for one in pool],
            "label": label,
            "labels": list(task.labels),
        }
