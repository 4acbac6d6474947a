"""gemma2: norms before and after each half of a layer, capped logits, a sliding window in every other layer."""

from typing import Any, ClassVar

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.architectures.base import Decoder
from selfguide_lite.gguf.geometry import Geometry
from selfguide_lite.gguf.reader import GgufFile

_LARGEST_LAYERS = 46  # of the 27B model, whose attention llama.cpp scales in another way


class Architecture(Decoder):
    """Embeddings are scaled by the root of the width; norms are stored with one added."""

    models = "Gemma 2 (2B, 9B, 27B)"
    hf_class = "Gemma2ForCausalLM"
    model_type = "gemma2"
    norm_offset = 1.0
    window: ClassVar[int | None] = 4096
    """The sliding window of a file that does not say; None where llama.cpp then has none."""
    bases: ClassVar[int] = 1
    """Of the rotary embedding in transformers: one, or another one in layers with the window."""

    def check(self, gguf: GgufFile, shape: Geometry) -> None:
        """Without its sliding window llama.cpp computes other layers than transformers."""
        super().check(gguf, shape)
        if not gguf.get("attention.sliding_window", self.window):
            raise SelfguideError(
                f"{gguf.path}: it does not say its sliding window (attention.sliding_window), so it cannot be "
                "finetuned here; take the model from another conversion"
            )
        if self.bases == 1 and gguf.get("rope.freq_base_swa", shape.rope_base) != shape.rope_base:
            raise SelfguideError(
                f"{gguf.path}: its layers with a sliding window have a rotary base of their own "
                "(rope.freq_base_swa), so it cannot be finetuned here"
            )

    def modules(self, shape: Geometry) -> dict[str, tuple[int, ...]]:
        """Llama's, and norms around the feed-forward part."""
        norm = (shape.width,)
        return super().modules(shape) | {"pre_feedforward_layernorm": norm, "post_feedforward_layernorm": norm}

    def config(self, gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
        """Llama's, and the caps, the window and the layers it is in; defaults are llama.cpp's."""
        config = super().config(gguf, shape) | {
            "hidden_activation": "gelu_pytorch_tanh",
            "query_pre_attn_scalar": self.attention_scalar(shape, _LARGEST_LAYERS),
            "sliding_window": int(gguf.get("attention.sliding_window", self.window)),
            "layer_types": self.layer_types(gguf, shape, 2),
            "attn_logit_softcapping": float(gguf.get("attn_logit_softcapping", 50.0)),
            "final_logit_softcapping": float(gguf.get("final_logit_softcapping", 30.0)),
            "attn_implementation": "eager",  # the others leave the cap on attention out
        }
        del config["hidden_act"]
        return config

    @staticmethod
    def attention_scalar(shape: Geometry, largest: int) -> int:
        """Return what queries are divided by the root of."""
        return shape.width // shape.heads if shape.layers == largest else shape.head_dim

    @staticmethod
    def layer_types(gguf: GgufFile, shape: Geometry, period: int) -> list[str]:
        """Return which layers have the window: all but the last of each period."""
        pattern = gguf.get("attention.sliding_window_pattern", period)
        if not isinstance(pattern, list):
            pattern = [pattern == 0 or (layer + 1) % pattern != 0 for layer in range(shape.layers)]
        return ["sliding_attention" if windowed else "full_attention" for windowed in pattern[: shape.layers]]
