"""Tables in Arrow's formats: Parquet, and a folder that `datasets` saved. `datasets` itself is not needed."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.tabular.base import MOST_UNPACKED, Row, Table

_BATCH = 100  # rows that are unpacked at a time
_MOST_TIMES = 100  # as often as texts are packed at most
_MOST_JSON = 16 * 2**20  # bytes


def parquet(path: Path) -> Table:
    """Return a Parquet file as a table; rows are counted from 1.

    :raises SelfguideError: where pyarrow is missing or the file is no Parquet
    """
    pq = arrow(path, "pyarrow.parquet")
    file = _guarded(path, lambda: pq.ParquetFile(path))
    largest = _guarded(path, lambda: _largest_group(file.metadata))
    if largest > _most_unpacked([path]):
        raise SelfguideError(f"{path}: a row group has {largest / 2**20:,.0f} MiB when unpacked; write smaller ones")
    columns = tuple(file.schema_arrow.names)
    return Table(
        str(path), "row", columns, lambda: _rows(path, lambda: pq.ParquetFile(path).iter_batches(_BATCH), {}, [path])
    )


def datasets_folder(path: Path) -> Table:
    """Return a folder that Hugging Face's `save_to_disk` made as a table; labels with names are their names.

    Of several splits `train` is taken; the folder of another one can be named itself.

    :raises SelfguideError: where pyarrow is missing or the folder does not hold what it should
    """
    folder = _split(path)
    ipc = arrow(path, "pyarrow.ipc")
    state, info = _json(folder / "state.json"), _json(folder / "dataset_info.json")
    try:
        features = dict(info.get("features") or {})
        names = {
            column: tuple(feature["names"])
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
        files = [folder / Path(str(part["filename"])).name for part in state.get("_data_files") or ()]
    except (KeyError, TypeError, ValueError) as error:
        raise SelfguideError(f"{folder}: does not hold what `save_to_disk` writes; save it again") from error

    def batches() -> Iterator[Any]:
        for file in files:
            with file.open("rb") as opened:
                yield from ipc.open_stream(opened)

    return Table(str(path), "row", tuple(features), lambda: _rows(path, batches, names, files))


def _split(path: Path) -> Path:
    if (path / "state.json").is_file():
        return path
    named = _json(path / "dataset_dict.json").get("splits")
    splits = [str(name) for name in named if Path(str(name)).name == name] if isinstance(named, list) else []
    if "train" in splits or len(splits) == 1:
        return path / ("train" if "train" in splits else splits[0])
    raise SelfguideError(f"{path}: which split? name its folder; there are: {', '.join(splits) or 'none'}")


def _json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_MOST_JSON))
    except (OSError, ValueError, RecursionError) as error:
        raise SelfguideError(f"{path}: cannot read this part of a saved dataset") from error
    return found if isinstance(found, dict) else {}


def _largest_group(metadata: Any) -> int:
    """Return the bytes of the largest row group when it is unpacked, as the file says."""
    return max((metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)), default=0)


def _most_unpacked(files: Sequence[Path]) -> int:
    """Return how many bytes the texts of files may take; large files may hold more."""
    return max(MOST_UNPACKED, _MOST_TIMES * sum(file.stat().st_size for file in files if file.is_file()))


def _rows(
    path: Path, batches: Callable[[], Iterable[Any]], names: Mapping[str, tuple[str, ...]], files: Sequence[Path]
) -> Iterator[Row]:
    number = unpacked = 0
    most = _most_unpacked(files)
    waiting = iter(_guarded(path, batches))
    while (batch := _guarded(path, lambda: next(waiting, None))) is not None:
        for values in _guarded(path, batch.to_pylist):
            number += 1
            unpacked += sum(len(value) for value in values.values() if isinstance(value, str | bytes))
            if unpacked > most:
                raise SelfguideError(f"{path}: row {number}: its texts take more than {most / 2**20:,.0f} MiB unpacked")
            for column, known in names.items():
                value = values.get(column)
                if isinstance(value, int) and 0 <= value < len(known):
                    values[column] = known[value]
            yield Row(number, values)


def _guarded(path: Path, read: Callable[[], Any]) -> Any:
    """Read something, with a failure of the library as one line."""
    try:
        return read()
    except MemoryError:
        raise
    except Exception as error:  # Arrow's own errors are OSError and ValueError; values that Python lacks raise others
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise SelfguideError(f"{path}: cannot read this file: {reason[:200]}") from error


def arrow(path: Path, module: str) -> Any:
    """Return a module of pyarrow.

    :param path: what it is needed for
    :raises SelfguideError: where pyarrow is missing
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise SelfguideError(
            f"{path}: needs the package pyarrow; install it with `pip install 'selfguide-lite[parquet]'`"
        ) from error
