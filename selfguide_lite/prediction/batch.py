"""Answers every row of a file: all columns kept, rows and blank lines in their places, resumed where it was killed.

Answers are kept in a file beside the output as they come; when all are there the output is written whole.
"""

import csv
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.plain_json import plain_json
from selfguide_lite.methods.names import reads_labels
from selfguide_lite.prediction.answers import Answer
from selfguide_lite.prediction.predictor import Choice, Predictor
from selfguide_lite.store.query import harmless
from selfguide_lite.tabular.base import INPUT_COLUMNS, Row, Table
from selfguide_lite.tabular.plain import csv_delimiter, csv_records, json_records

_FLUSH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a file is answered.

    :param column: of the inputs; None: `input`, else `text`, else the only one
    :param name: of the column that answers go into; those of probabilities begin with it
    :param threshold: an answer whose label has a smaller probability is left empty
    """

    column: str | None = None
    name: str = "prediction"
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class _File:
    """A file of rows.

    :param records: every row, None for a blank line
    :param columns: for CSV, in their order
    """

    path: Path
    form: str
    records: list[dict[str, Any] | None]
    columns: tuple[str, ...] = ()
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a batch.

    :param rows: that have an input
    :param resumed: of these, answered before
    :param unsure: left empty, since no label was likely enough
    :param failed: that could not be answered
    """

    rows: int
    resumed: int
    unsure: int
    failed: int


class Batch:
    """One file to be answered.

    :raises SelfguideError: naming file, row and column, before any model is loaded; or where the output is there
    """

    def __init__(self, source: Path, target: Path, options: BatchOptions, force: bool = False):
        self._source, self._target, self._options = _read(source), target, options
        if target.suffix.lower() not in _FORMS:
            raise SelfguideError(f"{target}: the ending tells the format; choose one of {', '.join(_FORMS)}")
        self._journal = target.with_name(f".{target.name}.answers")
        if target.exists() and not force and not self._journal.exists():
            raise SelfguideError(f"{target}: is there already; name another file, or --force to replace it")
        self._inputs = self._texts()
        self._check_names()

    def _texts(self) -> list[tuple[int, str]]:
        """Return place and text of every row that has an input; an empty cell is left without an answer."""
        source = self._source
        present = [row for row in source.records if row is not None]
        columns = source.columns or (tuple(present[0]) if present else ())
        unit, offset = ("row", 2) if source.columns else ("line", 1)
        table = Table(str(source.path), unit, columns, lambda: iter(()))
        column = table.column(self._options.column, INPUT_COLUMNS, "--column")
        found = []
        for place, values in enumerate(source.records):
            if values is None:
                continue
            row = Row(place + offset, values)
            if column in values and isinstance(values[column], str) and not values[column].strip():
                continue
            found.append((place, table.text(row, column)))
        return found

    def _check_names(self) -> None:
        taken = set(self._source.columns).union(*(row or {} for row in self._source.records[:1000]))
        names = {self._options.name, f"{self._options.name}_error"}
        if found := sorted(names & taken):
            raise SelfguideError(
                f"{self._source.path}: has a column {short(found[0])!r} already; name the new one with --as"
            )

    def run(self, model: Predictor, told: Callable[[int, int, int], None] = lambda *_: None) -> Done:
        """Answer all rows that are not answered yet, and write the output.

        :param told: now and then told how many of how many rows are answered, and how many were before
        :raises SelfguideError: where a threshold is asked for and the way of answering gives no probabilities
        """
        if self._options.threshold is not None and not reads_labels(model.way.how):
            raise SelfguideError(
                f"{model.way.method} gives no probabilities, so there is nothing to compare with --threshold; choose "
                "another --method, such as 'finetuned scored'"
            )
        answers = self._kept(model.choice)
        resumed, total, last = len(answers), len(self._inputs), time.monotonic()
        told(resumed, total, resumed)
        with self._journal.open("a", encoding="utf-8") as journal:
            for answer in model.answer(text for _, text in self._inputs[resumed:]):
                answers.append(answer)
                journal.write(_line(answer))
                if time.monotonic() - last > _FLUSH_SECONDS:
                    journal.flush()
                    last = time.monotonic()
                    told(len(answers), total, resumed)
        told(total, total, resumed)
        unsure = sum(answer.is_unsure(self._options.threshold) for answer in answers)
        self._write(answers, model.labels if reads_labels(model.way.how) else ())
        self._journal.unlink(missing_ok=True)
        return Done(total, resumed, unsure, sum(answer.error is not None for answer in answers))

    def _kept(self, choice: Choice) -> list[Answer]:
        """Return the answers of a batch that was stopped, where it was this very one; else begin again."""
        key = self._key(choice)
        kept: list[Answer] = []
        if self._journal.exists():
            lines = self._journal.read_text(encoding="utf-8").split("\n")[:-1]  # what a kill cut short is left out
            if lines and lines[0] == key:
                kept = [_answer(line, text) for line, (_, text) in zip(lines[1:], self._inputs, strict=False)]
        try:
            with self._journal.open("w", encoding="utf-8") as journal:
                journal.write(key + "\n")
                journal.writelines(map(_line, kept))
        except OSError as error:
            raise SelfguideError(f"{self._target}: cannot write here: {error.strerror}") from error
        return kept

    def _key(self, choice: Choice) -> str:
        """Return a hash of what decides the answers."""
        way = choice.way
        adapter = None if choice.adapter is None else file_sha256(choice.adapter)
        texts = hashlib.sha256(json.dumps([text for _, text in self._inputs]).encode()).hexdigest()
        task = choice.task.model_dump(mode="json", exclude={"settings"})
        decided = [texts, task, way.method, way.style, dict(way.prior or {}), file_sha256(choice.base), adapter]
        return hashlib.sha256(json.dumps(decided, sort_keys=True, default=str).encode()).hexdigest()

    def _write(self, answers: Sequence[Answer], labels: Sequence[str]) -> None:
        by_place = dict(zip((place for place, _ in self._inputs), answers, strict=True))
        with atomic_write(self._target) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
            _FORMS[self._target.suffix.lower()](self, by_place, labels, handle)

    def _write_jsonl(self, answers: dict[int, Answer], labels: Sequence[str], handle: IO[str]) -> None:
        name = self._options.name
        for place, row in enumerate(self._source.records):
            if row is None:
                handle.write("\n")
                continue
            answer = answers.get(place)
            added: dict[str, Any] = {name: None}
            if answer is not None:
                settled = answer.error is None and not answer.is_unsure(self._options.threshold)
                added[name] = answer.value if settled else None
                added |= {f"{name}_probabilities": dict(answer.shares)} if answer.shares is not None else {}
                added |= {f"{name}_error": answer.error} if answer.error is not None else {}
            handle.write(plain_json({**row, **added}) + "\n")

    def _write_csv(self, answers: dict[int, Answer], labels: Sequence[str], handle: IO[str]) -> None:
        """Write a CSV: the row's own cells as they were, those of a model harmless to a spreadsheet."""
        name, source = self._options.name, self._source
        own = source.columns or tuple(dict.fromkeys(key for row in source.records for key in row or ()))
        delimiter = "\t" if self._target.suffix.lower() == ".tsv" else source.delimiter
        writer = csv.writer(handle, delimiter=delimiter, lineterminator="\n")
        probabilities = [f"{name}_{label}" for label in labels]
        writer.writerow([*own, name, *probabilities, f"{name}_error"])
        for place, row in enumerate(source.records):
            if row is None:
                handle.write("\n")
                continue
            answer = answers.get(place)
            cells: list[Any] = [_cell(row.get(column)) for column in own]
            if answer is None:
                writer.writerow([*cells, "", *[""] * len(labels), ""])
                continue
            settled = answer.error is None and not answer.is_unsure(self._options.threshold)
            shares = [f"{(answer.shares or {}).get(label, 0.0):.6f}" if answer.shares else "" for label in labels]
            writer.writerow([*cells, harmless(answer.output) if settled else "", *shares, harmless(answer.error or "")])


