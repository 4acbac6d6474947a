"""Writes a PEFT LoRA folder as a GGUF adapter that llama.cpp loads, and reads one back.

The adapter remembers the hash of the model it was made for, so that it is refused on another.
"""

import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.gguf.architectures import architecture_of
from selfguide_lite.gguf.geometry import geometry
from selfguide_lite.gguf.reader import FloatArray, GgufFile
from selfguide_lite.gguf.to_hf import MARKER, permute

BASE_KEY = "selfguide.base.sha256"
ALPHA_KEY = "adapter.lora.alpha"
_KEY = re.compile(r"^base_model\.model\.model\.layers\.(\d+)\.(.+)\.lora_([AB])(?:\.default)?\.weight$")


@dataclass(frozen=True, slots=True)
class Adapter:
    """A GGUF adapter in memory.

    :param base_sha256: hash of the GGUF it was made for, None where the file does not say
    :param pairs: tensor name of the base, then A `(rank, columns)` and B `(rows, rank)` in llama.cpp's order of rows
    """

    alpha: float
    base_sha256: str | None
    pairs: dict[str, tuple[FloatArray, FloatArray]]

    def delta(self, name: str) -> FloatArray:
        """What is added to a tensor of the base, `(rows, columns)`."""
        a, b = self.pairs[name]
        sum_: FloatArray = (b @ a) * np.float32(self.alpha / a.shape[0])
        return sum_


def write_adapter(peft_folder: Path, base: Path, out: Path) -> Path:
    """Write the LoRA in a PEFT folder as a GGUF adapter.

    :param peft_folder: holds `adapter_config.json` and `adapter_model.safetensors`
    :param base: the GGUF that the adapter will run on
    :param out: the adapter's file, written whole or not at all
    :raises SelfguideError: where the folder is no plain LoRA, or was trained on another base
    """
    config = _config(peft_folder)
    made_for = trained_on(peft_folder)
    base_hash = file_sha256(base)
    if made_for is not None and made_for != base_hash:
        raise _other_base(peft_folder, base, made_for, base_hash)
    with GgufFile(base) as gguf:
        architecture = gguf.architecture
        pairs = _named(peft_folder, _weights(peft_folder), gguf)
    ranks = {a.shape[0] for a, _ in pairs.values()}
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    if ranks != {rank}:
        raise SelfguideError(f"{peft_folder}: its matrices have the ranks {sorted(ranks)} and its configuration {rank}")
    if config.get("use_rslora"):  # scaled by alpha / sqrt(rank); llama.cpp divides by the rank
        alpha *= math.sqrt(rank)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as part:
        writer = GGUFWriter(part, architecture)
        writer.add_string("general.type", "adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32(ALPHA_KEY, alpha)
        writer.add_string("general.name", out.stem)
        writer.add_string(BASE_KEY, base_hash)
        for name, (a, b) in pairs.items():
            writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(a, dtype=np.float32))
            writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(b, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return out


def read_adapter(path: Path) -> Adapter:
    """Read a GGUF adapter.

    :raises SelfguideError: where the file is no LoRA adapter
    """
    with GgufFile(path) as gguf:
        _check_is_adapter(gguf)
        names = sorted({name.rsplit(".", 1)[0] for name in gguf.tensors})
        try:
            pairs = {name: (gguf.tensor(f"{name}.lora_a"), gguf.tensor(f"{name}.lora_b")) for name in names}
        except KeyError as error:
            raise SelfguideError(f"{path}: this adapter lacks tensor {error}; export it again") from error
        return Adapter(float(gguf.metadata.get(ALPHA_KEY, 0.0)), gguf.metadata.get(BASE_KEY), pairs)


def adapter_base(path: Path) -> str | None:
    """Return the hash of the base that a GGUF adapter was made for, None where it does not say.

    :raises SelfguideError: where the file is no LoRA adapter
    """
    with GgufFile(path) as gguf:
        _check_is_adapter(gguf)
        base: str | None = gguf.metadata.get(BASE_KEY)
        return base


def check_adapter(path: Path, base: Path) -> None:
    """Refuse an adapter that was made for another base.

    :raises SelfguideError: naming both hashes
    """
    made_for = adapter_base(path)
    if made_for is not None and made_for != (base_hash := file_sha256(base)):
        raise _other_base(path, base, made_for, base_hash)


def trained_on(peft_folder: Path) -> str | None:
    """Return the hash of the GGUF that a PEFT folder of ours was trained on, None where it started elsewhere."""
    try:
        found = json.loads((peft_folder / MARKER).read_text(encoding="utf-8")).get("gguf_sha256")
    except (OSError, ValueError):
        return None
    return str(found) if found else None


def _other_base(what: Path, base: Path, made_for: str, base_hash: str) -> SelfguideError:
    return SelfguideError(
        f"{what}: this adapter was made for the model {made_for[:12]}, and {base} is {base_hash[:12]}; "
        "give that model with -m, or train again on this one"
    )


def _check_is_adapter(gguf: GgufFile) -> None:
    if gguf.metadata.get("general.type") != "adapter" or gguf.metadata.get("adapter.type") != "lora":
        raise SelfguideError(f"{gguf.path}: this GGUF is no LoRA adapter")


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "adapter_config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SelfguideError(f"{path}: cannot read this adapter's configuration: {error}") from error
    if config.get("peft_type") != "LORA":
        raise SelfguideError(f"{path}: only LoRA adapters can be exported, this one is {config.get('peft_type')}")
    for key in ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "fan_in_fan_out", "lora_bias"):
        if config.get(key):
            raise SelfguideError(f"{path}: {key} is set, which a GGUF adapter cannot hold; train a plain LoRA")
    if config.get("bias", "none") != "none":
        raise SelfguideError(f"{path}: biases were trained, which a GGUF adapter cannot hold; train with bias none")
    return config


