"""Reads a GGUF file: its metadata whole, its tensors a few rows at a time.

Nothing is mapped into memory, so reading a model of any size takes no more than the rows asked for. Knows nothing of
what the tensors mean.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

from selfguide_lite.core.errors import SelfguideError

FloatArray = npt.NDArray[np.float32]
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_CHUNK_ELEMENTS = 4 * 2**20
# Far above what any model has. A header is read into memory whole, so a damaged length must not name half a large file.
_MAX_HEADER = 256 * 2**20
_MAX_FIELDS, _MAX_TENSORS, _MAX_ITEMS, _MAX_DIMENSIONS = 65_536, 262_144, 8_000_000, 4
_DAMAGE = (struct.error, UnicodeDecodeError, ValueError, TypeError, KeyError, OverflowError, MemoryError)
_PLAIN = {GGMLQuantizationType.F32: "<f4", GGMLQuantizationType.F16: "<f2"}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies.

    :param shape: rows first, as numpy has it (the file has the reverse)
    :param offset: from the beginning of the file, in bytes
    """

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int

    @property
    def elements(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    @property
    def row_bytes(self) -> int:
        """Size of one row in the file."""
        block, size = GGML_QUANT_SIZES[self.kind]
        return self.shape[-1] // block * size

    @property
    def rows(self) -> int:
        """How many rows; a vector is one."""
        return math.prod(self.shape[:-1])

    @property
    def bytes(self) -> int:
        """Size in the file."""
        return self.rows * self.row_bytes


def can_dequantize(kind: GGMLQuantizationType) -> bool:
    """Whether tensors of this type can be turned back into numbers here."""
    if kind in _PLAIN:
        return True
    try:
        dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), dtype=np.uint8), kind)
    except NotImplementedError:
        return False
    return True


