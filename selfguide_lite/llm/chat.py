"""Chat messages to token ids, for inference and for training alike.

A chat template is rendered once for a pattern of roles, with unguessable marks in place of the messages. Control tokens
are made from the template's own text alone; what a message says is split into tokens as plain text, whatever it spells.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message, Role, Written
from selfguide_lite.llm.bounded import NotDone, bounded
from selfguide_lite.llm.native import Model, Vocabulary
from selfguide_lite.llm.templates import OWN, VICUNA, stops_of, template_of

# Models that think aloud are asked not to, in the words of their templates; others do not look at these.
_NO_THINKING = {"enable_thinking": False, "thinking": False}

_LONGEST_REASON = 300  # characters of what a template says of itself

_Turn = dict[str, str]
_Part = int | str | tuple[int]  # a control token, literal text, or the number of a message in a 1-tuple


class ChatFormat:
    """How one model writes a chat.

    :param vocabulary: the model's tokens
    :param template: Jinja2 source; None: Vicuna 1.5's format
    :param origin: the file it comes from, for error messages
    """

    def __init__(self, vocabulary: Vocabulary, template: str | None, origin: str = "chat template"):
        self.vocabulary = vocabulary
        self.source = template or VICUNA
        self._origin = origin
        self._environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        self._environment.globals["raise_exception"] = self._refuse
        self._environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        self._skeletons: dict[tuple[tuple[Role, ...], bool], list[_Part]] = {}
        names = sorted(vocabulary.named_tokens, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, names)) or r"(?!)")

    @classmethod
    def of(cls, model: Model) -> "ChatFormat":
        """Return the format of a loaded model (`vocab_only` suffices)."""
        return cls(model.vocabulary, template_of(model), str(model.path))

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer beside the end tokens."""
        return stops_of(self.source)

    def prompt(self, messages: Sequence[Message] | str) -> list[int]:
        """Token ids of a chat up to where the assistant begins to answer, or of a plain text.

        :raises SelfguideError: where the model's template cannot be rendered
        """
        if isinstance(messages, Written):
            return self._begin(self.vocabulary.tokenize(messages, control=True))
        if isinstance(messages, str):
            return self._begin(self.text(messages))
        skeleton = self._skeleton(tuple(message.role for message in messages), True)
        return self._begin(self._fill(skeleton, messages))

    def answer(self, messages: Sequence[Message] | str, text: str) -> list[int]:
        """Token ids that follow `prompt(messages)` when the assistant says `text`, the end token included."""
        if isinstance(messages, str):
            return [*self.continued(text), self._end()]
        roles = tuple(message.role for message in messages)
        before, after = self._skeleton(roles, True), self._skeleton((*roles, "assistant"), False)
        rest = _rest(before, after)
        if rest is None:  # the template writes past answers otherwise than the one it asks for
            return [*self.continued(text), self._end()]
        ids: list[int] = []
        run = ""
        for part in rest:
            if isinstance(part, int):
                ids += [*(self.text(run) if ids else self.continued(run)), part]
                run = ""
                if part in self.vocabulary.end_tokens:
                    return ids
            else:
                run += part if isinstance(part, str) else text
        return [*ids, *(self.text(run.rstrip()) if ids else self.continued(run.rstrip())), self._end()]

    def lead(self, messages: Sequence[Message] | str) -> str:
        """Return the blanks that the template writes before an answer, after what `prompt(messages)` ends with."""
        if isinstance(messages, str):
            return ""
        roles = tuple(message.role for message in messages)
        rest = _rest(self._skeleton(roles, True), self._skeleton((*roles, "assistant"), False))
        first = rest[0] if rest else ""
        return first if isinstance(first, str) and first.isspace() else ""

    def written(self, messages: Sequence[Message]) -> str:
        """The prompt as one text with control tokens by their names, for other programs that read it so."""
        return self._render([message.role for message in messages], [message.content for message in messages], True)

    def _end(self) -> int:
        vocabulary = self.vocabulary
        return vocabulary.eot if vocabulary.eot >= 0 else vocabulary.eos

    def _begin(self, ids: list[int]) -> list[int]:
        bos = self.vocabulary.bos
        return ids if not self.vocabulary.add_bos or ids[:1] == [bos] else [bos, *ids]

    def _refuse(self, reason: str) -> None:
        raise TemplateError(str(reason))

    def _skeleton(self, roles: tuple[Role, ...], ask: bool) -> list[_Part]:
        """Return the template's output for these roles: control tokens, literal text, places of messages."""
        key = (roles, ask)
        if key not in self._skeletons:
            marks = [f"m{secrets.token_hex(16)}m" for _ in roles]
            text = self._render(roles, marks, ask)
            missing = [role for role, mark in zip(roles, marks, strict=True) if mark not in text]
            if missing:
                raise SelfguideError(f"{self._origin}: the model's chat template drops the {missing[0]}'s message")
            self._skeletons[key] = self._cut(text, marks)
        return self._skeletons[key]

    def _render(self, roles: Sequence[Role], marks: Sequence[str], ask: bool) -> str:
        """Render the template; one that a file brought gets a process of its own, for it may loop or fill the memory.

        :raises SelfguideError: where it cannot be rendered
        """

        def work() -> str:
            return self._first_whole(roles, marks, ask)

        try:
            return work() if self.source in OWN else bounded(work)
        except (TemplateError, NotDone) as error:
            raise SelfguideError(
                f"{self._origin}: the model's chat template cannot be rendered: {str(error)[:_LONGEST_REASON]}"
            ) from error

    def _first_whole(self, roles: Sequence[Role], marks: Sequence[str], ask: bool) -> str:
        """Return the first way to write the chat that has all its messages, else the last one that can be rendered.

        :raises TemplateError: where none can be rendered
        """
        turns = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
        vocabulary = self.vocabulary
        names = {
            "bos_token": vocabulary.text(vocabulary.bos) if vocabulary.bos >= 0 else "",
            "eos_token": vocabulary.text(vocabulary.eos) if vocabulary.eos >= 0 else "",
        }
        reason = text = ""
        for attempt in (turns, *_merged(turns)):
            try:
                template = self._environment.from_string(self.source)
                text = template.render(messages=attempt, add_generation_prompt=ask, tools=None, **_NO_THINKING, **names)
            except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
                reason = str(error)
                continue
            if all(mark in text for mark in marks):
                return text
        if reason:
            raise TemplateError(reason)
        return text

    def _cut(self, text: str, marks: Sequence[str]) -> list[_Part]:
        parts: list[_Part] = []
        for piece in re.split(f"({'|'.join(marks)})" if marks else r"(?!)", text):
            if piece in marks:
                parts.append((marks.index(piece),))
                continue
            position = 0
            for match in self._names.finditer(piece):
                parts += [piece[position : match.start()], self.vocabulary.named_tokens[match.group()]]
                position = match.end()
            parts.append(piece[position:])
        return [part for part in parts if part != ""]

    def _fill(self, skeleton: Sequence[_Part], messages: Sequence[Message]) -> list[int]:
        ids: list[int] = []
        run = ""
        for part in skeleton:
            if isinstance(part, int):
                ids += [*self.text(run), part]
                run = ""
            else:
                run += part if isinstance(part, str) else messages[part[0]].content
        return ids + self.text(run)

    def text(self, text: str) -> list[int]:
        """Tokenize as text: where it spells a control token, that is cut in two and can be none."""
        if not text:
            return []
        ids: list[int] = []
        start = 0
        for match in self._names.finditer(text):
            middle = match.start() + max(1, len(match.group()) // 2)
            if middle < match.end():
                ids += self._plain(text[start:middle], first=start == 0)
                start = middle
        return ids + self._plain(text[start:], first=start == 0)

    def continued(self, text: str) -> list[int]:
        """Tokenize as text that goes on after other text."""
        if not text:
            return []
        if not self.vocabulary.sentencepiece:
            return self.text(text)
        head = self.vocabulary.tokenize("\n")
        ids = self.text("\n" + text)
        if ids[: len(head)] == head:
            return ids[len(head) :]
        return self.text(text)  # a vocabulary that joins line ends to what follows

    def _plain(self, text: str, *, first: bool) -> list[int]:
        vocabulary = self.vocabulary
        if first or not vocabulary.sentencepiece:
            ids = vocabulary.tokenize(text)
        else:
            head = vocabulary.tokenize("\n")
            ids = vocabulary.tokenize("\n" + text)
            ids = ids[len(head) :] if ids[: len(head)] == head else vocabulary.tokenize(text)
        if len(text) > 1 and any(token in self._forbidden for token in ids):
            middle = len(text) // 2
            return self._plain(text[:middle], first=first) + self._plain(text[middle:], first=False)
        return ids

    @property
    def _forbidden(self) -> frozenset[int]:
        return self.vocabulary.control_ids


def _merged(turns: Sequence[_Turn]) -> list[list[_Turn]]:
    """Return chats that say the same in fewer turns, for templates that refuse a system turn or two users in a row."""
    found: list[list[_Turn]] = []
    if len(turns) > 1 and turns[0]["role"] == "system":
        content = f"{turns[0]['content']}\n\n{turns[1]['content']}"
        found.append([{"role": turns[1]["role"], "content": content}, *turns[2:]])
    for chat in (turns, *found[:1]):
        joined: list[_Turn] = []
        for turn in chat:
            if joined and joined[-1]["role"] == turn["role"]:
                joined[-1] = turn | {"content": f"{joined[-1]['content']}\n\n{turn['content']}"}
            else:
                joined.append(turn)
        if len(joined) < len(chat):
            found.append(joined)
    return found


def _rest(before: Sequence[_Part], after: Sequence[_Part]) -> list[_Part] | None:
    """Return what `after` adds to `before`; None where it does not begin with it."""
    if not before:
        return list(after)
    last = len(before) - 1
    if list(after[:last]) != list(before[:last]) or len(after) <= last:
        return None
    ours, theirs = before[last], after[last]
    if ours == theirs:
        return list(after[last + 1 :])
    if isinstance(ours, str) and isinstance(theirs, str) and theirs.startswith(ours):
        return [theirs[len(ours) :], *after[last + 1 :]]
    return None
