"""qwen2: biases on q, k and v, halves of heads as transformers has them."""

from selfguide_lite.gguf.architectures.base import Decoder


class Architecture(Decoder):
    """As llama, with biases on q, k and v."""

    models = "Qwen2, Qwen2.5, Qwen2.5-Coder, DeepSeek-R1-Distill-Qwen"
    hf_class = "Qwen2ForCausalLM"
    model_type = "qwen2"
    biases = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
