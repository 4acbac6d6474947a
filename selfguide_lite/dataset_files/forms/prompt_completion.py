"""Prompt and completion, both as chat messages."""

from collections.abc import Mapping
from typing import Any, Final

from selfguide_lite.dataset_files.forms import CHAT_TURN, Column, Exchange, turn


class Form:
    """The prompt as it is trained on, apart from the answer, which alone is learnt."""

    summary = "chat messages, the answer apart from them: TRL, which then learns the answer alone"
    columns: Final[Mapping[str, Column]] = {"prompt": CHAT_TURN, "completion": CHAT_TURN}

    def record(self, exchange: Exchange) -> dict[str, Any]:
        """Return the turns before the answer, and the answer."""
        return {"prompt": exchange.prompt(), "completion": [turn("assistant", exchange.output)]}
