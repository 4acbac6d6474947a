"""What every style is given."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ShownInput:
    """An input that a prompt shows.

    :param label: for classification, its label: of a seed example the right one, of a written input the one it was
        asked for
    :param meaning: what that label means, where the task says it
    """

    text: str
    label: str | None = None
    meaning: str | None = None
