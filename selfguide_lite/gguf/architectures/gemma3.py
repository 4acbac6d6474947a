"""gemma3, its text part: as gemma2 with norms on q and k, and a second rotary base under the window."""

from typing import Any

from selfguide_lite.gguf.architectures import gemma2
from selfguide_lite.gguf.geometry import Geometry
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.rope import plain_rope, rope_parameters

_LARGEST_LAYERS = 62


class Architecture(gemma2.Architecture):
    """Five layers with a sliding window, then one without; the latter alone has a scaled rotary embedding."""

    models = "Gemma 3 (270M, 1B, and the text part of 4B, 12B, 27B)"
    hf_class = "Gemma3ForCausalLM"
    model_type = "gemma3_text"
    window = None
    bases = 2

    def modules(self, shape: Geometry) -> dict[str, tuple[int, ...]]:
        """Gemma 2's, and a norm on each head of q and k."""
        norm = (shape.head_dim,)
        return super().modules(shape) | {"self_attn.q_norm": norm, "self_attn.k_norm": norm}

    def config(self, gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
        """Gemma 2's, with a rotary embedding for each kind of layer."""
        config = super().config(gguf, shape)
        del config["attn_implementation"], config["attn_logit_softcapping"]
        return config | {
            "final_logit_softcapping": float(gguf.get("final_logit_softcapping", 0.0)) or None,
            "query_pre_attn_scalar": self.attention_scalar(shape, _LARGEST_LAYERS),
            "layer_types": self.layer_types(gguf, shape, 6),
            "rope_parameters": {
                "full_attention": rope_parameters(gguf, shape),
                "sliding_attention": plain_rope(float(gguf.get("rope.freq_base_swa", 10000.0))),
            },
        }
