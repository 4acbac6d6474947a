"""A task: what the user wants, in one instruction and a few examples.

Read from YAML; knows nothing of models, prompts or stores.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from selfguide_lite.errors import SelfguideError
from selfguide_lite.settings import Settings

Kind = Literal["classification", "generation"]
Text = Annotated[str, Field(min_length=1, max_length=100_000)]

# Stock phrases of a chat assistant, and the marks that the prompts themselves use (arXiv 2407.12874, appendix).
NOISE_TERMS: tuple[str, ...] = (
    "sure, i'd be happy to help",
    "sure, here",
    "i'd be happy to",
    "great question",
    "i hope this helps",
    "as an ai",
    "let me know if",
    "here is the",
    "here's the",
    "input",
    "output",
    "\n\n",
    "\\_",
)
MAX_TASK_BYTES = 4 * 2**20


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Example(_Model):
    """One input with its right output."""

    input: Text
    output: Text


class Task(_Model):
    """One task as its file gives it.

    :param labels: for classification, every label that an answer may be
    :param noise_terms: texts that drop a generated text which contains one (case is ignored); None: `NOISE_TERMS`
    :param settings: what differs from the defaults of the task's kind
    :param eval: JSONL file with `input` and `output` (a text, or a list of references), beside the task file
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Kind
    instruction: Text
    labels: tuple[Text, ...] = ()
    examples: Annotated[tuple[Example, ...], Field(min_length=1)]
    noise_terms: tuple[Annotated[str, Field(min_length=1)], ...] | None = None
    settings: Settings = Settings()
    eval: Path | None = None

    @model_validator(mode="after")
    def _labels_fit(self) -> "Task":
        if self.kind == "generation":
            if self.labels:
                raise ValueError("labels: a generation task has none; remove them or set kind: classification")
            return self
        if len(self.labels) < 2:
            raise ValueError("labels: a classification task needs at least two")
        folded = [fold(label) for label in self.labels]
        if len(set(folded)) < len(folded):
            raise ValueError("labels: two of them are the same after folding case and white space")
        for number, example in enumerate(self.examples):
            if fold(example.output) not in folded:
                raise ValueError(f"examples.{number}.output: {example.output!r} is not one of the labels")
        return self


def fold(text: str) -> str:
    """Fold case, compatibility forms and white space, the way labels and duplicates are compared."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def last_label(text: str, labels: Sequence[str]) -> str | None:
    """Return the label that occurs last in a text as whole words, the longer of two that end at the same place.

    Case and white space are folded. None where no label occurs.
    """
    folded = fold(text)
    best: tuple[int, int] | None = None
    found: str | None = None
    for label in labels:
        needle = fold(label)
        end = len(folded)
        while needle and (start := folded.rfind(needle, 0, end)) >= 0:
            stop = start + len(needle)
            before = folded[start - 1] if start else " "
            after = folded[stop] if stop < len(folded) else " "
            if not (_joins(before, needle[0]) or _joins(after, needle[-1])):
                if best is None or (stop, len(needle)) > best:
                    best, found = (stop, len(needle)), label
                break
            end = stop - 1
    return found


def _joins(outside: str, inside: str) -> bool:
    """Whether two neighbouring characters belong to one word. Scripts without blanks have no word edges."""
    return _word(outside) and _word(inside)


def _word(character: str) -> bool:
    return (character.isalnum() or character == "_") and not _unspaced(character)


def _unspaced(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7a3" or "\u0e00" <= character <= "\u0eff"


def load_task(path: Path) -> Task:
    """Read and check a task file.

    :raises SelfguideError: naming the file, the line and the field
    """
    data, lines = _read_yaml(path)
    if not isinstance(data, dict):
        raise SelfguideError(f"{path}: line 1: a task file is a mapping with name, kind, instruction and examples")
    try:
        task = Task.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        location = tuple(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if not location and ": " in message:
            field, message = message.split(": ", 1)
            location = tuple(field.split("."))
        line = next((lines[location[:n]] for n in range(len(location), -1, -1) if location[:n] in lines), 1)
        raise SelfguideError(f"{path}: line {line}: {'.'.join(location) or 'task'}: {message}") from error
    if task.eval is not None:
        task = task.model_copy(update={"eval": (path.parent / task.eval)})
    return task


def _read_yaml(path: Path) -> tuple[Any, dict[tuple[str, ...], int]]:
    """Return the file's content and the line of every field, aliases refused (they can blow up in memory)."""
    try:
        if path.stat().st_size > MAX_TASK_BYTES:
            raise SelfguideError(f"{path}: larger than {MAX_TASK_BYTES // 2**20} MiB; a task file holds a few examples")
        raw = path.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SelfguideError(f"{path}: cannot read this task file: {reason}") from error
    lines: dict[tuple[str, ...], int] = {}
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(raw, Loader=yaml.SafeLoader)):
            raise SelfguideError(f"{path}: YAML aliases are not supported in a task file; write the text out")
        node = yaml.compose(raw, Loader=yaml.SafeLoader)
        data = yaml.safe_load(raw)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise SelfguideError(f"{path}: {where}{error.problem or 'not valid YAML'}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SelfguideError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error

    def walk(node: yaml.Node | None, place: tuple[str, ...]) -> None:
        if node is None:
            return
        lines[place] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                walk(value, (*place, str(key.value)))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                walk(value, (*place, str(number)))

    walk(node, ())
    return data, lines
