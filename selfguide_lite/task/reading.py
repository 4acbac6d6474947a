"""Reads a task file and says what is wrong with it, and where."""

import difflib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.core.refusals import in_own_words
from selfguide_lite.core.renamed import RENAMED_SETTINGS, renamed_notes
from selfguide_lite.core.settings import Settings
from selfguide_lite.core.yaml_file import MAX_BYTES, Places, read_yaml
from selfguide_lite.task.model import Example, OwnInputs, OwnRows, Task


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


def load_task(path: Path | str, note: Callable[[str], None] | None = None) -> Task:
    """Read and check a task file.

    :param note: is given a line for each setting under an old name; None: a `FutureWarning` says it
    :raises SelfguideError: naming the file, the line and the field
    """
    path = Path(path)
    task, places, problems = read_task(path)
    if task is None:
        more = f" (and {len(problems) - 1} more, see `selfguide check {path}`)" if len(problems) > 1 else ""
        raise SelfguideError(f"{path}: {problems[0]}{more}")
    for line in renamed_notes(place[1] for place in places if place[:1] == ("settings",) and len(place) == 2):
        if note is None:
            warnings.warn(f"{path}: {line}", FutureWarning, stacklevel=2)
        else:
            note(line)
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
    data = _with_schema_file(data, path.parent)
    task: Task | None = None
    try:
        task = Task.model_validate(data)
    except ValidationError as error:
        problems += [_problem(details, places) for details in _causes(error)]
    if problems or task is None:
        return None, places, sorted(problems, key=lambda problem: (problem.line, problem.column))
    return _beside(task, path.parent), places, []


def _with_schema_file(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Put the content of the JSON Schema file that a task file names in the place of its name.

    :raises SelfguideError: where it cannot be read or is no JSON
    """
    named = data.get("schema")
    if not isinstance(named, str):
        return data
    path = folder / named
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise SelfguideError(f"{path}: larger than {MAX_BYTES // 2**20} MiB, which no schema needs")
        return {**data, "schema": json.loads(raw.decode("utf-8-sig"))}
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else f"not valid JSON: {str(error).splitlines()[0]}"
        raise SelfguideError(f"{path}: cannot read this schema: {why}") from error


def _beside(task: Task, folder: Path) -> Task:
    """Return the task with the files that it names found from the folder of its own file."""
    update: dict[str, Any] = {}
    if task.eval is not None:
        update["eval"] = folder / task.eval
    if task.inputs is not None:
        update["inputs"] = task.inputs.model_copy(update={"file": folder / task.inputs.file})
    if task.train is not None:
        update["train"] = task.train.model_copy(update={"file": folder / task.train.file})
    return task.model_copy(update=update) if update else task


def _causes(error: ValidationError) -> list[dict[str, Any]]:
    """Leave out that a list is too short where that is so because an item of it is wrong."""
    found: list[dict[str, Any]] = [dict(details) for details in error.errors()]
    wrong = {tuple(details["loc"])[:n] for details in found for n in range(len(details["loc"]))}
    return [details for details in found if details["type"] != "too_short" or tuple(details["loc"]) not in wrong]


def _problem(details: dict[str, Any], places: Places) -> Problem:
    location = tuple(str(part) for part in details["loc"])
    message = in_own_words(details, location[1] if location[:1] == ("settings",) and len(location) == 2 else None)
    if not location and ": " in message:
        field, message = message.split(": ", 1)
        location = tuple(field.split("."))
    location = _as_written(location, places)
    parent = location[:-1]
    if details["type"] == "extra_forbidden":
        models: dict[tuple[str, ...], type[BaseModel]] = {
            (): Task,
            ("settings",): Settings,
            ("inputs",): OwnInputs,
            ("train",): OwnRows,
        }
        fields = models.get(parent, Example).model_fields
        known = [field.alias or name for name, field in fields.items()]
        close = difflib.get_close_matches(location[-1], known, n=1)
        message = f"no such field; did you mean {close[0]}?" if close else f"no such field; known: {', '.join(known)}"
    line, column = next(places[location[:n]] for n in range(len(location), -1, -1) if location[:n] in places)
    return Problem(line, column, _field(location), message)


def _as_written(location: tuple[str, ...], places: Places) -> tuple[str, ...]:
    """Return where a setting stands that the file gives under its old name."""
    written = [("settings", old) for old, new in RENAMED_SETTINGS.items() if location == ("settings", new)]
    return written[0] if location not in places and written and written[0] in places else location


def _field(location: Sequence[str]) -> str:
    return ".".join(map(short, location))
