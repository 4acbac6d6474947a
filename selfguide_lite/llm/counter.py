"""Counts a model's tokens without its weights: opens in a moment, also for a model of many gigabytes."""

from collections.abc import Sequence
from pathlib import Path

from selfguide_lite.core.messages import Message
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.llama import DEFAULT_CONTEXT, short_rope_context
from selfguide_lite.llm.native import Model


class Counter:
    """A model's vocabulary and chat format.

    :param path: the GGUF file
    :raises SelfguideError: where the file is missing or no model
    """

    def __init__(self, path: Path):
        self.path = path
        self._model = Model(path, vocab_only=True)
        self._chat = ChatFormat.of(self._model)
        # Without weights llama.cpp does not read the context's length, but the file's key-value part has it.
        architecture = self._model.metadata("general.architecture") or ""
        trained = self._model.metadata(f"{architecture}.context_length") or ""
        known = (int(trained) if trained.isdigit() else None, short_rope_context(self._model))
        self.n_ctx = min(DEFAULT_CONTEXT, *(length for length in known if length))

    def count_tokens(self, messages: Sequence[Message] | str) -> int:
        """Number of prompt tokens, chat template included."""
        return len(self._chat.prompt(messages))

    def close(self) -> None:
        """Free the vocabulary."""
        self._model.close()