_FORMS: dict[str, Callable[[Batch, dict[int, Answer], Sequence[str], IO[str]], None]] = {
    ".jsonl": Batch._write_jsonl,
    ".csv": Batch._write_csv,
    ".tsv": Batch._write_csv,
}


def _read(path: Path) -> _File:
    """Read all rows of a JSONL or CSV file, blank lines too."""
    if not path.is_file():
        raise SelfguideError(f"{path}: no such file")
    form = path.suffix.lower()
    if form == ".jsonl":
        return _File(path, form, list(json_records(path)))
    if form in (".csv", ".tsv"):
        delimiter = "\t" if form == ".tsv" else csv_delimiter(path)
        columns, records = csv_records(path, delimiter)
        return _File(path, form, list(records), columns, delimiter)
    raise SelfguideError(f"{path}: the ending tells the format; choose one of {', '.join(_FORMS)}")


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else plain_json(value)


def _line(answer: Answer) -> str:
    kept = {"output": answer.output, "label": answer.label, "error": answer.error, "structured": answer.structured}
    return json.dumps(kept | {"shares": None if answer.shares is None else dict(answer.shares)}) + "\n"


def _answer(line: str, text: str) -> Answer:
    kept = json.loads(line)
    return Answer(text, kept["output"], kept["label"], kept["error"], kept["shares"], bool(kept.get("structured")))


def lines_with_blanks(lines: Iterator[str], model: Predictor) -> Iterator[Answer | None]:
    """Yield the answer to each line in its place; None for a blank line."""
    blanks: list[bool] = []

    def texts() -> Iterator[str]:
        for line in lines:
            text = line.strip()
            blanks.append(not text)
            if text:
                yield text

    place = 0
    for answer in model.answer(texts()):
        while blanks[place]:
            yield None
            place += 1
        yield answer
        place += 1
    for _ in blanks[place:]:
        yield None
