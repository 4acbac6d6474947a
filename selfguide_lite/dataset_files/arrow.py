"""Records in Arrow's form, and as Parquet."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from selfguide_lite.core.files import atomic_write
from selfguide_lite.dataset_files.forms import Column
from selfguide_lite.tabular.columnar import arrow

_BATCH = 10_000  # records


def write_parquet(rows: Iterable[dict[str, Any]], columns: Mapping[str, Column], path: Path) -> None:
    """Write records as Parquet.

    :raises SelfguideError: where pyarrow is missing or the place cannot be written to
    """
    parquet = arrow(path, "pyarrow.parquet")
    table_schema = schema(columns, path)
    with atomic_write(path) as temporary, parquet.ParquetWriter(temporary, table_schema) as writer:
        for batch in batches(rows, table_schema, path):
            writer.write_batch(batch)


def schema(columns: Mapping[str, Column], path: Path) -> Any:
    """Return the columns as Arrow's schema.

    :param path: for messages
    """
    pa = arrow(path, "pyarrow")
    types = {str: pa.string(), bool: pa.bool_()}
    return pa.schema(
        [
            (
                name,
                pa.string()
                if turn is None
                else pa.list_(pa.struct([(key, types[kind]) for key, kind in turn.items()])),
            )
            for name, turn in columns.items()
        ]
    )


def batches(rows: Iterable[dict[str, Any]], table_schema: Any, path: Path) -> Iterator[Any]:
    """Yield the records in batches, one at least.

    :param path: for messages
    """
    pa = arrow(path, "pyarrow")
    source = iter(rows)
    part = list(islice(source, _BATCH))
    while True:
        yield pa.RecordBatch.from_pylist(part, schema=table_schema)
        part = list(islice(source, _BATCH))
        if not part:
            return
