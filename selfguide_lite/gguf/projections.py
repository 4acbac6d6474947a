"""The matrices of a decoder's layer that a LoRA goes on, by the names they have in transformers' llama."""

PROJECTIONS: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
