"""The chat templates of the model families, as TRL carries them, and models with the tokens that these name."""

from pathlib import Path

from random_architectures import write_vocabulary

from selfguide_lite.llm.native import Model

# Each family's template with its first token and the one that ends a turn.
FAMILIES = {
    "qwen2_5": ("", "<|im_end|>"),
    "qwen3": ("", "<|im_end|>"),
    "qwen3_instruct_2507": ("", "<|im_end|>"),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>"),
    "llama3_1": ("<|begin_of_text|>", "<|eot_id|>"),
    "llama3_2": ("<|begin_of_text|>", "<|eot_id|>"),
    "gemma": ("<bos>", "<end_of_turn>"),
    "gemma3": ("<bos>", "<end_of_turn>"),
    "phi3": ("", "<|end|>"),
    "phi3_5": ("", "<|end|>"),
}
NAMES = (
    *("<bos>", "<|begin_of_text|>", "<eos>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
)


def template_of_family(name: str) -> str:
    """Return a family's template."""
    import trl

    return (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text()


def model_of_family(name: str, folder: Path) -> Model:
    """Return an open model without weights that has a family's control tokens."""
    begin, _ = FAMILIES[name]
    path = write_vocabulary(folder / "vocabulary.gguf", NAMES, begin or "<eos>", "<eos>", add_bos=bool(begin))
    return Model(path, vocab_only=True)
