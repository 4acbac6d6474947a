"""A Super-NaturalInstructions task (one JSON file) becomes a task file and an evaluation set.

Knows the benchmark's file format and ours; knows nothing of models or stores.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.matching import normalize
from selfguide_lite.core.plain_json import escaped, plain_json
from selfguide_lite.core.refusals import in_own_words
from selfguide_lite.kinds import kind_named
from selfguide_lite.task import Example, Task, fold
from selfguide_lite.task.eval_rows import EvalRow

# A set of answers is a set of labels when it is small and each answer comes back again and again.
_MAX_LABELS = 50
_MAX_LABEL_CHARACTERS = 100
_MIN_USES = 3
# The benchmark's largest files are below both; a list or an object costs much more memory than its bytes in the file.
_MAX_BYTES = 128 * 2**20
_MAX_LISTS = 4_000_000


@dataclass(frozen=True, slots=True)
class Imported:
    """What a benchmark file gave.

    :param rows: its instances with all their references
    :param notes: what was left out or changed, one line each
    """

    task: Task
    rows: list[EvalRow]
    notes: list[str]


def read_natural_instructions(path: Path, *, examples: int = 3, kind: str | None = None) -> Imported:
    """Read a benchmark file.

    :param examples: how many of its positive examples, the first ones, become seed examples
    :param kind: of the task; None: classification or generation, by the instances' answers
    :raises SelfguideError: where the file is not such a task, naming what is missing
    """
    data = _read_json(path)
    notes: list[str] = []
    definitions = [text for text in _texts(data.get("Definition")) if text]
    if not definitions:
        raise SelfguideError(f"{path}: has no 'Definition'; a Super-NaturalInstructions task has one")
    if len(definitions) > 1:
        notes.append(f"{len(definitions)} definitions, the first is the instruction")
    rows = _rows(data, path, notes)
    positive = _positive(data, notes)
    if not positive:
        positive = [Example(input=row.input, output=row.references[0]) for row in rows[:examples]]
        rows = rows[examples:]
        notes.append(f"no positive examples, so its first {len(positive)} instances are the examples")
        if not rows:
            raise SelfguideError(f"{path}: has no positive examples and too few instances to take some from")
    chosen = positive[:examples]
    if len(chosen) < examples:
        notes.append(f"it has {len(chosen)} usable positive examples, not {examples}")
    answers = [text for row in rows for text in row.references]
    labels = _labels([*answers, *(example.output for example in positive)])
    found = kind or _kind(answers, labels)
    labelled = kind_named(found).labelled
    if labelled:
        spelling = {_label_key(label): label for label in labels}
        chosen = [Example(input=shown.input, output=spelling[_label_key(shown.output)]) for shown in chosen]
    try:
        task = Task(
            name=path.stem,
            kind=found,
            instruction=definitions[0],
            labels=tuple(labels) if labelled else (),
            examples=tuple(chosen),
        )
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        message = f"{place}{': ' if place else ''}{in_own_words(problem)}"
        raise SelfguideError(f"{path}: as a {found} task: {message}") from error
    return Imported(task, rows, notes)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size  # of a pipe or a device it is 0
            raw = file.read(_MAX_BYTES + 1) if size <= _MAX_BYTES else b""
    except OSError as error:
        raise SelfguideError(f"{path}: cannot read this file: {error.strerror}") from error
    if max(size, len(raw)) > _MAX_BYTES or raw.count(b"[") + raw.count(b"{") > _MAX_LISTS:
        raise SelfguideError(f"{path}: larger than any task of the benchmark ({_MAX_BYTES // 2**20} MiB)")
    try:
        data = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SelfguideError(f"{path}: not valid JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict) or not isinstance(data.get("Instances"), list):
        raise SelfguideError(f"{path}: has no list 'Instances'; is it a Super-NaturalInstructions task?")
    return cast(dict[str, Any], data)


def _texts(value: object) -> list[str]:
    """The texts in a value that is a text, a number or a list of them; what is none of these becomes an empty text."""
    return [_text(part) for part in value] if isinstance(value, list) else [_text(value)]


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    # A lone surrogate is no character, and a NUL ends texts: no file and no database can hold them.
    whole = str(value).encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return whole.replace("\r\n", "\n").strip()


def _rows(data: dict[str, Any], path: Path, notes: list[str]) -> list[EvalRow]:
    rows: list[EvalRow] = []
    dropped = 0
    for instance in data["Instances"]:
        fields = instance if isinstance(instance, dict) else {}
        text = "".join(_texts(fields.get("input"))[:1])
        references = tuple(dict.fromkeys(answer for answer in _texts(fields.get("output")) if answer))
        if text and references:
            rows.append(EvalRow(text, references))
        else:
            dropped += 1
    if not rows:
        raise SelfguideError(f"{path}: none of its {dropped} instances has an input and an output")
    if dropped:
        notes.append(f"{dropped} instances without an input or an answer left out")
    return rows


def _positive(data: dict[str, Any], notes: list[str]) -> list[Example]:
    given = data.get("Positive Examples")
    found: list[Example] = []
    for entry in given if isinstance(given, list) else []:
        fields = entry if isinstance(entry, dict) else {}
        text = "".join(_texts(fields.get("input"))[:1])
        output = next((answer for answer in _texts(fields.get("output")) if answer), "")
        if text and output:
            found.append(Example(input=text, output=output))
        else:
            notes.append("a positive example without an input or an output left out")
    return found


def _label_key(text: str) -> str:
    """What two spellings of one label have in common: as exact match compares them, or folded where that is empty."""
    return normalize(fold(text)) or fold(text)


def _labels(answers: Sequence[str]) -> list[str]:
    """Each label in its most frequent spelling, in alphabetical order."""
    spellings: dict[str, Counter[str]] = {}
    for answer in answers:
        spellings.setdefault(_label_key(answer), Counter())[" ".join(answer.split())] += 1
    return sorted(counts.most_common(1)[0][0] for counts in spellings.values())


def _kind(answers: Sequence[str], labels: Sequence[str]) -> str:
    used = len({_label_key(answer) for answer in answers})
    small = 2 <= len(labels) <= _MAX_LABELS and all(len(label) <= _MAX_LABEL_CHARACTERS for label in labels)
    return "classification" if small and len(answers) >= _MIN_USES * used else "generation"


class _Readable(yaml.SafeDumper):
    """Multi-line texts as literal blocks, also those with blanks at a line's end, which PyYAML would put in quotes."""

    def analyze_scalar(self, scalar: str) -> Any:
        analysis = super().analyze_scalar(scalar)
        if analysis.multiline and all(line.isprintable() for line in scalar.split("\n")):
            analysis.allow_block = True
        return analysis


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Only between double quotes has YAML escapes, see `task_yaml`.
    style = '"' if escaped(text) != text else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Readable.add_representer(str, _text_node)


