"""Models of random weights, one row for each architecture: real proportions, odd counts of heads, nothing trivial.

A row lists what its GGUF holds beside the usual keys and the nine tensors of a layer. It knows nothing of the code that
reads it: llama.cpp refuses a file whose tensors are not those of its architecture.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from selfguide_lite.gguf.random_model import add_vocabulary

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """Of a random model. The context is small, so that texts longer than it are quick."""

    layers: int = 4
    width: int = 48
    feed_forward: int = 80
    heads: int = 3
    kv_heads: int = 1
    head_dim: int = 16
    context: int = 512
    tied: bool = False


@dataclass(frozen=True)
class Row:
    """An architecture's random model.

    :param keys: below the architecture's name, beside the usual ones
    :param norms: further vectors of a layer, with their length
    :param biases: tensors of a layer that have a bias
    :param fused: which are one matrix: `qkv` q, k and v, `up` gate and up
    :param top: further tensors by name
    """

    shape: Shape = Shape()
    keys: dict[str, float | int | str | bool] = field(default_factory=dict)
    norms: dict[str, int] = field(default_factory=dict)
    biases: Sequence[str] = ()
    fused: Sequence[str] = ()
    top: dict[str, Callable[[np.random.Generator], Array]] = field(default_factory=dict)


_YARN = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 4.0,
    "rope.scaling.original_context_length": 64,
}
_GEMMA = {"attention.key_length": 32, "attention.value_length": 32}
_GEMMA3_NORMS = {"attn_q_norm": 32, "attn_k_norm": 32, "post_attention_norm": 48, "post_ffw_norm": 48}
_ATTENTION = ("attn_q", "attn_k", "attn_v", "attn_output")
_MLP = ("ffn_gate", "ffn_up", "ffn_down")


_LONGROPE: dict[str, float | int | str | bool] = {
    "rope.scaling.original_context_length": 64,
    "rope.scaling.attn_factor": 1.154701,
}


def _long_and_short(count: int) -> dict[str, Callable[[np.random.Generator], Array]]:
    """LongRoPE's two lists of factors, one for each pair of a head's rotated numbers."""
    return {
        "rope_factors_long.weight": lambda rng: rng.uniform(1.0, 30.0, count).astype(np.float32),
        "rope_factors_short.weight": lambda rng: rng.uniform(1.0, 1.5, count).astype(np.float32),
    }


def _llama3_frequencies(_: np.random.Generator) -> Array:
    """Llama 3.2's stretch by 32 of a head of 16 numbers: long waves wholly, short ones not, those between in part."""
    wavelengths = 2 * np.pi * 5e5 ** (np.arange(8) / 8)
    smooth = np.clip((8192 / wavelengths - 1) / (4 - 1), 0, 1)
    factors: Array = (1 / ((1 - smooth) / 32 + smooth)).astype(np.float32)
    return factors


ROWS: dict[str, Row] = {
    "llama": Row(),
    "llama tied": Row(Shape(heads=6, kv_heads=3, head_dim=8, tied=True)),
    "llama linear, biases, wide heads": Row(
        Shape(head_dim=24),
        keys={"attention.key_length": 24, "attention.value_length": 24}
        | {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0},
        biases=(*_ATTENTION, *_MLP),
    ),
    "llama longrope, biases of the attention": Row(
        Shape(context=256),
        keys={"rope.scaling.type": "longrope"} | _LONGROPE,
        biases=_ATTENTION,
        top=_long_and_short(8),
    ),
    "llama yarn": Row(keys=_YARN | {"rope.scaling.yarn_log_multiplier": 1.0}),  # not read in a llama
    "llama 3": Row(keys={"rope.freq_base": 5e5}, top={"rope_freqs.weight": _llama3_frequencies}),
    "qwen2": Row(Shape(tied=True), biases=("attn_q", "attn_k", "attn_v")),
    "qwen2 yarn": Row(keys={"rope.freq_base": 1e6} | _YARN, biases=("attn_q", "attn_k", "attn_v")),
    "qwen3": Row(
        Shape(head_dim=32),
        keys={"attention.key_length": 32, "attention.value_length": 32, "rope.freq_base": 1e6},
        norms={"attn_q_norm": 32, "attn_k_norm": 32},
    ),
    "gemma3": Row(
        Shape(layers=7, head_dim=32, tied=True),
        keys=_GEMMA | {"attention.sliding_window": 24, "rope.freq_base": 1e6},
        norms=_GEMMA3_NORMS,
    ),
    "gemma3 linear, capped, untied": Row(
        Shape(layers=6, head_dim=32),
        keys=_GEMMA
        | {"attention.sliding_window": 24, "rope.freq_base": 1e6, "rope.freq_base_swa": 5e3}
        | {"attention.sliding_window_pattern": 3, "final_logit_softcapping": 20.0}
        | {"rope.scaling.type": "linear", "rope.scaling.factor": 8.0},
        norms=_GEMMA3_NORMS,
    ),
    "mistral3": Row(
        Shape(context=256),
        keys=_YARN
        | {"rope.freq_base": 1e6, "attention.temperature_scale": 0.1, "rope.scaling.yarn_log_multiplier": 0.5},
    ),
    "smollm3": Row(Shape(layers=5, tied=True), keys={"rope.freq_base": 2e6}),
    "granite": Row(
        Shape(tied=True),
        keys={"embedding_scale": 6.0, "residual_scale": 0.22, "attention.scale": 0.1, "logit_scale": 4.0},
        biases=_MLP,
    ),
    "phi3": Row(fused=("qkv", "up")),
    "phi3 longrope": Row(
        Shape(heads=3, kv_heads=3, context=256),
        keys={"rope.dimension_count": 12} | _LONGROPE,
        fused=("qkv", "up"),
        top=_long_and_short(6),
    ),
    "gemma2": Row(
        Shape(head_dim=32, tied=True),
        keys=_GEMMA | {"attention.sliding_window": 24, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 10.0},
        norms={"post_attention_norm": 48, "post_ffw_norm": 48},
    ),
}


