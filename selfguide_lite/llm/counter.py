"""Counts a model's tokens without its weights: opens in a moment, also for a model of many gigabytes."""

from collections.abc import Sequence
from pathlib import Path

from selfguide_lite.core.messages import Message
from selfguide_lite.fields import Schema
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.constraint import Constraint
from selfguide_lite.llm.llama import DEFAULT_CONTEXT, short_rope_context
from selfguide_lite.llm.native import Model
from selfguide_lite.llm.token_table import TokenTable


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

    def smallest_object(self, schema: Schema) -> int:
        """Return how many tokens the smallest object of a schema takes at most.

        :raises SelfguideError: where the vocabulary cannot write every object
        """
        lead = self._chat.lead([Message("user", "")])
        return Constraint(schema, TokenTable(self._model.vocabulary), self._chat.continued, lead).least

    def close(self) -> None:
        """Free the vocabulary."""
        self._model.close()