def _weights(folder: Path) -> dict[str, FloatArray]:
    path = folder / "adapter_model.safetensors"
    try:
        raw = path.read_bytes()
        (length,) = struct.unpack_from("<Q", raw)
        header = json.loads(raw[8 : 8 + length])
        header.pop("__metadata__", None)
        return {key: _numbers(raw, 8 + length, entry) for key, entry in header.items()}
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise SelfguideError(f"{path}: cannot read this adapter's weights: {error}") from error


def _numbers(raw: bytes, start: int, entry: dict[str, Any]) -> FloatArray:
    first, last = entry["data_offsets"]
    data = memoryview(raw)[start + first : start + last]
    if entry["dtype"] == "BF16":  # the upper half of a 32-bit number
        values = (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(data, dtype={"F32": "<f4", "F16": "<f2"}[entry["dtype"]]).astype(np.float32)
    return values.reshape(entry["shape"])


def _named(folder: Path, weights: dict[str, FloatArray], gguf: GgufFile) -> dict[str, tuple[FloatArray, FloatArray]]:
    model = architecture_of(gguf)
    shape = geometry(gguf)
    parts = {part.hf: part for part in model.parts(shape).values()}
    modules = model.lora_modules(shape)
    found: dict[str, dict[str, FloatArray]] = {}
    for key, value in weights.items():
        match = _KEY.match(key)
        if match is None or match[2] not in modules:
            raise SelfguideError(
                f"{folder}: {key} is not a LoRA of one of the projections of {model.name}: {', '.join(modules)}"
            )
        found.setdefault(f"model.layers.{match[1]}.{match[2]}.weight", {})[match[3]] = value
    pairs: dict[str, tuple[FloatArray, FloatArray]] = {}
    for name, both in found.items():
        part = parts.get(name)
        if part is None or set(both) != {"A", "B"} or part.gguf not in gguf.tensors:
            raise SelfguideError(f"{folder}: its matrices for {name} do not fit {gguf.path}")
        a, b = both["A"], both["B"]
        if (b.shape[0], a.shape[1]) != gguf.tensors[part.gguf].shape or a.shape[0] != b.shape[1]:
            raise SelfguideError(
                f"{folder}: the shape of its {part.gguf} does not fit {gguf.path}; give the model it is for"
            )
        pairs[part.gguf] = (a, permute(b, shape.head_dim) if part.interleaved else b)
    return pairs