def task_yaml(task: Task) -> str:
    """Return a task as the text of a task file, made to be read and edited.

    Only what differs from the defaults is written. `load_task` reads the same task back.
    """
    data: dict[str, Any] = {"name": task.name, "kind": task.kind, "instruction": task.instruction}
    if task.output_schema is not None:
        data["schema"] = task.output_schema.short_form()
    if task.labels:
        data["labels"] = list(task.labels)
    data["examples"] = [{"input": example.input, "output": example.output} for example in task.examples]
    if task.noise_terms is not None:
        data["noise_terms"] = list(task.noise_terms)
    if settings := task.settings.model_dump(exclude_unset=True):
        data["settings"] = settings
    if task.eval is not None:
        data["eval"] = str(task.eval)
    return escaped(yaml.dump(data, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=110))


def eval_jsonl(rows: Iterable[EvalRow]) -> str:
    """Return evaluation rows as the text of an evaluation set; a single reference is written as a text."""
    lines = []
    for row in rows:
        output = row.references[0] if len(row.references) == 1 else list(row.references)
        lines.append(plain_json({"input": row.input, "output": output}) + "\n")
    return "".join(lines)


def import_natural_instructions(
    source: Path,
    task_path: Path,
    eval_path: Path,
    *,
    examples: int = 3,
    kind: str | None = None,
    overwrite: bool = False,
) -> Imported:
    """Write a benchmark task as a task file and an evaluation set.

    :param overwrite: replace files that are there with another content
    :raises SelfguideError: where the source is no such task, or a file is in the way
    """
    from selfguide_lite.core.files import atomic_write

    imported = read_natural_instructions(source, examples=examples, kind=kind)
    place = Path(os.path.relpath(eval_path.resolve(), task_path.resolve().parent))
    task = imported.task.model_copy(update={"eval": place})
    texts = {task_path: task_yaml(task), eval_path: eval_jsonl(imported.rows)}
    for path, text in texts.items():
        if path.exists() and not overwrite and path.read_bytes() != text.encode():
            raise SelfguideError(f"{path}: is there already, with another content; name another file or use --force")
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(text.encode())
        except OSError as error:
            raise SelfguideError(f"{path}: cannot write this file: {error.strerror}") from error
    return Imported(task, imported.rows, imported.notes)
