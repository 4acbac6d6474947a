"""The llama.cpp engine: a GGUF file answers many requests at once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selfguide_lite.llm.base import Completion, Message, ModelInfo, Request, ScoreRequest, Scores
from selfguide_lite.llm.batching import Batcher, Stats
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.hashing import file_sha256
from selfguide_lite.llm.kv import Cache
from selfguide_lite.llm.native import MAX_SEQUENCES, Context, ContextOptions, Model, Tokens
from selfguide_lite.llm.scoring import Scorer

DEFAULT_CONTEXT = 4096


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the engine uses the machine.

    :param parallel: branches that go on in one step
    :param batch: tokens of one call at most
    :param chunk: prompt tokens of one call at most, so that a step stays short enough to be interrupted
    :param flash: flash attention
    :param threads: processor threads; 0: one for each core
    :param gpu_layers: layers on the GPU; negative: all
    :param tree: let samples that drew the same tokens share their cost
    """

    parallel: int = 16
    batch: int = 512
    chunk: int = 512
    flash: bool = False
    threads: int = 0
    gpu_layers: int = -1
    tree: bool = True


class LlamaEngine:
    """One GGUF model, loaded.

    :param path: the GGUF file
    :param n_ctx: tokens of one sequence at most; None: what the model was trained for, at most 4096
    :param adapter: a GGUF LoRA adapter
    :param cells: tokens in the KV cache, all sequences together; None: enough for the tuning
    :raises SelfguideError: where a file is missing or wrong, or memory does not suffice
    """

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int | None = None,
        adapter: Path | None = None,
        adapter_scale: float = 1.0,
        tuning: Tuning | None = None,
        cells: int | None = None,
        model: Model | None = None,
    ):
        self.tuning = tuning or Tuning()
        self._model = model or Model(path, gpu_layers=self.tuning.gpu_layers)
        self.n_ctx = n_ctx or min(DEFAULT_CONTEXT, self._model.trained_context)
        self.chat = ChatFormat.of(self._model)
        self.stats = Stats()
        room = cells or min(self.n_ctx * 4, self.tuning.parallel * 256 + 1024)
        room = max(room, self.n_ctx)
        options = ContextOptions(
            cells=room,
            batch=self.tuning.batch,
            flash=self.tuning.flash,
            threads=self.tuning.threads,
            sequences=min(MAX_SEQUENCES, room, self.tuning.batch),  # llama.cpp aborts where a call holds fewer tokens
        )
        self._context = Context(self._model, options)
        self._cache = Cache(self._context)
        model_name = self._model.metadata("general.name") or path.stem
        self.info = ModelInfo(
            name=model_name,
            path=str(path),
            sha256=file_sha256(path),
            architecture=self._model.metadata("general.architecture") or "unknown",
            parameters=self._model.parameters,
        )
        if adapter is not None:
            self.set_adapter(adapter, adapter_scale)

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield every sample of every request as it finishes. One call at a time."""
        tuning = self.tuning
        batcher = Batcher(
            self._cache,
            self._model.vocabulary,
            lambda request: self._prompt(request.messages),
            n_ctx=self.n_ctx,
            parallel=tuning.parallel,
            chunk=tuning.chunk,
            tree=tuning.tree,
            stats=self.stats,
        )
        return batcher.run(requests)

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Scores]:
        """Yield the exact log-probability of each candidate of every request. One call at a time."""
        scorer = Scorer(
            self._cache,
            lambda request: (
                self._prompt(request.messages),
                [self.chat.answer(request.messages, text) for text in request.candidates],
            ),
            n_ctx=self.n_ctx,
            chunk=self.tuning.chunk,
            stats=self.stats,
        )
        return scorer.run(requests)

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a plain text, as a completion prompt would have them but without a beginning-of-text token."""
        return self.chat.text(text)

    def prompt_tokens(self, messages: Sequence[Message] | str) -> list[int]:
        """Token ids of these messages exactly as inference uses them."""
        return self.chat.prompt(messages)

    def answer_tokens(self, messages: Sequence[Message] | str, text: str) -> list[int]:
        """Token ids of an answer to these messages as training and scoring use them, the end token included."""
        return self.chat.answer(messages, text)

    def count_tokens(self, messages: Sequence[Message] | str) -> int:
        """Number of prompt tokens of these messages, chat template included."""
        return len(self.chat.prompt(messages))

    def set_adapter(self, path: Path | None, scale: float = 1.0) -> None:
        """Use a GGUF LoRA adapter from now on; None: the model as it is.

        :raises SelfguideError: where the file is no adapter for this model
        """
        self._cache.clear()
        self._context.set_adapter(path, scale)
        name = None if path is None else str(path)
        self.info = ModelInfo(
            self.info.name, self.info.path, self.info.sha256, self.info.architecture, self.info.parameters, name
        )

    def close(self) -> None:
        """Free the model and its memory."""
        self._context.close()
        self._model.close()

    def __enter__(self) -> "LlamaEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _live_sequences(self) -> int:
        """Sequences in use besides kept prefixes; 0 between calls."""
        return self._cache.live

    def _prompt(self, messages: Sequence[Message] | str) -> Tokens:
        return np.array(self.chat.prompt(messages), np.int32)
