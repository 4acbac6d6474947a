"""Forms of a record, one file each: what a trainer calls the parts of a pair. Found as input styles are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from selfguide_lite.core.messages import Message
from selfguide_lite.core.registry import FORMS

Turn = dict[str, str | bool]
# Of a column: None, a text; else turns of a chat, with the type of each of their fields.
Column = Mapping[str, type[str] | type[bool]] | None

CHAT_TURN: Mapping[str, type[str] | type[bool]] = {"role": str, "content": str}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A pair, and how the model is asked for its output.

    :param question: the instruction, with what is said of the fields where answers are objects
    :param ask: makes the messages that `train` puts before the answer to an input
    """

    question: str
    input: str
    output: str
    ask: Callable[[str], Sequence[Message]]

    def prompt(self) -> list[Turn]:
        """Return the turns before the answer, as they are trained on."""
        return [turn(message.role, message.content) for message in self.ask(self.input)]


class Form(Protocol):
    """What a record holds."""

    summary: str
    """What it is and for which trainers, in a few words."""
    columns: Mapping[str, Column]
    """Its columns in their order."""

    def record(self, exchange: Exchange) -> dict[str, Any]:
        """Return a pair as a record, with just these columns."""
        ...


def turn(role: str, content: str) -> Turn:
    """Return a turn of a chat as trainers name its parts."""
    return {"role": role, "content": content}


def form_named(name: str) -> Form:
    """Return a form by its name, such as `prompt-completion`.

    :raises SelfguideError: where there is none
    """
    form: Form = FORMS.get(name)
    return form