class GgufFile:
    """An open GGUF file; a context manager.

    :param path: the file
    :param tensors: whether to read where the tensors lie too, and that the file holds them whole
    :raises SelfguideError: where it is missing, no GGUF, damaged or cut short
    """

    def __init__(self, path: Path, *, tensors: bool = True):
        self.path = path
        self.metadata: dict[str, Any] = {}
        self.spans: dict[str, tuple[int, int]] = {}  # where a field of the metadata begins and ends in the file
        self.tensors: dict[str, TensorInfo] = {}
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise SelfguideError(f"{path}: cannot read this model: {error.strerror}") from error
        try:
            self._size = path.stat().st_size
            self._read_header(tensors)
        except OSError as error:
            self._file.close()
            raise SelfguideError(f"{path}: cannot read this model: {error.strerror}") from error
        except _DAMAGE as error:
            self._file.close()
            raise SelfguideError(f"{path}: this GGUF file is damaged or cut short; get it again ({error})") from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "GgufFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def architecture(self) -> str:
        """What `general.architecture` says."""
        return str(self.metadata.get("general.architecture", "unknown"))

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value of the metadata by its name below the architecture, such as `block_count`."""
        return self.metadata.get(f"{self.architecture}.{key}", default)

    def chunks(self, name: str, multiple: int = 1) -> Iterator[FloatArray]:
        """Yield a tensor dequantized, a few million numbers at a time, as `(rows, columns)` blocks in order.

        :param multiple: every block has a multiple of so many rows
        :raises SelfguideError: for a type that cannot be dequantized
        """
        info = self.tensors[name]
        step = max(_CHUNK_ELEMENTS // max(info.shape[-1], 1) // multiple, 1) * multiple
        for start in range(0, info.rows, step):
            yield self._rows(info, start, min(step, info.rows - start))

    def tensor(self, name: str) -> FloatArray:
        """Return a whole tensor dequantized, in its own shape."""
        info = self.tensors[name]
        return self._rows(info, 0, info.rows).reshape(info.shape)

    def raw_field(self, key: str) -> bytes:
        """Return a field of the metadata as it lies in the file, its name and type included."""
        start, end = self.spans[key]
        self._file.seek(start)
        return self._file.read(end - start)

    def _rows(self, info: TensorInfo, start: int, count: int) -> FloatArray:
        self._file.seek(info.offset + start * info.row_bytes)
        raw = np.frombuffer(self._file.read(count * info.row_bytes), dtype=np.uint8)
        if raw.size < count * info.row_bytes:
            raise SelfguideError(f"{self.path}: this GGUF file is cut short in tensor {info.name}; get it again")
        if (plain := _PLAIN.get(info.kind)) is not None:
            return np.asarray(raw.view(plain).reshape(count, info.shape[-1]), dtype=np.float32)
        try:
            values: FloatArray = dequantize(raw.reshape(count, info.row_bytes), info.kind)
        except NotImplementedError as error:
            raise SelfguideError(
                f"{self.path}: tensor {info.name} is {info.kind.name}, which cannot be dequantized here; "
                "use the model in another quantization, such as Q4_K_M or Q8_0"
            ) from error
        return values.reshape(count, info.shape[-1])

    def _take(self, count: int) -> bytes:
        if count > self._size:
            raise ValueError(f"a length of {count:,} bytes in a file of {self._size:,}")
        if self._file.tell() + count > _MAX_HEADER:
            raise ValueError(f"a header of more than {_MAX_HEADER // 2**20} MiB")
        data = self._file.read(count)
        if len(data) < count:
            raise ValueError("it ends in the middle of its header")
        return data

    def _scalar(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))[0]

    def _string(self) -> str:
        # A vocabulary's own bytes need not be UTF-8; surrogates keep them apart and readable.
        return self._take(self._scalar("Q")).decode("utf-8", errors="surrogateescape")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            inner, count = self._scalar("I"), self._scalar("Q")
            if count > _MAX_ITEMS:
                raise ValueError(f"an array of {count:,} items")
            if inner in _SCALARS:
                data = self._take(count * struct.calcsize(f"<{_SCALARS[inner]}"))
                return list(struct.unpack(f"<{count}{_SCALARS[inner]}", data))
            if inner != _STRING:
                raise ValueError(f"an array of values of type {inner}")
            return [self._string() for _ in range(count)]
        if kind not in _SCALARS:
            raise ValueError(f"a value of type {kind}")
        return self._scalar(_SCALARS[kind])

    def _read_header(self, tensors: bool) -> None:
        if self._file.read(4) != b"GGUF":
            raise SelfguideError(f"{self.path}: not a GGUF model file")
        version = self._scalar("I")
        if version not in (2, 3):
            raise SelfguideError(f"{self.path}: GGUF version {version} is not supported, only 2 and 3 (little-endian)")
        tensor_count, field_count = self._scalar("Q"), self._scalar("Q")
        if tensor_count > _MAX_TENSORS or field_count > _MAX_FIELDS:
            raise ValueError(f"{tensor_count:,} tensors and {field_count:,} fields")
        for _ in range(field_count):
            start = self._file.tell()
            key = self._string()
            if key in self.metadata:
                raise ValueError(f"the field {key[:80]!r} twice")
            self.metadata[key] = self._value(self._scalar("I"))
            self.spans[key] = (start, self._file.tell())
        if tensors:
            self._read_tensors(tensor_count)

    def _read_tensors(self, tensor_count: int) -> None:
        raw: list[tuple[str, tuple[int, ...], GGMLQuantizationType, int]] = []
        for _ in range(tensor_count):
            name = self._string()
            dimensions = self._scalar("I")
            if dimensions > _MAX_DIMENSIONS:
                raise ValueError(f"a tensor of {dimensions:,} dimensions")
            shape = tuple(reversed([self._scalar("Q") for _ in range(dimensions)]))
            raw.append((name, shape or (1,), GGMLQuantizationType(self._scalar("I")), self._scalar("Q")))
        alignment = self.metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment <= 0:
            raise ValueError(f"an alignment of {str(alignment)[:80]!r}")
        data_start = -(-self._file.tell() // alignment) * alignment
        for name, shape, kind, offset in raw:
            info = TensorInfo(name, shape, kind, data_start + offset)
            if not info.elements:
                raise ValueError(f"tensor {name[:80]!r} is empty")
            if info.shape[-1] % GGML_QUANT_SIZES[kind][0]:
                raise ValueError(f"tensor {name[:80]!r} of {kind.name} has rows of {info.shape[-1]}")
            if info.offset + info.bytes > self._size:
                missing = info.offset + info.bytes - self._size
                raise ValueError(f"at least {missing:,} bytes are missing at its end, in tensor {name[:80]!r}")
            if name in self.tensors:
                raise ValueError(f"the tensor {name[:80]!r} twice")
            self.tensors[name] = info
