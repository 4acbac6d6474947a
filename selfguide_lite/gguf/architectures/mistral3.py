"""mistral3: llama whose queries grow beyond the original context, with YaRN."""

from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.architectures.base import Decoder
from selfguide_lite.gguf.geometry import Geometry
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.rope import yarn_attention


class Architecture(Decoder):
    """As llama, with a factor on queries that grows with their position."""

    models = "Ministral 3 (3B, 8B, 14B), text"
    hf_class = "Ministral3ForCausalLM"
    model_type = "ministral3"
    interleaved = True

    def config(self, gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
        """Llama's, and how queries grow (as in Llama 4): by each whole original context."""
        config = super().config(gguf, shape)
        rope = config["rope_parameters"]
        if rope["rope_type"] not in ("default", "yarn"):
            raise SelfguideError(f"{gguf.path}: its rotary embedding is scaled by {rope['rope_type']}, not by YaRN")
        rope.setdefault("original_max_position_embeddings", shape.context)
        if rope["rope_type"] == "yarn":
            multiplier = float(gguf.get("rope.scaling.yarn_log_multiplier", 0.0))
            rope["attention_factor"] /= yarn_attention(rope["factor"], multiplier)
        rope["llama_4_scaling_beta"] = float(gguf.get("attention.temperature_scale", 0.0))
        return config
