"""Ways to ask for a new input, one file each. A style names its template and says what the template is given.

A style is found by its name, with `-` as `_`, in this folder; its class is called `Style`. Knows nothing of models.
"""

from typing import Any, Protocol

from selfguide_lite.core.registry import INPUT_STYLES
from selfguide_lite.prompt_styles.base import ShownInput
from selfguide_lite.task import Task

__all__ = ["InputStyle", "ShownInput", "input_style"]


class InputStyle(Protocol):
    """How an input is asked for."""

    summary: str
    """What it is, in a few words."""
    shows_few: bool
    """Whether a random number of the pool's inputs is shown, and not always as many as are allowed."""

    def template(self, task: Task) -> str:
        """Name of the template, without `.j2`; of a style of another package the whole path of its file."""
        ...

    def variables(
        self, task: Task, seeds: tuple[ShownInput, ...], pool: tuple[ShownInput, ...], label: str | None
    ) -> dict[str, Any]:
        """What the template is rendered with.

        :param seeds: the seed examples in the order in which they are to be shown
        :param pool: inputs made so far
        :param label: for classification, the label whose input is asked for
        """
        ...


def input_style(name: str) -> InputStyle:
    """Return a style by its name, such as `chat-turns`.

    :raises SelfguideError: where there is none; settings are checked before
    """
    style: InputStyle = INPUT_STYLES.get(name)
    return style
