"""Turns a GGUF model into a Hugging Face folder, a few rows at a time, so that memory does not grow with the model.

The folder is kept in the cache under the file's hash and made once. What does not fit exactly is refused, not guessed.
"""

import json
import math
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf.constants import GGMLQuantizationType

from selfguide_lite.core.cache import cache_dir
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import scratch_folder
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.gguf.reader import FloatArray, GgufFile, TensorInfo
from selfguide_lite.gguf.tokenizer import pad_id, write_tokenizer

SHARD_BYTES = 2 * 2**30
EXACT_BYTES = 2**30  # models of at most so many bytes in 32 bits are kept without any rounding
MARKER = "selfguide.json"
FORMAT = 1  # of the folder; another number has it made again

_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape of a llama, as its GGUF gives it."""

    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    norm_epsilon: float
    rope_base: float
    tied: bool


def geometry(gguf: GgufFile) -> Geometry:
    """Read the shape of a model.

    :raises SelfguideError: for an architecture, or a variety of it, that cannot be finetuned here
    """

    def refuse(what: str) -> SelfguideError:
        return SelfguideError(f"{gguf.path}: {what}; finetuning here starts from GGUFs of the `llama` architecture")

    if gguf.architecture != "llama":
        raise refuse(f"its architecture is `{gguf.architecture}`")
    if gguf.metadata.get("general.type", "model") != "model":
        raise refuse(f"it holds no model but: {gguf.metadata['general.type']}")
    if gguf.get("expert_count", 0):
        raise refuse(f"it is a mixture of {gguf.get('expert_count')} experts")
    try:
        heads = int(gguf.get("attention.head_count"))
        width = int(gguf.get("embedding_length"))
        kv_heads = gguf.get("attention.head_count_kv", heads)
        head_dim = int(gguf.get("attention.key_length", width // heads))
        feed_forward = gguf.get("feed_forward_length")
        if isinstance(kv_heads, list) or isinstance(feed_forward, list):
            raise refuse("its layers differ in shape")
        if int(gguf.get("rope.dimension_count", head_dim)) != head_dim:
            raise refuse("only a part of each head is rotated")
        if int(gguf.get("attention.value_length", head_dim)) != head_dim:
            raise refuse("its keys and values differ in length")
        embedding = gguf.tensors["token_embd.weight"]
        return Geometry(
            layers=int(gguf.get("block_count")),
            width=width,
            feed_forward=int(feed_forward),
            heads=heads,
            kv_heads=int(kv_heads),
            head_dim=head_dim,
            vocabulary=embedding.shape[0],
            context=int(gguf.get("context_length", 2048)),
            norm_epsilon=float(gguf.get("attention.layer_norm_rms_epsilon", 1e-5)),
            rope_base=float(gguf.get("rope.freq_base", 10000.0)),
            tied="output.weight" not in gguf.tensors,
        )
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise SelfguideError(f"{gguf.path}: its metadata is incomplete ({error}); get the file again") from error


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
    """Write weights, configuration and tokenizer of an open GGUF into an existing folder."""
    shape = geometry(gguf)
    names = {name: hf_name(gguf, name) for name in gguf.tensors if name != "rope_freqs.weight"}
    _check_shapes(gguf, shape)
    exact = sum(info.elements for info in gguf.tensors.values()) * 4 <= EXACT_BYTES
    stored = {name: "F32" if exact else _stored_as(gguf.tensors[name]) for name in names}
    _write_shards(gguf, folder, names, stored, shape)
    (folder / "config.json").write_text(json.dumps(_config(gguf, shape, stored), indent=1) + "\n", encoding="utf-8")
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


def is_rotated(name: str) -> bool:
    """Whether llama.cpp keeps this tensor's rows in its own order."""
    return name.split(".")[-2] in ("attn_q", "attn_k")


def hf_name(gguf: GgufFile, name: str) -> str:
    """Return what transformers calls a tensor.

    :raises SelfguideError: where a plain llama has no such tensor
    """
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _LAYER_NAMES and parts[3] == "weight":
        return f"model.layers.{parts[1]}.{_LAYER_NAMES[parts[2]]}.weight"
    if len(parts) == 2 and parts[0] in _TOP_NAMES and parts[1] == "weight":
        return f"{_TOP_NAMES[parts[0]]}.weight"
    raise SelfguideError(f"{gguf.path}: tensor {name} is not part of a plain llama, so it cannot be finetuned here")


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


