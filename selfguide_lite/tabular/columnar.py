"""Tables in Arrow's formats: Parquet, and a folder that `datasets` saved. `datasets` itself is not needed."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.tabular.base import Row, Table


def parquet(path: Path) -> Table:
    """Return a Parquet file as a table; rows are counted from 1.

    :raises SelfguideError: where pyarrow is missing or the file is no Parquet
    """
    pq = _arrow(path, "pyarrow.parquet")
    columns = _guarded(path, lambda: tuple(pq.ParquetFile(path).schema_arrow.names))
    return Table(str(path), "row", columns, lambda: _rows(path, lambda: pq.ParquetFile(path).iter_batches(1000), {}))


def datasets_folder(path: Path) -> Table:
    """Return a folder that Hugging Face's `save_to_disk` made as a table; labels with names are their names.

    Of several splits `train` is taken; the folder of another one can be named itself.

    :raises SelfguideError: where pyarrow is missing or the folder does not hold what it should
    """
    folder = _split(path)
    ipc = _arrow(path, "pyarrow.ipc")
    state, info = _json(folder / "state.json"), _json(folder / "dataset_info.json")
    features = info.get("features") or {}
    names = {
        column: tuple(feature["names"])
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
    files = [folder / Path(str(part["filename"])).name for part in state.get("_data_files") or ()]

    def batches() -> Iterator[Any]:
        for file in files:
            with file.open("rb") as opened:
                yield from ipc.open_stream(opened)

    return Table(str(path), "row", tuple(features), lambda: _rows(path, batches, names))


def _split(path: Path) -> Path:
    if (path / "state.json").is_file():
        return path
    splits = [str(name) for name in _json(path / "dataset_dict.json").get("splits") or ()]
    if "train" in splits or len(splits) == 1:
        return path / ("train" if "train" in splits else splits[0])
    raise SelfguideError(f"{path}: which split? name its folder; there are: {', '.join(splits) or 'none'}")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SelfguideError(f"{path}: cannot read this part of a saved dataset") from error
    return found if isinstance(found, dict) else {}


def _rows(path: Path, batches: Callable[[], Iterable[Any]], names: Mapping[str, tuple[str, ...]]) -> Iterator[Row]:
    number = 0
    waiting = iter(_guarded(path, batches))
    while (batch := _guarded(path, lambda: next(waiting, None))) is not None:
        for values in batch.to_pylist():
            number += 1
            for column, known in names.items():
                value = values.get(column)
                if isinstance(value, int) and 0 <= value < len(known):
                    values[column] = known[value]
            yield Row(number, values)


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    """Read something, with a failure of the library as one line."""
    try:
        return read()
    except (OSError, ValueError) as error:  # Arrow's own errors are these two
        raise SelfguideError(f"{path}: cannot read this file: {str(error).splitlines()[0][:200]}") from error


def _arrow(path: Path, module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise SelfguideError(
            f"{path}: needs the package pyarrow; install it with `pip install 'selfguide-lite[parquet]'`"
        ) from error
