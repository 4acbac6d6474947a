"""Whether a model can be finetuned here, told from its header alone, before any work is done."""

from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.architectures import Decoder, architecture_of, check_parts
from selfguide_lite.gguf.geometry import geometry
from selfguide_lite.gguf.reader import GgufFile, can_dequantize
from selfguide_lite.gguf.rope import original_context
from selfguide_lite.gguf.tokenizer import check_tokenizer


def check_trainable(gguf: GgufFile, *, own_weights: bool = True) -> Decoder:
    """Return the architecture of a model that can be finetuned.

    :param own_weights: whether the weights and the vocabulary to train with are those of the GGUF
    :raises SelfguideError: why it cannot
    """
    if gguf.metadata.get("split.count", 0) > 1:
        raise SelfguideError(
            f"{gguf.path}: its weights are in {gguf.metadata['split.count']} files; finetuning here needs one, "
            "which llama.cpp's llama-gguf-split --merge makes of them"
        )
    model = architecture_of(gguf)
    shape = geometry(gguf)
    model.check(gguf, shape)
    check_parts(gguf, model, shape)
    if own_weights:
        model.config(gguf, shape)
        for kind in {info.kind: name for name, info in gguf.tensors.items()}:
            if not can_dequantize(kind):
                raise SelfguideError(
                    f"{gguf.path}: its weights are {kind.name}, which cannot be dequantized here; "
                    "take the model in another quantization, such as Q4_K_M or Q8_0"
                )
        check_tokenizer(gguf)
    return model


def why_not_trainable(path: Path, *, own_weights: bool = True, n_ctx: int | None = None) -> str | None:
    """Return why a model file cannot be finetuned here, None where it can.

    :param n_ctx: the context in which it is to be used; None: the engine's own choice
    """
    try:
        with GgufFile(path) as gguf:
            check_trainable(gguf, own_weights=own_weights)
            if n_ctx is not None and (original := original_context(gguf)) and n_ctx > original:
                return (
                    f"{path}: with a context of {n_ctx:,} tokens llama.cpp reads every text with the rotary factors "
                    f"for texts over {original:,}, and training does not; give n_ctx={original} or less"
                )
    except SelfguideError as error:
        if "GGMLQuantizationType" in str(error):  # newer than the gguf package, or no type at all
            return (
                f"{path}: its weights are of a type that is not known here; "
                "take the model in another quantization, such as Q4_K_M or Q8_0"
            )
        return str(error)
    return None