def _check_shapes(gguf: GgufFile, shape: Geometry) -> None:
    attention, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    layer = {
        "attn_norm": (shape.width,),
        "attn_q": (attention, shape.width),
        "attn_k": (kv, shape.width),
        "attn_v": (kv, shape.width),
        "attn_output": (shape.width, attention),
        "ffn_norm": (shape.width,),
        "ffn_gate": (shape.feed_forward, shape.width),
        "ffn_up": (shape.feed_forward, shape.width),
        "ffn_down": (shape.width, shape.feed_forward),
    }
    expected = {f"blk.{n}.{name}.weight": wanted for n in range(shape.layers) for name, wanted in layer.items()}
    expected |= {"token_embd.weight": (shape.vocabulary, shape.width), "output_norm.weight": (shape.width,)}
    if not shape.tied:
        expected["output.weight"] = (shape.vocabulary, shape.width)
    for name, wanted in expected.items():
        found = gguf.tensors.get(name)
        if found is None or found.shape != wanted:
            raise SelfguideError(
                f"{gguf.path}: tensor {name} should be {wanted} and is {found.shape if found else 'missing'}; "
                "the file is damaged or no plain llama"
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


def _write_shards(gguf: GgufFile, folder: Path, names: dict[str, str], stored: dict[str, str], shape: Geometry) -> None:
    sizes = {name: gguf.tensors[name].elements * (4 if stored[name] == "F32" else 2) for name in names}
    shards: list[list[str]] = [[]]
    room = SHARD_BYTES
    for name in names:
        if shards[-1] and sizes[name] > room:
            shards.append([])
            room = SHARD_BYTES
        shards[-1].append(name)
        room -= sizes[name]
    weight_map: dict[str, str] = {}
    for number, members in enumerate(shards, 1):
        file_name = f"model-{number:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
        weight_map |= {names[name]: file_name for name in members}
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        offset = 0
        for name in members:
            header[names[name]] = {
                "dtype": stored[name],
                "shape": list(gguf.tensors[name].shape),
                "data_offsets": [offset, offset + sizes[name]],
            }
            offset += sizes[name]
        raw = json.dumps(header).encode()
        raw += b" " * (-len(raw) % 8)
        with (folder / file_name).open("wb") as file:
            file.write(struct.pack("<Q", len(raw)) + raw)
            for name in members:
                for block in _blocks(gguf, name, shape):
                    file.write(_encode(block, stored[name]))
            file.flush()
            os.fsync(file.fileno())
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _blocks(gguf: GgufFile, name: str, shape: Geometry) -> Iterator[FloatArray]:
    if not is_rotated(name):
        yield from gguf.chunks(name)
        return
    for block in gguf.chunks(name, multiple=shape.head_dim):
        yield unpermute(block, shape.head_dim)


def _config(gguf: GgufFile, shape: Geometry, stored: dict[str, str]) -> dict[str, Any]:
    fields = gguf.metadata
    bos = fields.get("tokenizer.ggml.bos_token_id")
    eos = fields.get("tokenizer.ggml.eos_token_id")
    kinds = {stored[name] for name in stored if len(gguf.tensors[name].shape) == 2}
    dtype = "float32" if kinds == {"F32"} else "bfloat16" if "BF16" in kinds else "float16"
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.feed_forward,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_parameters": _rope(gguf, shape),
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": shape.tied,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": pad_id(gguf),
        "dtype": dtype,
        "use_cache": True,
    }


def _rope(gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
    """Rotary embedding's settings; the stretch of Llama 3 is known by its frequencies, which must fit exactly."""
    plain: dict[str, Any] = {"rope_type": "default", "rope_theta": shape.rope_base}
    kind = gguf.get("rope.scaling.type", "none")
    if kind == "linear":
        return plain | {"rope_type": "linear", "factor": float(gguf.get("rope.scaling.factor", 1.0))}
    if kind != "none":
        raise SelfguideError(f"{gguf.path}: its rotary embedding is scaled by {kind!r}, which cannot be finetuned here")
    if "rope_freqs.weight" not in gguf.tensors:
        return plain
    given = gguf.tensor("rope_freqs.weight").ravel()
    stretched = plain | {
        "rope_type": "llama3",
        "factor": float(given.max()),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    if given.size != shape.head_dim // 2 or not np.allclose(given, _llama3_factors(shape, stretched), rtol=1e-4):
        raise SelfguideError(f"{gguf.path}: its rotary frequencies are not those of Llama 3, so it cannot be finetuned")
    return stretched


def _llama3_factors(shape: Geometry, rope: dict[str, Any]) -> FloatArray:
    """Divisors of the rotary frequencies that Llama 3.1 stretches for long contexts (its model card's rule)."""
    factors = np.ones(shape.head_dim // 2, dtype=np.float32)
    original, factor = rope["original_max_position_embeddings"], rope["factor"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    for pair in range(shape.head_dim // 2):
        wavelength = 2 * math.pi * shape.rope_base ** (2 * pair / shape.head_dim)
        if wavelength > original / low:
            factors[pair] = factor
        elif wavelength >= original / high:
            smooth = (original / wavelength - low) / (high - low)
            factors[pair] = 1 / ((1 - smooth) / factor + smooth)
    return factors
