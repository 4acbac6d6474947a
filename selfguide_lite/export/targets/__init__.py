"""Programs that can take a finetuned model, one file each: what is written beside the weights, and the prompt in it.

A target is found by its name in this folder; its class is called `Target`. A dot in a name counts as a hyphen, so
`llama.cpp` is the file `llama_cpp.py`. Knows nothing of stores.
"""

from pathlib import Path
from typing import Literal, Protocol

from selfguide_lite.core.messages import Message
from selfguide_lite.core.registry import TARGETS
from selfguide_lite.export.package import Package

__all__ = ["Package", "Target", "target_name", "target_named"]


class Target(Protocol):
    """What is written for a program.

    The weights come into the same folder: for `gguf` the file `model.gguf`, and `adapter.gguf` where nothing is merged;
    for `peft` the LoRA in PEFT's form and the model's own weights in the folder `base`.
    """

    summary: str
    """What it is, in a few words."""
    weights: Literal["gguf", "peft"]
    """In which form the program takes the model."""
    merged: Literal["never", "may", "always"]
    """Whether adapter and model are written as one."""

    def write(self, package: Package, folder: Path) -> None:
        """Write what the program needs beside the weights; no path in it may be absolute."""
        ...

    def prompt(self, folder: Path, given: str) -> str | tuple[Message, ...]:
        """Return the prompt for an input, read from what was written, as the program will make it.

        :return: a whole prompt as text; or messages, which the tokenizer's chat template makes a prompt of
        """
        ...

    def grammar(self, folder: Path) -> str | None:
        """Return the grammar that holds answers to labels or to a schema, from what was written; None: none is."""
        ...

    def usage(self, package: Package) -> str:
        """Return how the folder is used, in a few lines of Markdown."""
        ...


def target_name(given: str) -> str:
    """Return the name under which a target is registered, such as `llama-cpp` for `llama.cpp`."""
    return given.replace(".", "-").lower()


def target_named(name: str) -> Target:
    """Return a target by its name, such as `ollama`.

    :raises SelfguideError: where there is none
    """
    target: Target = TARGETS.get(target_name(name))
    return target
