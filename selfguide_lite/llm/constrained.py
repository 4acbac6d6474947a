"""Greedy text under a grammar, as llama.cpp's own programs write it: of the tokens that it allows, the likeliest.

Knows nothing of batches: one text after the other, for the few that an export is checked with.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.llm.native import Context

_TOKEN = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Constrained:
    """A context that writes under a grammar.

    :param context: nobody else may compute with it meanwhile
    :param grammar: in llama.cpp's form (GBNF), with a rule `root`
    :raises SelfguideError: where llama.cpp cannot read the grammar
    """

    def __init__(self, context: Context, grammar: str):
        self._context, self._grammar = context, grammar.encode()
        self._vocabulary = context.model.vocabulary
        llama_cpp.llama_sampler_free(self._sampler())
        self._done: list[int] = []  # tokens in the cache

    def complete(self, prompt: Sequence[int], max_tokens: int) -> str:
        """Return the text that follows a prompt.

        :param prompt: token ids
        """
        sampler = self._sampler()
        try:
            logits = self._compute(prompt)
            written: list[int] = []
            while len(written) < max_tokens:
                token = self._likeliest(sampler, logits)
                if token in self._vocabulary.end_tokens:
                    break
                llama_cpp.llama_sampler_accept(sampler, token)
                written.append(token)
                logits = self._compute([*prompt, *written])
        finally:
            llama_cpp.llama_sampler_free(sampler)
        return b"".join(map(self._vocabulary.piece, written)).decode("utf-8", "replace")

    def _sampler(self) -> Any:
        handle = llama_cpp.llama_model_get_vocab(self._context.model.handle)
        sampler = llama_cpp.llama_sampler_init_grammar(handle, self._grammar, b"root")
        if not sampler:
            raise SelfguideError("llama.cpp cannot read the grammar of the answers")
        return sampler

    def _likeliest(self, sampler: Any, logits: Any) -> int:
        """Return the token with the largest logit of those that the grammar allows."""
        tokens = np.zeros(self._vocabulary.size, _TOKEN)
        tokens["id"] = np.arange(self._vocabulary.size)
        tokens["logit"] = logits
        data = tokens.ctypes.data_as(llama_cpp.llama_token_data_p)
        array = llama_cpp.llama_token_data_array(data=data, size=len(tokens), selected=-1, sorted=False)
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
        return int(tokens["id"][int(tokens["logit"].argmax())])

    def _compute(self, tokens: Sequence[int]) -> Any:
        """Return the logits after the last token; what the cache has of them is not computed again."""
        context = self._context
        if len(tokens) >= context.cells:
            raise SelfguideError(f"a prompt of {len(tokens)} tokens does not fit the context of {context.cells}")
        same = 0
        while same < min(len(tokens) - 1, len(self._done)) and tokens[same] == self._done[same]:
            same += 1
        context.cut(0, same)
        self._done = self._done[:same]
        size = context.options.batch
        while len(self._done) < len(tokens):
            block = tokens[len(self._done) : len(self._done) + size]
            count, start = len(block), len(self._done)
            context.token[:count] = block
            context.pos[:count] = np.arange(start, start + count)
            context.seq[:count] = 0
            context.output[:count] = 0
            context.output[count - 1] = 1
            if not context.decode(count):
                raise SelfguideError(f"a prompt of {len(tokens)} tokens does not fit the context")
            self._done += block
        return context.logits(1)[0]
