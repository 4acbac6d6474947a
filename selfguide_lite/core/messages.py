"""The turns of a chat."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat. The content is always plain text: it never becomes a control token."""

    role: Role
    content: str


class Written(str):
    """A whole prompt as another program is given it: control tokens stand in it by their names."""

    __slots__ = ()
