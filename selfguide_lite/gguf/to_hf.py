"""Turns a GGUF model into a Hugging Face folder, a few rows at a time, so that memory does not grow with the model.

The folder is kept in the cache under the file's hash and made once. What does not fit exactly is refused, not guessed.
"""

import json
import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf.constants import GGMLQuantizationType

from selfguide_lite.core.cache import cache_dir
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import scratch_folder
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.gguf.architectures import Part, architecture_of, check_parts
from selfguide_lite.gguf.geometry import geometry
from selfguide_lite.gguf.reader import FloatArray, GgufFile, TensorInfo
from selfguide_lite.gguf.tokenizer import pad_id, write_tokenizer

SHARD_BYTES = 2 * 2**30
EXACT_BYTES = 2**30  # models of at most so many bytes in 32 bits are kept without any rounding
MARKER = "selfguide.json"
FORMAT = 2  # of the folder; another number has it made again


def hf_folder(path: Path) -> Path:
    """Return the Hugging Face folder of a GGUF model, making it in the cache the first time.

    :raises SelfguideError: where the model cannot be finetuned, the file is damaged or the disk is full
    """
    target = cache_dir() / "hf" / file_sha256(path)
    if _complete(target):
        return target
    try:
        with scratch_folder(target.parent, ".making-") as work:
            with GgufFile(path) as gguf:
                _check_disk(gguf, work)
                write_hf(gguf, work)
            (work / MARKER).write_text(json.dumps({"format": FORMAT, "gguf_sha256": target.name}), encoding="utf-8")
            if target.exists() and not _complete(target):
                shutil.rmtree(target)
            try:
                work.rename(target)
            except OSError:
                if not _complete(target):  # otherwise another process was first, and its folder is as good
                    raise
    except OSError as error:
        raise SelfguideError(f"{target.parent}: cannot write the Hugging Face folder: {error.strerror}") from error
    return target


def write_hf(gguf: GgufFile, folder: Path) -> None:
    """Write weights, configuration and tokenizer of an open GGUF into an existing folder.

    :raises SelfguideError: where the model cannot be finetuned
    """
    model = architecture_of(gguf)
    shape = geometry(gguf)
    model.check(gguf, shape)
    parts = check_parts(gguf, model, shape)
    config = model.config(gguf, shape)
    exact = sum(info.elements for info in gguf.tensors.values()) * 4 <= EXACT_BYTES
    stored = {name: "F32" if exact else _stored_as(gguf.tensors[name]) for name in parts}
    _write_shards(gguf, folder, [parts[name] for name in gguf.tensors if name in parts], stored, shape.head_dim)
    config |= _tokens_and_format(gguf, stored)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    write_tokenizer(gguf, folder)


def unpermute(rows: npt.NDArray[Any], head_dim: int) -> npt.NDArray[Any]:
    """Undo llama.cpp's order of the rows of q and k: pairs of neighbours become two halves of a head.

    :param rows: whole heads, `(heads * head_dim, ...)`
    """
    shape = (rows.shape[0] // head_dim, head_dim // 2, 2, *rows.shape[1:])
    return rows.reshape(shape).swapaxes(1, 2).reshape(rows.shape)


def permute(rows: npt.NDArray[Any], head_dim: int) -> npt.NDArray[Any]:
    """Put rows of q and k into llama.cpp's order: the two halves of a head become pairs of neighbours."""
    shape = (rows.shape[0] // head_dim, 2, head_dim // 2, *rows.shape[1:])
    return rows.reshape(shape).swapaxes(1, 2).reshape(rows.shape)


def _complete(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / MARKER).read_text(encoding="utf-8")).get("format") == FORMAT)
    except (OSError, ValueError):
        return False


def _check_disk(gguf: GgufFile, folder: Path) -> None:
    elements = sum(info.elements for info in gguf.tensors.values())
    needed = elements * (4 if elements * 4 <= EXACT_BYTES else 2) + 64 * 2**20
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SelfguideError(
            f"{folder.parent}: the weights need {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free; "
            "make room or set SELFGUIDE_CACHE to another disk"
        )


def _stored_as(info: TensorInfo) -> str:
    if len(info.shape) < 2 or info.kind == GGMLQuantizationType.F32:
        return "F32"
    return "BF16" if info.kind == GGMLQuantizationType.BF16 else "F16"


def _encode(values: FloatArray, stored: str) -> bytes:
    if stored == "F32":
        return values.astype("<f4").tobytes()
    if stored == "F16":
        return values.astype("<f2").tobytes()
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16  # to the nearest, halves to the even one
    return np.asarray(rounded, dtype="<u2").tobytes()


def _write_shards(gguf: GgufFile, folder: Path, parts: Sequence[Part], stored: dict[str, str], head_dim: int) -> None:
    sizes = {part.gguf: gguf.tensors[part.gguf].elements * (4 if stored[part.gguf] == "F32" else 2) for part in parts}
    shards: list[list[Part]] = [[]]
    room = SHARD_BYTES
    for part in parts:
        if shards[-1] and sizes[part.gguf] > room:
            shards.append([])
            room = SHARD_BYTES
        shards[-1].append(part)
        room -= sizes[part.gguf]
    weight_map: dict[str, str] = {}
    for number, members in enumerate(shards, 1):
        file_name = f"model-{number:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
        weight_map |= {part.hf: file_name for part in members}
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        offset = 0
        for part in members:
            header[part.hf] = {
                "dtype": stored[part.gguf],
                "shape": list(part.shape),
                "data_offsets": [offset, offset + sizes[part.gguf]],
            }
            offset += sizes[part.gguf]
        raw = json.dumps(header).encode()
        raw += b" " * (-len(raw) % 8)
        with (folder / file_name).open("wb") as file:
            file.write(struct.pack("<Q", len(raw)) + raw)
            for part in members:
                for block in _blocks(gguf, part, head_dim):
                    file.write(_encode(block, stored[part.gguf]))
            file.flush()
            os.fsync(file.fileno())
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _blocks(gguf: GgufFile, part: Part, head_dim: int) -> Iterator[FloatArray]:
    if len(part.shape) == 1:
        values = gguf.tensor(part.gguf) - np.float32(part.offset)
        yield unpermute(values, head_dim) if part.interleaved else values
    elif part.interleaved:
        for block in gguf.chunks(part.gguf, multiple=head_dim):
            yield unpermute(block, head_dim)
    else:
        yield from gguf.chunks(part.gguf)


def _tokens_and_format(gguf: GgufFile, stored: dict[str, str]) -> dict[str, Any]:
    fields = gguf.metadata
    kinds = {kind for name, kind in stored.items() if len(gguf.tensors[name].shape) == 2}
    return {
        "bos_token_id": fields.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": fields.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": pad_id(gguf),
        "dtype": "float32" if kinds == {"F32"} else "bfloat16" if "BF16" in kinds else "float16",
    }
