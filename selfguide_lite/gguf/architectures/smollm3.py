"""smollm3: llama in which every fourth layer has no rotary embedding."""

from typing import Any

from selfguide_lite.gguf.architectures.base import Decoder
from selfguide_lite.gguf.geometry import Geometry
from selfguide_lite.gguf.reader import GgufFile

_INTERVAL = 4  # compiled into llama.cpp


class Architecture(Decoder):
    """As llama, without rotary embedding in every fourth layer."""

    models = "SmolLM3 3B"
    hf_class = "SmolLM3ForCausalLM"
    model_type = "smollm3"
    interleaved = True

    def config(self, gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
        """Llama's, and which layers have a rotary embedding."""
        return super().config(gguf, shape) | {
            "no_rope_layer_interval": _INTERVAL,
            "no_rope_layers": [int((layer + 1) % _INTERVAL != 0) for layer in range(shape.layers)],
        }
