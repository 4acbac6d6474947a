"""The dataset as a file: JSONL, CSV or Parquet; as pairs, as chat messages, or in Alpaca's form.

A file appears whole or not at all. JSONL and Parquet hold the texts as they are; a CSV is for people and spreadsheets:
a cell that one would run as a formula gets an apostrophe in front, and control codes are replaced.
"""

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import IO, Any, Literal

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.plain_json import plain_json
from selfguide_lite.store.query import csv_lines
from selfguide_lite.store.rows import Pair
from selfguide_lite.task import Task

Form = Literal["pairs", "chat", "alpaca"]
ENDINGS = (".jsonl", ".csv", ".parquet")
_BATCH = 10_000


def records(task: Task, pairs: Iterable[Pair], form: Form) -> Iterator[dict[str, Any]]:
    """Yield each pair as a record.

    :param form: `pairs`: input, output. `chat`: messages, the instruction and the input from the user, then the answer.
        `alpaca`: instruction, input, output
    """
    for pair in pairs:
        if form == "pairs":
            yield {"input": pair.input, "output": pair.output}
        elif form == "alpaca":
            yield {"instruction": task.instruction, "input": pair.input, "output": pair.output}
        else:
            question = f"{task.instruction}\n\n{pair.input}"
            yield {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": pair.output}]}


def export(task: Task, pairs: Iterable[Pair], path: Path, form: Form = "pairs") -> int:
    """Write the pairs to a file whose ending tells the format, and return how many there were.

    They are taken one by one, so they may come from a database that holds more than the memory.

    :raises SelfguideError: where the ending is unknown, the place cannot be written to, or Parquet's package is missing
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise SelfguideError(f"{path}: the ending tells the format; choose one of {', '.join(ENDINGS)}")
    counter = count()
    rows = records(task, _counted(pairs, counter), form)
    if ending == ".parquet":
        _write_parquet(rows, path, form)
        return next(counter)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        if ending == ".jsonl":
            write_json_lines(rows, handle)
        else:
            handle.writelines(csv_lines(_columns(form), map(_cells, rows)))
    return next(counter)


def _counted(pairs: Iterable[Pair], counter: "count[int]") -> Iterator[Pair]:
    for pair in pairs:
        next(counter)
        yield pair


def write_json_lines(rows: Iterable[dict[str, Any]], handle: IO[str]) -> None:
    """Write each record as a line of JSON."""
    handle.writelines(plain_json(row) + "\n" for row in rows)


def _columns(form: Form) -> list[str]:
    return {"pairs": ["input", "output"], "chat": ["messages"], "alpaca": ["instruction", "input", "output"]}[form]


def _cells(record: dict[str, Any]) -> list[str]:
    return [value if isinstance(value, str) else plain_json(value) for value in record.values()]


def _write_parquet(rows: Iterator[dict[str, Any]], path: Path, form: Form) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise SelfguideError(
            f"{path}: Parquet needs the package pyarrow; install it with `pip install 'selfguide-lite[parquet]'`"
        ) from error
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    fields = {name: pa.list_(turn) if name == "messages" else pa.string() for name in _columns(form)}
    table_schema = pa.schema(list(fields.items()))
    with atomic_write(path) as temporary, pq.ParquetWriter(temporary, table_schema) as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == _BATCH:
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=table_schema))
                batch = []
        writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=table_schema))
