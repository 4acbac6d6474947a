"""A task's prompt as other programs need it: what stands before and after the input, and how each turn is written."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message, Role
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.prompts import Prompts
from selfguide_lite.task import Task

_USUAL = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))


@dataclass(frozen=True, slots=True)
class PromptText:
    """The prompt of a task for any input.

    :param messages: all that stand before the one with the input
    :param role: of the message with the input
    :param input_before: what that message says before the input, `input_after` what it says after it
    :param before: the whole prompt as text up to the input, control tokens by their names and no beginning-of-text
        token; `after` is what follows the input
    :param turns: what the chat format writes before a message, by the role before it (none for the first) and its own;
        None where that does not tell how this model's chats are written
    :param ask: what the chat format writes after the last message
    :param answer_begins: what it writes before an answer that `ask` does not have
    :param stops: the names of the tokens that end an answer
    :param stop_texts: texts that end one too; most chat formats have none
    """

    messages: tuple[Message, ...]
    role: Role
    input_before: str
    input_after: str
    before: str
    after: str
    turns: Mapping[tuple[str, str], str] | None
    ask: str
    answer_begins: str
    stops: tuple[str, ...]
    stop_texts: tuple[str, ...]

    @classmethod
    def of(cls, task: Task, prompts: Prompts, style: str, chat: ChatFormat) -> Self:
        """Take a task's prompt apart.

        :param style: name of the answer style
        :raises SelfguideError: where the template does not show the input once, as it is
        """
        mark = _mark()
        messages = prompts.answer(task, mark, style)
        whole = "\0".join(message.content for message in messages)
        if whole.count(mark) != 1 or mark not in messages[-1].content:
            raise SelfguideError(
                f"{prompts.answer_template(style).path}: an export needs a template that shows the input once, as it "
                "is, in its last message"
            )
        input_before, input_after = messages[-1].content.split(mark)
        before, after = _without_begin(chat, chat.written(messages)).split(mark)
        turns, ask, answer_begins = _turns(chat, messages)
        vocabulary = chat.vocabulary
        stops = (vocabulary.text(token) for token in sorted(vocabulary.end_tokens))
        return cls(
            messages[:-1], messages[-1].role, input_before, input_after, before, after, turns, ask, answer_begins,
            tuple(stop for stop in stops if stop), chat.stops,
        )  # fmt: skip

    def text(self, given: str) -> str:
        """Return the whole prompt for an input."""
        return f"{self.before}{given}{self.after}"


def _mark() -> str:
    return f"m{secrets.token_hex(16)}m"


def _without_begin(chat: ChatFormat, text: str) -> str:
    """Leave out the beginning-of-text token: the programs add it themselves."""
    vocabulary = chat.vocabulary
    return text.removeprefix(vocabulary.text(vocabulary.bos)) if vocabulary.add_bos else text


def _turns(chat: ChatFormat, messages: Sequence[Message]) -> tuple[Mapping[tuple[str, str], str] | None, str, str]:
    """Return what the chat format writes before each turn, after the last one, and before an answer."""
    found: dict[tuple[str, str], str] = {}
    told, ask = True, ""
    for turns in (messages, _USUAL):
        pieces = _pieces(chat, turns)
        if pieces is None:
            told = False
            continue
        if turns is messages:
            ask = pieces[-1]
        roles = ["", *(turn.role for turn in turns)]
        for key, piece in zip(pairwise(roles), pieces, strict=False):
            if found.setdefault(key, piece) != piece and turns is messages:
                told = False
    answered = found.get(("user", "assistant"), "")
    begins = answered.removeprefix(ask) if ask and answered.startswith(ask) else ""
    return (found if told else None), ask, begins if begins.isspace() else ""


def _pieces(chat: ChatFormat, turns: Sequence[Message]) -> list[str] | None:
    """Return what stands before each turn and after the last one; None where turns are not written in their order."""
    marks = [_mark() for _ in turns]
    rest = _without_begin(
        chat, chat.written([Message(turn.role, mark) for turn, mark in zip(turns, marks, strict=True)])
    )
    pieces = []
    for mark in marks:
        if rest.count(mark) != 1:
            return None
        piece, rest = rest.split(mark)
        pieces.append(piece)
    return [*pieces, rest]
