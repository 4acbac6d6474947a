"""Evaluation rows: an input and every answer that counts as right. Read from JSONL, checked, split, freed of leaks."""

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.matching import normalize
from selfguide_lite.core.plain_json import plain_json
from selfguide_lite.fields import Schema, checked
from selfguide_lite.task import Task, fold

_MAX_LINE = 4 * 2**20  # characters
_MAX_FILE = 256 * 2**20


@dataclass(frozen=True, slots=True)
class EvalRow:
    """One evaluation example.

    :param references: every right answer, at least one
    """

    input: str
    references: tuple[str, ...]


def load_eval(path: Path) -> list[EvalRow]:
    """Read an evaluation set: JSON lines with `input` and `output`, a text or an object, or a list of these.

    :raises SelfguideError: naming the file, the line and what is wrong with it
    """
    return list(_numbered(path).values())


def _numbered(path: Path) -> dict[int, EvalRow]:
    """Return the rows by the number of their line, from 1."""
    rows: dict[int, EvalRow] = {}
    try:
        with path.open(encoding="utf-8-sig") as file:
            read = 0
            for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE + 1), ""), 1):
                read += len(line)
                if len(line) > _MAX_LINE:
                    raise SelfguideError(f"{path}: line {number}: longer than {_MAX_LINE:,} characters")
                if read > _MAX_FILE:
                    raise SelfguideError(f"{path}: larger than {_MAX_FILE // 2**20} MiB; some hundred rows are enough")
                if line.strip():
                    rows[number] = _row(line, f"{path}: line {number}")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SelfguideError(f"{path}: cannot read this evaluation set: {reason}") from error
    if not rows:
        raise SelfguideError(f"{path}: holds no evaluation rows; each line is a JSON object with input and output")
    return rows


def _row(line: str, where: str) -> EvalRow:
    try:
        data: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SelfguideError(f"{where}: not valid JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict):
        raise SelfguideError(f"{where}: not a JSON object with input and output")
    for field in ("input", "output"):
        if field not in data:
            there = ", ".join(repr(name[:40]) for name in list(data)[:10]) or "nothing"
            raise SelfguideError(f"{where}: has no {field!r}; it has {there}")
    answers = data["output"] if isinstance(data["output"], list) else [data["output"]]
    if not answers:
        raise SelfguideError(f"{where}: 'output' is an empty list; give at least one right answer")
    return EvalRow(_text(data["input"], where, "input"), tuple(_answer(answer, where) for answer in answers))


def _answer(value: object, where: str) -> str:
    return _text(plain_json(value) if isinstance(value, dict) else value, where, "output")


def _text(value: object, where: str, field: str) -> str:
    if not isinstance(value, str):
        raise SelfguideError(f"{where}: {field!r} is {type(value).__name__}, not a text")
    if not value.strip():
        raise SelfguideError(f"{where}: {field!r} is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise SelfguideError(f"{where}: {field!r} holds half a character (a lone surrogate)") from error
    return value.strip()


def eval_rows(task: Task, path: Path | None = None) -> list[EvalRow]:
    """Return a task's evaluation rows, checked against its labels or its schema.

    :param path: an evaluation set that is not the task's own
    :raises SelfguideError: where the task has none, it cannot be read, or its answers are not what the task has
    """
    source = path or task.eval
    if source is None:
        raise SelfguideError(
            f"task {task.name!r} has no evaluation set; name one as `eval:` in its file or with --eval"
        )
    rows = _numbered(source)
    if task.answer_schema is not None:
        return [_as_object(row, task.answer_schema, f"{source}: line {number}") for number, row in rows.items()]
    _check_answers(task, rows, source)
    return list(rows.values())


def _as_object(row: EvalRow, schema: Schema, where: str) -> EvalRow:
    """Return a row whose right answers are objects of a task's schema in the one form."""
    try:
        return EvalRow(row.input, tuple(checked(schema, text) for text in row.references))
    except ValueError as error:
        raise SelfguideError(f"{where}: output: {error}") from error


def _check_answers(task: Task, rows: Mapping[int, EvalRow], source: Path) -> None:
    strange = {
        number: row.references[0]
        for number, row in rows.items()
        if not any(task.rules.accepts(text, task.labels) for text in row.references)
    }
    if strange:
        number, answer = next(iter(strange.items()))
        more = f", nor are those of {len(strange) - 1} other lines" if len(strange) > 1 else ""
        listed = ", ".join(task.labels[:10]) + (", ..." if len(task.labels) > 10 else "")
        what = f"is not a label of task {task.name!r} ({listed})" if task.labels else f"is no {task.kind} answer"
        raise SelfguideError(f"{source}: line {number}: the answer {answer[:80]!r} {what}{more}")


def unseen_labels(task: Task, rows: Sequence[EvalRow]) -> list[str]:
    """Return the task's labels that no row has for an answer: such a set cannot show errors on them."""
    seen = {normalize(text) for row in rows for text in row.references}
    seen |= {fold(text) for row in rows for text in row.references}
    return [label for label in task.labels if normalize(label) not in seen and fold(label) not in seen]


def without_leaks(rows: Sequence[EvalRow], known: Iterable[str]) -> tuple[list[EvalRow], list[EvalRow]]:
    """Part the rows whose input the model has been shown from those that it has not.

    :param known: seed inputs and training inputs, compared with case and white space folded
    :return: (clean, leaked)
    """
    shown = {fold(text) for text in known}
    clean: list[EvalRow] = []
    leaked: list[EvalRow] = []
    for row in rows:
        (leaked if fold(row.input) in shown else clean).append(row)
    return clean, leaked


def split_rows(rows: Sequence[EvalRow], share: float, seed: int = 42) -> tuple[list[EvalRow], list[EvalRow]]:
    """Part rows at random into a validation part and the rest, every answer's rows in the same proportion.

    The same rows and seed give the same parts.

    :param share: of the rows that go to validation, at least one row on each side
    :raises SelfguideError: where there are fewer than two rows
    """
    chosen = split_places(rows, share, seed)
    return (
        [row for place, row in enumerate(rows) if place in chosen],
        [row for place, row in enumerate(rows) if place not in chosen],
    )


def split_places(rows: Sequence[EvalRow], share: float, seed: int = 42) -> set[int]:
    """Return the places of the rows that `split_rows` puts into the first part.

    :raises SelfguideError: where there are fewer than two rows
    """
    if len(rows) < 2:
        raise SelfguideError("an evaluation set of one row cannot be split into validation and test rows")
    groups: dict[str, list[int]] = {}
    for place in sorted(range(len(rows)), key=lambda place: (_key(rows[place], seed), place)):
        groups.setdefault(normalize(rows[place].references[0]), []).append(place)
    # By how far down its answer's rows a row stands: a fifth of all is a fifth of every label. Where no answer comes
    # twice all stand in the middle, and their keys alone decide.
    depth = {place: (rank + 0.5) / len(group) for group in groups.values() for rank, place in enumerate(group)}
    order = sorted(range(len(rows)), key=lambda place: (depth[place], _key(rows[place], seed), place))
    cut = min(len(rows) - 1, max(1, round(len(rows) * share)))
    return set(order[:cut])


def _key(row: EvalRow, seed: int) -> float:
    # By content, so that a row stays on its side when others are added or the file is sorted again.
    return random.Random(f"{seed}\0{row.input}").random()


def rows_hash(rows: Sequence[EvalRow]) -> str:
    """SHA-256 of the rows: what tells one evaluation set from another in the store."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row.input, row.references], ensure_ascii=False).encode())
    return digest.hexdigest()
