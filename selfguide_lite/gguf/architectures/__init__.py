"""The architectures that can be finetuned, one file each.

An architecture is found in this package by the name that a GGUF gives it, `-` as `_`; its class is called
`Architecture`. Knows nothing of training.
"""

import pkgutil
from functools import cache
from importlib import import_module

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.architectures.base import Decoder, Part, check_parts
from selfguide_lite.gguf.reader import GgufFile

__all__ = ["Decoder", "Part", "architecture_names", "architecture_of", "check_parts", "named_architecture"]


def architecture_names() -> list[str]:
    """Return the names of all architectures, as GGUFs give them."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if module.name != "base")


@cache
def named_architecture(name: str) -> Decoder:
    """Return an architecture by its name.

    :raises ModuleNotFoundError: where there is none
    """
    found: Decoder = import_module(f"{__name__}.{name.replace('-', '_')}").Architecture()
    return found


def architecture_of(gguf: GgufFile) -> Decoder:
    """Return the architecture of a model.

    :raises SelfguideError: where it is none that can be finetuned here
    """
    names, name = architecture_names(), gguf.architecture
    if (kind := gguf.metadata.get("general.type", "model")) != "model":
        raise SelfguideError(f"{gguf.path}: it holds no model but: {kind}; give the model it belongs to")
    if gguf.get("expert_count", 0):
        raise SelfguideError(
            f"{gguf.path}: it is a mixture of {gguf.get('expert_count')} experts (`{name}`), "
            "and such models cannot be finetuned here"
        )
    if name not in names:  # also keeps a file from naming a module
        kind = "recurrent, " if gguf.get("ssm.state_size") or gguf.get("wkv.head_size") else ""
        raise SelfguideError(
            f"{gguf.path}: its architecture is `{name}`, {kind}which cannot be finetuned here; "
            f"these can: {', '.join(names)}"
        )
    return named_architecture(name)
