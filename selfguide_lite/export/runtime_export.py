"""How other programs run what was made: an Ollama Modelfile and a llama.cpp command, the task's own prompt in them.

Both carry the instruction and the examples, so that what a user gives is the bare input.
"""

import re
import secrets
import shlex
from dataclasses import dataclass
from pathlib import Path

from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.messages import Message
from selfguide_lite.core.text import neutral
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.native import Model
from selfguide_lite.prompts import Prompts
from selfguide_lite.task import Task

_MAX_TOKENS = 500


@dataclass(frozen=True, slots=True)
class _Exported:
    """What both files are about.

    :param base: the GGUF that the data came from
    :param made: the adapter, or the merged model
    :param adapter: which of the two it is
    :param context: tokens of prompt and answer
    """

    base: Path
    made: Path
    adapter: bool
    context: int
    max_tokens: int


def write_handover(
    task: Task, prompts: Prompts, base: Path, made: Path, *, adapter: bool, max_tokens: int = _MAX_TOKENS
) -> list[Path]:
    """Write `NAME.Modelfile` and `NAME.sh` beside an adapter or a merged model and return their paths.

    :param base: the GGUF that the data came from
    :param made: the adapter, or the merged model
    :param adapter: which of the two it is
    """
    with GgufFile(base) as gguf:
        context = min(int(gguf.get("context_length", 4096)), 4096)
    exported = _Exported(base.resolve(), made, adapter, context, max_tokens)
    model = Model(base, vocab_only=True)
    try:
        chat = ChatFormat.of(model)
        bos = chat.vocabulary.text(chat.vocabulary.bos) if chat.vocabulary.add_bos else ""
        mark = f"m{secrets.token_hex(16)}m"
        # Both are files for people to read and for programs to run: no text in them may be obeyed by a terminal.
        messages = tuple(
            Message(message.role, neutral(message.content, keep_lines=True)) for message in prompts.annotate(task, mark)
        )
        before, after = neutral(chat.written(messages).removeprefix(bos), keep_lines=True).split(mark)
        modelfile = _modelfile(exported, chat, bos, messages, mark)
    finally:
        model.close()
    paths = [made.with_suffix(".Modelfile"), made.with_suffix(".sh")]
    with atomic_write(paths[0]) as part:
        part.write_text(f"# ollama create {_name(task)} -f {paths[0].name}\n{modelfile}", encoding="utf-8")
    with atomic_write(paths[1]) as part:
        part.write_text(_script(exported, before, after, paths[1].name), encoding="utf-8")
        part.chmod(0o755)
    return paths


def _script(exported: _Exported, before: str, after: str, name: str) -> str:
    """The shell script of a name.

    :param before: the prompt up to the input, `after` what follows it
    """
    base, made = shlex.quote(str(exported.base)), shlex.quote(exported.made.name)
    weights = f'-m {base} --lora "$here"/' if exported.adapter else '-m "$here"/'
    return (
        "#!/bin/sh\n"
        f"# Answers one input with llama.cpp's own program:  sh {shlex.quote(name)} 'THE INPUT'\n"
        'here=$(dirname -- "$0")\n'
        f"before={shlex.quote(before)}\n"
        f"after={shlex.quote(after)}\n"
        f"exec llama-completion {weights}{made} --ctx-size {exported.context} --predict {exported.max_tokens} \\\n"
        '  --temp 0 --no-conversation --no-display-prompt --no-escape --prompt "$before$1$after"\n'
    )


def _modelfile(exported: _Exported, chat: ChatFormat, bos: str, messages: tuple[Message, ...], mark: str) -> str:
    """The weights, the chat format as Ollama writes templates, the examples as turns, greedy sampling."""
    made = f"./{exported.made.name}"
    weights = [f"FROM {exported.base}", f"ADAPTER {made}"] if exported.adapter else [f"FROM {made}"]
    turns = [Message("user", f"{mark}0"), Message("assistant", f"{mark}1"), Message("user", f"{mark}2")]
    written = neutral(chat.written(turns).removeprefix(bos), keep_lines=True)
    first, answer, following, ask = re.split("|".join(re.escape(turn.content) for turn in turns), written)
    template = (
        "{{- range $i, $turn := .Messages }}"
        f'{{{{- if eq .Role "assistant" }}}}{_go(answer)}{{{{ .Content }}}}'
        f"{{{{- else if eq $i 0 }}}}{_go(first)}{{{{ .Content }}}}"
        f"{{{{- else }}}}{_go(following)}{{{{ .Content }}}}"
        "{{- end }}{{- end }}" + _go(ask)
    )
    lines = [*weights, f'TEMPLATE """{template}"""', "PARAMETER temperature 0"]
    lines += [f"PARAMETER num_ctx {exported.context}", f"PARAMETER num_predict {exported.max_tokens}"]
    lines += [
        f'PARAMETER stop "{chat.vocabulary.text(token)}"'
        for token in sorted(chat.vocabulary.end_tokens)
        if '"' not in chat.vocabulary.text(token) and chat.vocabulary.text(token).isprintable()
    ]
    shown = messages[: next(n for n, message in enumerate(messages) if mark in message.content)]
    lines += [f"MESSAGE {message.role} {_quoted(message.content)}" for message in shown]
    return "\n".join(lines) + "\n"


def _go(text: str) -> str:
    """Text as a Go template writes it: as a string constant, which nothing around it can trim or misread."""
    if not text:
        return ""
    inner = "".join(_GO_ESCAPES.get(character, character) for character in text)
    return f'{{{{ "{inner}" }}}}'


_GO_ESCAPES = {"\\": "\\\\", '"': "\\x22", "\n": "\\n", "\r": "\\r", "\t": "\\t", "{": "\\x7b", "}": "\\x7d"}


def _quoted(text: str) -> str:
    """A message in a Modelfile, which has no escapes: three quotes hold everything but three quotes."""
    return '"""' + text.replace('"""', "'''") + '"""'


def _name(task: Task) -> str:
    return re.sub(r"[^a-z0-9]+", "-", task.name.lower()).strip("-") or "task"