def write_model(path: Path, name: str, row: Row) -> Path:
    """Write a row's model in 32 bits.

    :param name: the architecture, and after a space what is special
    """
    architecture, shape = name.split()[0], row.shape
    rng = np.random.default_rng(len(name))
    writer = gguf.GGUFWriter(path, architecture)
    size = add_vocabulary(writer, "bpe")
    usual: dict[str, float | int | str | bool] = {
        "context_length": shape.context,
        "embedding_length": shape.width,
        "block_count": shape.layers,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.dimension_count": shape.head_dim,
    }
    for key, value in (usual | row.keys).items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        add[type(value)](f"{architecture}.{key}", value)

    def matrix(rows: int, columns: int) -> Array:
        return (rng.standard_normal((rows, columns)) * columns**-0.5).astype(np.float32)

    def norm(length: int) -> Array:
        return (1 + rng.standard_normal(length) * 0.3).astype(np.float32)

    attention, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    width, inner = shape.width, shape.feed_forward
    layer = {
        "attn_q": (attention, width),
        "attn_k": (kv, width),
        "attn_v": (kv, width),
        "attn_output": (width, attention),
        "ffn_gate": (inner, width),
        "ffn_up": (inner, width),
        "ffn_down": (width, inner),
    }
    if "qkv" in row.fused:
        for gone in ("attn_q", "attn_k", "attn_v"):
            del layer[gone]
        layer["attn_qkv"] = (attention + 2 * kv, width)
    if "up" in row.fused:
        del layer["ffn_gate"]
        layer["ffn_up"] = (2 * inner, width)
    writer.add_tensor("token_embd.weight", matrix(size, width) * (2 if shape.tied else 7))
    writer.add_tensor("output_norm.weight", norm(width) * 2)
    if not shape.tied:
        writer.add_tensor("output.weight", matrix(size, width))
    for number in range(shape.layers):
        for tensor, dims in layer.items():
            writer.add_tensor(f"blk.{number}.{tensor}.weight", matrix(*dims))
        for tensor, length in {"attn_norm": width, "ffn_norm": width, **row.norms}.items():
            writer.add_tensor(f"blk.{number}.{tensor}.weight", norm(length))
        for tensor in row.biases:
            bias = rng.standard_normal(layer[tensor][0]) * 0.5
            writer.add_tensor(f"blk.{number}.{tensor}.bias", bias.astype(np.float32))
    for tensor, made in row.top.items():
        writer.add_tensor(tensor, made(rng))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_vocabulary(path: Path, names: Sequence[str], begin: str, end: str, *, add_bos: bool) -> Path:
    """Write a model without weights whose byte-level vocabulary has further control tokens.

    :param begin: the name of the token that begins a text
    :param end: the name of the token that ends one
    """
    writer = gguf.GGUFWriter(path, "qwen2")
    add_vocabulary(writer, "bpe")
    fields = writer.kv_data[0]
    tokens: list[str] = fields["tokenizer.ggml.tokens"].value
    fields["tokenizer.ggml.tokens"].value = [*tokens, *(name for name in names if name not in tokens)]
    added = len(fields["tokenizer.ggml.tokens"].value) - len(tokens)
    fields["tokenizer.ggml.token_type"].value = [*fields["tokenizer.ggml.token_type"].value, *[3] * added]
    whole = fields["tokenizer.ggml.tokens"].value
    fields["tokenizer.ggml.bos_token_id"].value = whole.index(begin)
    fields["tokenizer.ggml.eos_token_id"].value = whole.index(end)
    fields["tokenizer.ggml.add_bos_token"].value = add_bos
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_pairs(path: Path, rule: str, texts: Sequence[str], *, backwards: bool) -> Path:
    """Write a model without weights whose vocabulary joins any two bytes that are neighbours in some texts.

    :param rule: by which text is cut into words before
    :param backwards: whether the pairs that were joined first come last
    """
    writer = gguf.GGUFWriter(path, "llama")
    add_vocabulary(writer, "bpe")
    fields = writer.kv_data[0]
    tokens: list[str] = fields["tokenizer.ggml.tokens"].value[:260]  # four control tokens, then the bytes
    name = tokens[4:]
    found = {(name[a], name[b]) for text in texts for a, b in pairwise(text.encode())}
    pairs = sorted(found, key=lambda pair: hash_of("".join(pair)), reverse=backwards)
    fields["tokenizer.ggml.tokens"].value = [*tokens, *("".join(pair) for pair in pairs)]
    fields["tokenizer.ggml.token_type"].value = [3] * 4 + [1] * (256 + len(pairs))
    fields["tokenizer.ggml.merges"].value = [" ".join(pair) for pair in pairs]
    fields["tokenizer.ggml.pre"].value = rule
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def hash_of(text: str) -> str:
    """An order that has nothing to do with the text, and is the same everywhere."""
    return hashlib.sha256(text.encode()).hexdigest()
