"""granite: llama with factors on embeddings, residuals, attention and logits."""

from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.architectures.base import Decoder
from selfguide_lite.gguf.geometry import Geometry
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.rope import ROPE_TENSORS


class Architecture(Decoder):
    """As llama, with four factors."""

    models = "Granite 3.0 to 3.3, Granite 4.0 without experts and recurrent layers"
    hf_class = "GraniteForCausalLM"
    model_type = "granite"
    interleaved = True
    optional_biases = True
    rope_tensors = ROPE_TENSORS

    def check(self, gguf: GgufFile, shape: Geometry) -> None:
        """Some Granite models turn the rotary embedding off, which transformers cannot."""
        super().check(gguf, shape)
        if not gguf.get("rope.scaling.finetuned", True):
            raise SelfguideError(f"{gguf.path}: it has no rotary embedding, so it cannot be finetuned here")

    def config(self, gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
        """Llama's, and the factors; llama.cpp takes a factor of 0 for one that is not there."""
        return super().config(gguf, shape) | {
            "embedding_multiplier": float(gguf.get("embedding_scale", 0.0) or 1.0),
            "residual_multiplier": float(gguf.get("residual_scale", 0.0) or 1.0),
            "attention_multiplier": float(gguf.get("attention.scale", 0.0) or shape.head_dim**-0.5),
            "logits_scaling": float(gguf.get("logit_scale", 1.0)),
        }
