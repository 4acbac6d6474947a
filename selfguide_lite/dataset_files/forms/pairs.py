"""The pairs alone."""

from collections.abc import Mapping
from typing import Any, Final

from selfguide_lite.dataset_files.forms import Column, Exchange


class Form:
    """What this program reads again; nothing of the prompt is in it."""

    summary = "input and output alone"
    columns: Final[Mapping[str, Column]] = {"input": None, "output": None}

    def record(self, exchange: Exchange) -> dict[str, Any]:
        """Return input and output."""
        return {"input": exchange.input, "output": exchange.output}
