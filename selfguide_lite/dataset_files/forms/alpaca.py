"""Alpaca's columns."""

from collections.abc import Mapping
from typing import Any, Final

from selfguide_lite.dataset_files.forms import Column, Exchange


class Form:
    """The trainer makes the prompt, with words of its own around the instruction and the input."""

    summary = "instruction, input and output, of which the trainer makes its own prompt: Axolotl's `alpaca`, Unsloth"
    columns: Final[Mapping[str, Column]] = {"instruction": None, "input": None, "output": None}

    def record(self, exchange: Exchange) -> dict[str, Any]:
        """Return instruction, input and output."""
        return {"instruction": exchange.question, "input": exchange.input, "output": exchange.output}
