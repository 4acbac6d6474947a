"""The shape of a decoder, read from a GGUF's metadata. Knows nothing of single architectures."""

from dataclasses import dataclass
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.reader import GgufFile


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape of a decoder, the same in every layer.

    :param heads: of queries; each has `head_dim` numbers
    :param kv_heads: of keys and values
    :param rotated: numbers of each head that the rotary embedding turns
    :param vocabulary: rows of the embedding
    :param context: tokens the model was trained to see
    :param tied: whether the output matrix is the embedding
    :param attention_bias: whether any projection of the attention has a bias
    :param mlp_bias: whether any projection of the feed-forward part has one
    """

    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    rotated: int
    vocabulary: int
    context: int
    norm_epsilon: float
    rope_base: float
    tied: bool
    attention_bias: bool = False
    mlp_bias: bool = False

    @property
    def attention(self) -> int:
        """Numbers of all heads of queries."""
        return self.heads * self.head_dim

    @property
    def kv(self) -> int:
        """Numbers of all heads of keys, and of values."""
        return self.kv_heads * self.head_dim


def geometry(gguf: GgufFile) -> Geometry:
    """Read the shape of a model.

    :raises SelfguideError: where it differs from layer to layer, or the metadata is incomplete
    """
    try:
        heads = int(_same(gguf, "attention.head_count"))
        width = int(gguf.get("embedding_length"))
        head_dim = int(gguf.get("attention.key_length", width // heads))
        if int(gguf.get("attention.value_length", head_dim)) != head_dim:
            raise SelfguideError(f"{gguf.path}: its keys and values differ in length, so it cannot be finetuned here")
        found = Geometry(
            layers=int(gguf.get("block_count")),
            width=width,
            feed_forward=int(_same(gguf, "feed_forward_length")),
            heads=heads,
            kv_heads=int(_same(gguf, "attention.head_count_kv", heads)),
            head_dim=head_dim,
            rotated=int(gguf.get("rope.dimension_count", head_dim)),
            vocabulary=gguf.tensors["token_embd.weight"].shape[0],
            context=int(gguf.get("context_length", 2048)),
            norm_epsilon=float(gguf.get("attention.layer_norm_rms_epsilon", 1e-5)),
            rope_base=float(gguf.get("rope.freq_base", 10000.0)),
            tied="output.weight" not in gguf.tensors,
            attention_bias=any(f"blk.0.attn_{one}.bias" in gguf.tensors for one in ("q", "k", "v", "output")),
            mlp_bias=any(f"blk.0.ffn_{one}.bias" in gguf.tensors for one in ("gate", "up", "down")),
        )
        sizes = (found.layers, found.width, found.feed_forward, found.kv_heads, found.head_dim, found.rotated)
        if min(sizes) < 1:
            raise ValueError("a size is 0")
        return found
    except (TypeError, ValueError, KeyError, ArithmeticError) as error:
        raise SelfguideError(f"{gguf.path}: its metadata is incomplete ({error}); get the file again") from error


def _same(gguf: GgufFile, key: str, default: Any = None) -> Any:
    """Return a value that some files give for each layer; all layers must have the same."""
    found = gguf.get(key, default)
    if not isinstance(found, list):
        return found
    if len(set(found)) != 1:
        raise SelfguideError(f"{gguf.path}: its layers differ in shape, so it cannot be finetuned here")
    return found[0]
