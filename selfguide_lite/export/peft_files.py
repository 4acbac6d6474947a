"""What the targets that take a LoRA in PEFT's form have in common: the prompt beside it, read by their programs."""

import json
from pathlib import Path
from typing import Any, Final

from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.messages import Message
from selfguide_lite.export.package import Package

PROMPT = "prompt.json"
BASE = "base"


class PeftTarget:
    """A target whose program makes the prompt of messages, by the tokenizer's chat template."""

    weights: Final = "peft"
    merged: Final = "never"

    def prompt(self, folder: Path, given: str) -> str | tuple[Message, ...]:
        """Return the messages, of which the chat template makes a prompt."""
        return prompt_messages(folder, given)

    def grammar(self, folder: Path) -> str | None:
        """Return None: these programs are given none."""
        return None


def write_prompt(package: Package, folder: Path) -> None:
    """Write the messages that stand before an input, and what its own message says around it."""
    with atomic_write(folder / PROMPT) as part:
        part.write_text(json.dumps(package.prompt_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def prompt_messages(folder: Path, given: str) -> tuple[Message, ...]:
    """Return the messages for an input, read from what was written."""
    found: dict[str, Any] = json.loads((folder / PROMPT).read_text(encoding="utf-8"))
    last = found["input"]
    content = f"{last['before']}{given}{last['after']}"
    return (*(Message(one["role"], one["content"]) for one in found["messages"]), Message(last["role"], content))
