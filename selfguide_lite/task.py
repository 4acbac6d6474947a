"""A task: what the user wants, in one instruction and a few examples.

Read from YAML; knows nothing of models, prompts or stores.
"""

import difflib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from selfguide_lite.errors import SelfguideError, short
from selfguide_lite.settings import Settings
from selfguide_lite.yaml_file import Places, read_yaml


def _without_nul(value: Any) -> Any:
    if "\0" in str(value):
        raise ValueError("holds a NUL character, which no file name and no database can hold; remove it")
    return value


def _short_enough(path: Path) -> Path:
    if len(str(path)) > _LONGEST_PATH:
        raise ValueError(f"longer than {_LONGEST_PATH:,} characters")
    return path


_LONGEST_PATH = 1000
_MOST = 1000  # examples, labels, noise terms: what looks at them all takes time for each
_NoNul = AfterValidator(_without_nul)
Kind = Literal["classification", "generation"]
Text = Annotated[str, Field(min_length=1, max_length=100_000), _NoNul]
# White space counts in a noise term: a blank line is one.
NoiseTerm = Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=False), _NoNul]

# Stock phrases of a chat assistant, the words of our own prompts, and marks that belong to no text. A term that begins
# with ^ counts at a line's start alone: an e-mail may say what is here, and a sentence may have the word "input".
NOISE_TERMS: tuple[str, ...] = (
    "sure, i'd be happy to",
    "sure, i can help",
    "i'd be happy to help",
    "i'm happy to help",
    "sure, here",
    "sure! here",
    "^certainly! here",
    "^of course! here",
    "great question",
    "i hope this helps",
    "as an ai language model",
    "as an ai assistant",
    "^as an ai ",
    "^as an ai,",
    "^i'm sorry, but i can",
    "^here is the",
    "^here's the",
    "^here is a",
    "^here's a",
    "^here are ",
    "^here is one",
    "^here's one",
    "^write one",
    "^write another",
    "write another, different",
    "different one whose answer",
    "new, different input",
    "possibly flawed",
    "good inputs:",
    "^input:",
    "^output:",
    "^answer:",
    "\n\n",
    "\\_",
)
# The paper's own list (arXiv 2407.12874, appendix): stock phrases, and the marks that its prompts use, anywhere.
PAPER_NOISE_TERMS: tuple[str, ...] = (
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
_A_TO_Z = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_SHARES_OFF = 0.01  # shares are typed by hand: 0.33 three times is 1
_SHOWN = 80  # characters of a text in a message
_LONG = 1000  # characters from which `fold` looks for runs of combining marks
_MARKS = 30  # combining marks in a row, as in Unicode's stream-safe format


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Example(_Model):
    """One input with its right output."""

    input: Text
    output: Text


class Task(_Model):
    """One task as its file gives it.

    :param labels: for classification, every label that an answer may be; a mapping gives each its meaning
    :param label_meanings: what a label means, in a few words, for labels that do not say it themselves
    :param label_shares: how often each label occurs in life; left out, all are equally frequent
    :param noise_terms: texts that drop a generated text which contains one (case is ignored; one that begins with ^
        counts at a line's start alone); None: the list that the setting noise_list names, see `effective_noise_terms`
    :param settings: what differs from the defaults of the task's kind
    :param eval: JSONL file with `input` and `output` (a text, or a list of references), beside the task file
    """

    name: Annotated[str, Field(min_length=1, max_length=200), _NoNul]
    kind: Kind
    instruction: Text
    labels: Annotated[tuple[Text, ...], Field(max_length=_MOST)] = ()
    label_meanings: dict[str, Text] = Field(default_factory=dict)
    label_shares: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(default_factory=dict)
    examples: Annotated[tuple[Example, ...], Field(min_length=1, max_length=_MOST)]
    noise_terms: Annotated[tuple[NoiseTerm, ...], Field(max_length=_MOST)] | None = None
    settings: Settings = Settings()
    eval: Annotated[Path, _NoNul, AfterValidator(_short_enough)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _labels_with_meanings(cls, data: Any) -> Any:
        """Take `labels` as a mapping of label to meaning too; an empty meaning is none."""
        if not isinstance(data, dict) or not isinstance(data.get("labels"), dict):
            return data
        labels = data["labels"]
        if data.get("label_meanings"):
            raise ValueError("labels: gives meanings already; remove label_meanings")
        meanings = {str(label): meaning for label, meaning in labels.items() if meaning not in (None, "")}
        return {**data, "labels": [str(label) for label in labels], "label_meanings": meanings}

    @model_validator(mode="after")
    def _labels_fit(self) -> "Task":
        for field in ("label_meanings", "label_shares"):
            if unknown := [name for name in getattr(self, field) if name not in self.labels]:
                raise ValueError(f"{field}: {unknown[0][:_SHOWN]!r} is not one of the labels")
        if self.label_shares:
            if missing := [label for label in self.labels if label not in self.label_shares]:
                raise ValueError(f"label_shares: {missing[0][:_SHOWN]!r} has none; give every label its share")
            total = sum(self.label_shares.values())
            if abs(total - 1) > _SHARES_OFF:
                raise ValueError(f"label_shares: add up to {total:.3g}; they must add up to 1")
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
                raise ValueError(f"examples.{number}.output: {example.output[:_SHOWN]!r} is not one of the labels")
        return self


def has_noise(text: str, term: str) -> bool:
    """Tell whether a text contains a noise term, as the database finds it: case is ignored for A to Z."""
    text, term = text.translate(_A_TO_Z), term.translate(_A_TO_Z)
    if len(term) > 1 and term.startswith("^"):
        return f"\n{term[1:]}" in f"\n{text}"
    return term in text


def effective_noise_terms(task: Task) -> tuple[str, ...]:
    """Return the noise terms in force for a task: its own, or the default list.

    Of a default list, terms that an example or a label holds are left out: they would drop the very texts that the
    examples ask for.
    """
    if task.noise_terms is not None:
        return task.noise_terms
    terms = PAPER_NOISE_TERMS if task.settings.noise_list == "paper" else NOISE_TERMS
    texts = [text for example in task.examples for text in (example.input, example.output)] + list(task.labels)
    return tuple(term for term in terms if not any(has_noise(text, term) for text in texts))


def fold(text: str) -> str:
    """Fold case, compatibility forms and white space, the way labels and duplicates are compared."""
    if len(text) > _LONG:
        text = _stream_safe(text)
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _stream_safe(text: str) -> str:
    """Part long runs of combining marks: sorting them, as normalizing does, takes time with the square of their number.

    Unicode's stream-safe text format (annex 15) does it so; no language writes such runs.
    """
    if text.isascii():
        return text
    parts: list[str] = []
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _MARKS:
            parts.append("\N{COMBINING GRAPHEME JOINER}")
            run = 1
        parts.append(character)
    return "".join(parts)


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


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a task file, and where.

    :param line: from 1
    :param column: from 1
    :param field: such as `examples.1.output`, empty for the whole file
    """

    line: int
    column: int
    field: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.field or 'task'}: {self.message}"


def load_task(path: Path) -> Task:
    """Read and check a task file.

    :raises SelfguideError: naming the file, the line and the field
    """
    task, _, problems = read_task(path)
    if task is None:
        more = f" (and {len(problems) - 1} more, see `selfguide check {path}`)" if len(problems) > 1 else ""
        raise SelfguideError(f"{path}: {problems[0]}{more}")
    return task


def read_task(path: Path) -> tuple[Task | None, Places, list[Problem]]:
    """Read a task file and find everything that is wrong with it.

    :returns: the task, or None where something is wrong; where its fields stand; the problems, in the file's order
    :raises SelfguideError: where the file cannot be read or is no YAML
    """
    document = read_yaml(path, "task file")
    data, places = document.data, document.places
    problems = [
        Problem(line, column, _field(place), "is given twice; remove one")
        for place, (line, column) in document.repeated
    ]
    if not isinstance(data, dict):
        return None, places, [Problem(1, 1, "", "a task file is a mapping with name, kind, instruction and examples")]
    task: Task | None = None
    try:
        task = Task.model_validate(data)
    except ValidationError as error:
        problems += [_problem(details, places) for details in _causes(error)]
    if problems or task is None:
        return None, places, sorted(problems, key=lambda problem: (problem.line, problem.column))
    if task.eval is not None:
        task = task.model_copy(update={"eval": (path.parent / task.eval)})
    return task, places, []


def _causes(error: ValidationError) -> list[dict[str, Any]]:
    """Leave out that a list is too short where that is so because an item of it is wrong."""
    found: list[dict[str, Any]] = [dict(details) for details in error.errors()]
    wrong = {tuple(details["loc"])[:n] for details in found for n in range(len(details["loc"]))}
    return [details for details in found if details["type"] != "too_short" or tuple(details["loc"]) not in wrong]


def _problem(details: dict[str, Any], places: Places) -> Problem:
    location = tuple(str(part) for part in details["loc"])
    message = details["msg"].removeprefix("Value error, ")
    if not location and ": " in message:
        field, message = message.split(": ", 1)
        location = tuple(field.split("."))
    parent = location[:-1]
    if details["type"] == "missing":
        message = "is missing"
    elif details["type"] == "extra_forbidden":
        models: dict[tuple[str, ...], type[BaseModel]] = {(): Task, ("settings",): Settings}
        known = models.get(parent, Example).model_fields
        close = difflib.get_close_matches(location[-1], known, n=1)
        message = f"no such field; did you mean {close[0]}?" if close else f"no such field; known: {', '.join(known)}"
    elif details["type"] == "string_type":
        message = "must be a text" + ("" if details["input"] is not None else ', but nothing stands here; quote it: ""')
    elif message[:1].isupper():
        message = message[0].lower() + message[1:]
    line, column = next(places[location[:n]] for n in range(len(location), -1, -1) if location[:n] in places)
    return Problem(line, column, _field(location), message)


def _field(location: Sequence[str]) -> str:
    return ".".join(map(short, location))
