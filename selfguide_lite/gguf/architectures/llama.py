"""llama: also what Vicuna, Mistral, Llama 3, SmolLM2 and TinyLlama are to llama.cpp."""

from selfguide_lite.gguf.architectures.base import Decoder
from selfguide_lite.gguf.rope import ROPE_TENSORS


class Architecture(Decoder):
    """The rows of q and k are stored in llama.cpp's own order. Some llamas have biases."""

    models = "Llama 1 to 3.3, Vicuna, Mistral 7B, SmolLM2, TinyLlama"
    stand_ins = ("mistral",)
    interleaved = True
    optional_biases = True
    rope_tensors = ROPE_TENSORS
