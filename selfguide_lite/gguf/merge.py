"""Writes a complete model: the base's weights dequantized, the adapter added, quantized again by llama.cpp itself."""

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from gguf.constants import GGMLQuantizationType

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write, scratch
from selfguide_lite.gguf.adapter import Adapter, check_adapter, read_adapter
from selfguide_lite.gguf.quantize import FILE_TYPES, quantize
from selfguide_lite.gguf.reader import FloatArray, GgufFile

_PLAIN = {"f32": 0, "f16": 1}  # types written without llama.cpp, as `general.file_type` numbers them
_UINT32, _STRING = 4, 8
_ALIGNMENT = 32
_EXACT_BYTES = 2**30  # models of at most so many bytes in 32 bits are not rounded to 16 in between
_FILE_TYPE = "general.file_type"
_TEMPLATE = "tokenizer.chat_template"


def merge(base: Path, adapter: Path, out: Path, kind: str, *, chat_template: str | None = None) -> Path:
    """Write base and adapter as one model.

    :param base: the GGUF that the adapter was made for
    :param adapter: GGUF LoRA adapter
    :param out: the new model's file, written whole or not at all
    :param kind: `f32`, `f16` or a quantization that llama.cpp knows, such as `q8_0` or `q4_k_m`
    :param chat_template: written into the new model where the base has none
    :raises SelfguideError: for an adapter made for another base, an unknown type, or too little room on the disk
    """
    kind = kind.lower()
    if kind not in FILE_TYPES:
        raise SelfguideError(f"{kind!r} is no type that llama.cpp writes; there are {', '.join(FILE_TYPES)}")
    check_adapter(adapter, base)
    if out.exists() and out.samefile(base):
        raise SelfguideError(f"{out}: this is the base itself; give the merged model another name")
    lora = read_adapter(adapter)
    with GgufFile(base) as gguf:
        _check_fits(gguf, adapter, lora)
        elements = sum(info.elements for info in gguf.tensors.values())
        plain = kind if kind in _PLAIN else "f32" if elements * 4 <= _EXACT_BYTES else "f16"
        needed = elements * (4 if plain == "f32" else 2)
        _check_room(out, needed if kind in _PLAIN else 2 * needed)
        with atomic_write(out) as part:
            if kind in _PLAIN:
                _write(gguf, lora, part, plain, chat_template)
                return out
            with scratch(out.with_name(f"{out.name}.{plain}")) as whole:
                _write(gguf, lora, whole, plain, chat_template)
                quantize(whole, part, kind)
    return out


def _check_fits(gguf: GgufFile, adapter: Path, lora: Adapter) -> None:
    for name, (a, b) in lora.pairs.items():
        info = gguf.tensors.get(name)
        if info is None or info.shape != (b.shape[0], a.shape[1]):
            raise SelfguideError(f"{adapter}: its {name} does not fit {gguf.path}; give the model it was made for")


def _check_room(out: Path, needed: int) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise SelfguideError(
            f"{out.parent}: merging needs {needed / 2**30:.1f} GiB of temporary space, {free / 2**30:.1f} GiB are free"
        )


def _write(gguf: GgufFile, lora: Adapter, path: Path, kind: str, chat_template: str | None) -> None:
    """Write the merged model in 32 or 16 bits; vectors stay in 32."""
    fields = [gguf.raw_field(key) for key in gguf.metadata if key not in (_FILE_TYPE, "general.alignment")]
    fields.append(_text(_FILE_TYPE) + struct.pack("<II", _UINT32, _PLAIN[kind]))
    if chat_template and _TEMPLATE not in gguf.metadata:
        fields.append(_text(_TEMPLATE) + struct.pack("<I", _STRING) + _text(chat_template))
    table = b""
    sizes: dict[str, int] = {}
    offset = 0
    for name, info in gguf.tensors.items():
        small = kind == "f32" or len(info.shape) < 2
        sizes[name] = info.elements * (4 if small else 2)
        stored = GGMLQuantizationType.F32 if small else GGMLQuantizationType.F16
        shape = tuple(reversed(info.shape))
        table += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, int(stored), offset)
        offset += -(-sizes[name] // _ALIGNMENT) * _ALIGNMENT
    with path.open("wb") as file:
        file.write(struct.pack("<4sIQQ", b"GGUF", 3, len(gguf.tensors), len(fields)))
        file.write(b"".join(fields) + table)
        _pad(file)
        for name, info in gguf.tensors.items():
            dtype = "<f4" if sizes[name] == info.elements * 4 else "<f2"
            for block in _merged(gguf, lora, name):
                file.write(block.astype(dtype).tobytes())
            _pad(file)
        file.flush()
        os.fsync(file.fileno())


def _merged(gguf: GgufFile, lora: Adapter, name: str) -> Iterator[FloatArray]:
    if name not in lora.pairs:
        yield from gguf.chunks(name)
        return
    a, b = lora.pairs[name]
    scale = np.float32(lora.alpha / a.shape[0])
    done = 0
    for block in gguf.chunks(name):
        rows = slice(done, done + len(block))
        done += len(block)
        yield block + scale * (b[rows] @ a)


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", errors="surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def _pad(file: BinaryIO) -> None:
    file.write(b"\0" * (-file.tell() % _ALIGNMENT))
