"""Chat messages."""

from collections.abc import Mapping
from typing import Any, Final

from selfguide_lite.dataset_files.forms import CHAT_TURN, Column, Exchange, turn


class Form:
    """The prompt as it is trained on, and the answer as the last turn. A trainer may learn earlier turns too."""

    summary = "chat messages, the answer last: TRL, Unsloth, Axolotl's `chat_template`"
    columns: Final[Mapping[str, Column]] = {"messages": CHAT_TURN}

    def record(self, exchange: Exchange) -> dict[str, Any]:
        """Return the turns."""
        return {"messages": [*exchange.prompt(), turn("assistant", exchange.output)]}
