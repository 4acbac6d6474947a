"""phi3: one matrix for q, k and v, one for gate and up, in both worlds; heads may be rotated in part."""

from typing import Any, ClassVar

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.architectures.base import Decoder
from selfguide_lite.gguf.geometry import Geometry
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.rope import LONG, SHORT


class Architecture(Decoder):
    """Fused matrices, each with one LoRA. llama.cpp computes no sliding window here, so neither does training."""

    models = "Phi-3, Phi-3.5-mini, Phi-4, Phi-4-mini"
    hf_class = "Phi3ForCausalLM"
    model_type = "phi3"
    rope_tensors = (LONG, SHORT)
    fused: ClassVar[dict[str, str]] = dict.fromkeys(("q_proj", "k_proj", "v_proj"), "qkv_proj") | dict.fromkeys(
        ("gate_proj", "up_proj"), "gate_up_proj"
    )

    def check(self, gguf: GgufFile, shape: Geometry) -> None:
        """Heads must fill the width; a part of each may be rotated."""
        if shape.attention != shape.width:
            raise SelfguideError(f"{gguf.path}: its heads do not fill its width, so it cannot be finetuned here")

    def modules(self, shape: Geometry) -> dict[str, tuple[int, ...]]:
        """Llama's, with two fused matrices."""
        return {
            "input_layernorm": (shape.width,),
            "self_attn.qkv_proj": (shape.attention + 2 * shape.kv, shape.width),
            "self_attn.o_proj": (shape.width, shape.attention),
            "post_attention_layernorm": (shape.width,),
            "mlp.gate_up_proj": (2 * shape.feed_forward, shape.width),
            "mlp.down_proj": (shape.width, shape.feed_forward),
        }

    def config(self, gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
        """Llama's, and which part of a head is rotated."""
        config = super().config(gguf, shape)
        rope = config["rope_parameters"]
        rope["partial_rotary_factor"] = shape.rotated / shape.head_dim
        original = rope.get("original_max_position_embeddings", shape.context)
        return config | {"sliding_window": None, "original_max_position_embeddings": original}
