"""qwen3: norms on each head of q and k, and a head size of its own."""

from selfguide_lite.gguf.architectures.base import Decoder
from selfguide_lite.gguf.geometry import Geometry


class Architecture(Decoder):
    """As llama, with a norm on each head of q and k."""

    models = "Qwen3 (0.6B to 32B), Qwen3-Instruct-2507"
    hf_class = "Qwen3ForCausalLM"
    model_type = "qwen3"

    def modules(self, shape: Geometry) -> dict[str, tuple[int, ...]]:
        """Llama's, and the two norms."""
        norm = (shape.head_dim,)
        return super().modules(shape) | {"self_attn.q_norm": norm, "self_attn.k_norm": norm}
