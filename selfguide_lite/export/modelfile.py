"""Ollama's Modelfile: written for a task's prompt, and read back as Ollama reads it.

A Modelfile has no escapes: three quotes hold everything but three quotes. A prompt that cannot be written as messages
is written into the template as a whole.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message, Role
from selfguide_lite.core.text import neutral
from selfguide_lite.export.go_template import go_string, render
from selfguide_lite.export.prompt_text import PromptText

_QUOTES = '"""'
_LAST = "eq (len (slice $.Messages $i)) 1"
_LINE = re.compile(r"([A-Za-z]+)[ \t]+")


@dataclass(slots=True)
class Modelfile:
    """What a Modelfile says.

    :param messages: role and content of each turn that stands before what a user asks
    :param parameters: names and values; `stop` may come several times
    """

    weights: str = ""
    template: str = ""
    parameters: list[tuple[str, str]] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    @classmethod
    def of(cls, prompt: PromptText, weights: str, parameters: Sequence[tuple[str, str]]) -> Self:
        """Return a Modelfile whose prompt for an input is the one that the model was trained on.

        :param weights: path of the GGUF, relative to the Modelfile
        """
        texts = (*prompt.stops, *prompt.stop_texts)
        stops = [("stop", stop) for stop in texts if '"' not in stop and neutral(stop, keep_lines=True) == stop]
        made = cls(weights, "", [*parameters, *stops])
        if prompt.turns is not None and all(map(_can_be_quoted, prompt.messages)):
            made.messages = list(prompt.messages)
            made.template = _template(prompt)
            if made.says_the_same(prompt):
                return made
        made.messages = []
        made.template = _whole(prompt)
        return made

    def says_the_same(self, prompt: PromptText) -> bool:
        """Tell whether the whole prompt for an input is the one that it should be."""
        given = "an input"
        try:
            return self.prompt(given, prompt.role) == prompt.text(given)
        except ValueError:
            return False

    def prompt(self, given: str, role: Role = "user") -> str:
        """Return the whole prompt for what a user asks, as Ollama makes it, but for a beginning-of-text token.

        Ollama joins neighbouring messages of one role and takes system messages out of the others too.

        :raises ValueError: where the template says what is not known here
        """
        turns: list[dict[str, str]] = []
        for message in (*self.messages, Message(role, given)):
            if turns and turns[-1]["Role"] == message.role:
                turns[-1]["Content"] += f"\n\n{message.content}"
            else:
                turns.append({"Role": message.role, "Content": message.content})
        system = "\n\n".join(message.content for message in self.messages if message.role == "system")
        return render(self.template, {"Messages": turns, "System": system})

    def __str__(self) -> str:
        lines = [f"FROM {self.weights}", f"TEMPLATE {_QUOTES}{self.template}{_QUOTES}"]
        lines += [f"PARAMETER {name} {_value(value)}" for name, value in self.parameters]
        lines += [f"MESSAGE {message.role} {_QUOTES}{message.content}{_QUOTES}" for message in self.messages]
        return "\n".join(lines) + "\n"

    @classmethod
    def read(cls, text: str) -> Self:
        """Read a Modelfile.

        :raises SelfguideError: where it has a line that is not known here
        """
        found = cls()
        for command, value in _commands(text):
            name, _, rest = value.partition(" ")
            if command == "from":
                found.weights = value
            elif command == "template":
                found.template = _unquoted(value) or ""
            elif command == "parameter":
                found.parameters.append((name, _unquoted(rest.strip()) or ""))
            elif command == "message" and name in ("system", "user", "assistant"):
                role: Role = "system" if name == "system" else "user" if name == "user" else "assistant"
                found.messages.append(Message(role, _unquoted(rest.strip()) or ""))
            else:
                raise SelfguideError(f"Modelfile: {command} is not known here")
        return found


def _can_be_quoted(message: Message) -> bool:
    content = message.content
    return _QUOTES not in content and bool(content) and neutral(content, keep_lines=True) == content


def _template(prompt: PromptText) -> str:
    """Write each message as the chat format does, by its role and the role before it, and the input in its words."""
    cases: list[str] = []
    for (before, role), piece in (prompt.turns or {}).items():
        word = "else if" if cases else "if"
        cases.append(f'{{{{- {word} and (eq $before "{before}") (eq .Role "{role}") }}}}{go_string(piece)}')
    content = "{{ .Content }}"
    if prompt.input_before or prompt.input_after:
        own = f"{go_string(prompt.input_before)}{{{{ .Content }}}}{go_string(prompt.input_after)}"
        content = f"{{{{- if {_LAST} }}}}{own}{{{{ else }}}}{{{{ .Content }}}}{{{{ end }}}}"
    lines = [
        '{{- $before := "" }}',
        "{{- range $i, $_ := .Messages }}",
        *cases,
        "{{- end }}" + content,
        "{{- $before = .Role }}",
        "{{- end }}" + go_string(prompt.ask),
    ]
    return "\n".join(lines)


def _whole(prompt: PromptText) -> str:
    """Write the whole prompt around what was asked last; what was said before is left out."""
    return (
        f"{go_string(prompt.before)}{{{{- range $i, $_ := .Messages }}}}{{{{- if {_LAST} }}}}{{{{ .Content }}}}"
        f"{{{{- end }}}}{{{{- end }}}}{go_string(prompt.after)}"
    )


def _value(text: str) -> str:
    quotes = _QUOTES if "\n" in text else '"'
    return text if re.fullmatch(r"[-\w.]+", text) else f"{quotes}{text}{quotes}"


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction's name and what follows it; a quoted text goes on over lines."""
    rest = text
    while rest:
        line, _, following = rest.partition("\n")
        if not line.strip() or line.lstrip().startswith("#"):
            rest = following
            continue
        match = _LINE.match(line)
        if match is None:
            raise SelfguideError(f"Modelfile: {line[:80]!r} is no instruction")
        value, rest = rest[match.end() :].partition("\n")[0], following
        while _unquoted(_after_name(value)) is None:
            line, _, rest = rest.partition("\n")
            value += f"\n{line}"
            if not rest and _unquoted(_after_name(value)) is None:
                raise SelfguideError(f"Modelfile: {match[1]} has a text that does not end")
        yield match[1].lower(), value.strip()


def _after_name(value: str) -> str:
    """Return the quoted part of a value: that of MESSAGE and PARAMETER stands after a name."""
    return value[value.index('"') :].strip() if '"' in value else value.strip()


def _unquoted(text: str) -> str | None:
    """Return what stands between quotes, or the text itself; None where the closing quotes are missing."""
    for quotes in (_QUOTES, '"'):
        if text.startswith(quotes):
            inner = text[len(quotes) :]
            return inner.removesuffix(quotes) if inner.endswith(quotes) else None
    return text
