"""The architectures that can be finetuned, one file each.

An architecture is found in this folder by the name that a GGUF gives it, `-` as `_`; its class is called
`Architecture`. Knows nothing of training.
"""

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.registry import ARCHITECTURES
from selfguide_lite.gguf.architectures.base import Decoder, Part, check_parts
from selfguide_lite.gguf.reader import GgufFile

__all__ = ["Decoder", "Part", "architecture_named", "architecture_of", "check_parts"]


def architecture_named(name: str) -> Decoder:
    """Return an architecture by its name, such as `qwen3`.

    :raises SelfguideError: where there is none
    """
    found: Decoder = ARCHITECTURES.get(name)
    return found


def architecture_of(gguf: GgufFile) -> Decoder:
    """Return the architecture of a model.

    :raises SelfguideError: where it is none that can be finetuned here
    """
    name = gguf.architecture
    if (kind := gguf.metadata.get("general.type", "model")) != "model":
        raise SelfguideError(f"{gguf.path}: it holds no model but: {kind}; give the model it belongs to")
    if gguf.get("expert_count", 0):
        raise SelfguideError(
            f"{gguf.path}: it is a mixture of {gguf.get('expert_count')} experts (`{name}`), "
            "and such models cannot be finetuned here"
        )
    if not gguf.get("attention.causal", True):
        raise SelfguideError(f"{gguf.path}: it reads a text from both ends (an embedding model) and writes none")
    if name not in ARCHITECTURES:
        kind = "recurrent, " if gguf.get("ssm.state_size") or gguf.get("wkv.head_size") else ""
        raise SelfguideError(
            f"{gguf.path}: its architecture is `{name}`, {kind}which cannot be finetuned here; "
            f"these can: {', '.join(ARCHITECTURES.names())}"
        )
    return architecture_named(name)
