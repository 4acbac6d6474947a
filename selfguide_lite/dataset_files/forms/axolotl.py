"""Chat messages that say which of them is learnt."""

from collections.abc import Mapping
from typing import Any, Final

from selfguide_lite.dataset_files.forms import CHAT_TURN, Column, Exchange, turn


class Form:
    """The answers of examples in the prompt are not learnt: Axolotl would learn every turn of the assistant."""

    summary = "chat messages, each with whether it is learnt: Axolotl's `chat_template`"
    columns: Final[Mapping[str, Column]] = {"messages": {**CHAT_TURN, "training": bool}}

    def record(self, exchange: Exchange) -> dict[str, Any]:
        """Return the turns, of which the last is learnt."""
        before = [one | {"training": False} for one in exchange.prompt()]
        return {"messages": [*before, turn("assistant", exchange.output) | {"training": True}]}
