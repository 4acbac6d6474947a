"""The llama.cpp engine: a GGUF file answers many requests at once."""

import threading
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.limits import free_memory
from selfguide_lite.core.machine import cores
from selfguide_lite.core.messages import Message
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.fields import Schema
from selfguide_lite.llm import prefixes
from selfguide_lite.llm.base import Completion, Request, ScoreRequest, Scores
from selfguide_lite.llm.batching import Batcher, BatchOptions
from selfguide_lite.llm.branches import Job, Stats
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.constraint import Constraint
from selfguide_lite.llm.context_options import MAX_SEQUENCES, ContextOptions
from selfguide_lite.llm.kv import Cache, common
from selfguide_lite.llm.native import Context, Model, Tokens, library_description
from selfguide_lite.llm.scoring import ScoreOptions, Scorer
from selfguide_lite.llm.token_table import TokenTable
from selfguide_lite.llm.workers import side_by_side

DEFAULT_CONTEXT = 4096
MAX_CONSTRAINTS = 16  # schemas whose automata are kept
CACHE_SHARE = 0.25  # of the free memory, for the caches of all workers: they hold fewer sequences then

Given = TypeVar("Given")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the engine uses the machine.

    :param workers: contexts that compute side by side, each with its share of the requests; 1 on a GPU
    :param parallel: branches of a worker that go on in one step
    :param parallel_own: the same where each request brings many prompt tokens that no other has
    :param batch: tokens of one call at most
    :param chunk: prompt tokens of one call at most, so that a step stays short enough to be interrupted
    :param flash: flash attention
    :param threads: processor threads of a worker; 0: all cores, divided among the workers
    :param gpu_layers: layers on the GPU; negative: all
    :param exact: compute with the very file, also where a copy in another type is faster
    :param tree: let samples that drew the same tokens share their cost
    """

    workers: int = 1
    parallel: int = 16
    parallel_own: int = 8
    batch: int = 512
    chunk: int = 512
    flash: bool = False
    threads: int = 0
    gpu_layers: int = -1
    tree: bool = True
    exact: bool = False

    def __str__(self) -> str:
        several = f"{self.workers} workers, each with " if self.workers > 1 else ""
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}, " if self.threads else ""
        apart = f" ({self.parallel_own} where little is shared)" if self.parallel_own < self.parallel else ""
        return f"{several}{threads}{self.parallel} sequences{apart}; flash attention {'on' if self.flash else 'off'}"

    @staticmethod
    def cells(parallel: int, n_ctx: int) -> int:
        """Return how many tokens the KV cache of a worker with so many branches holds."""
        return max(n_ctx, min(n_ctx * 4, parallel * 256 + 1024))


class _Worker:
    """A context with what is known of its cache, and what it has done."""

    def __init__(self, model: Model, options: ContextOptions):
        self.context = Context(model, options)
        self.cache = Cache(self.context)
        self.stats = Stats()


def affordable_cells(model: Model) -> int:
    """Return how many tokens the caches of all workers together may hold without taking too much of the free memory."""
    return int(free_memory() * CACHE_SHARE / model.cell_bytes)


class LlamaEngine:
    """One GGUF model, loaded.

    :param path: the GGUF file
    :param n_ctx: tokens of one sequence at most; None: what the model was trained for, at most 4096, and for LongRoPE
        at most its original context
    :param adapter: a GGUF LoRA adapter
    :param cells: tokens in a worker's KV cache, all sequences together; None: enough for the tuning
    :raises SelfguideError: where a file is missing or wrong, or memory does not suffice
    """

    def __init__(
        self,
        path: Path,
        *,
        n_ctx: int | None = None,
        adapter: Path | None = None,
        tuning: Tuning | None = None,
        cells: int | None = None,
        model: Model | None = None,
    ):
        self.tuning = tuning or Tuning()
        self._model = model or Model(path, gpu_layers=self.tuning.gpu_layers)
        short = short_rope_context(self._model)
        self.n_ctx = n_ctx or min(DEFAULT_CONTEXT, self._model.trained_context, short or DEFAULT_CONTEXT)
        if adapter is not None:
            self._check_rope()
        self.chat = ChatFormat.of(self._model)
        self._tokens: TokenTable | None = None
        self._constraints: dict[tuple[Schema, str], Constraint] = {}
        self._making = threading.Lock()
        self._scale = 1.0  # of the adapter
        self._call: weakref.ref[Generator[Any, None, None]] | None = None
        wanted = cells or min(
            Tuning.cells(self.tuning.parallel, self.n_ctx), affordable_cells(self._model) // max(1, self.tuning.workers)
        )
        wanted = min(wanted, short or wanted)
        self._workers = self._open_workers(max(wanted, self.n_ctx))
        model_name = self._model.metadata("general.name") or path.stem
        self.info = ModelInfo(
            name=model_name,
            path=str(path),
            sha256=file_sha256(path),
            architecture=self._model.metadata("general.architecture") or "unknown",
            parameters=self._model.parameters,
        )
        if adapter is not None:
            self.set_adapter(adapter)

    def _open_workers(self, room: int) -> list[_Worker]:
        """Open the contexts with caches of `room` tokens, or of fewer where a graphics card has not the memory."""
        count = max(1, self.tuning.workers)
        opened: list[_Worker] = []
        options = ContextOptions(
            cells=room,
            batch=self.tuning.batch,
            flash=self.tuning.flash,
            threads=self.tuning.threads or max(1, cores() // count),
            sequences=min(MAX_SEQUENCES, room, self.tuning.batch),  # llama.cpp aborts where a call holds fewer tokens
        )
        try:
            for _ in range(count):
                opened.append(_Worker(self._model, options))
        except SelfguideError:
            for worker in opened:
                worker.context.close()
            if room <= self.n_ctx:
                raise
            return self._open_workers(max(self.n_ctx, room // 2))
        return opened

    @property
    def stats(self) -> Stats:
        """What the engine has done since it was loaded, all workers together."""
        return sum((worker.stats for worker in self._workers), Stats())

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield every sample of every request as it finishes. One call at a time."""
        if self.chat.stops:
            requests = (self._stopped(request) for request in requests)

        def work(worker: _Worker, given: Iterable[Request], stopped: Callable[[], bool]) -> Iterator[Completion]:
            tuning = self.tuning
            batcher = Batcher(
                worker.cache,
                self._model.vocabulary,
                self._job,
                BatchOptions(self.n_ctx, tuning.parallel, tuning.parallel_own, tuning.chunk, tuning.tree),
                worker.stats,
                stopped,
            )
            return batcher.run(given)

        return self._only(self._divide(work, requests))

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Scores]:
        """Yield the exact log-probability of each candidate of every request. One call at a time."""

        def work(worker: _Worker, given: Iterable[ScoreRequest], stopped: Callable[[], bool]) -> Iterator[Scores]:
            scorer = Scorer(
                worker.cache,
                lambda request: (
                    self._prompt(request.messages),
                    [self.chat.answer(request.messages, text) for text in request.candidates],
                ),
                ScoreOptions(self.n_ctx, self.tuning.chunk, self._model.vocabulary.end_tokens),
                worker.stats,
                stopped,
            )
            return scorer.run(given)

        return self._only(self._divide(work, requests))

    def constrained(self, prompts: Iterable[Sequence[Message] | str], grammar: str, max_tokens: int) -> list[str]:
        """Return the greedy text after each prompt under a grammar, one after the other.

        :param grammar: in llama.cpp's form (GBNF)
        :raises SelfguideError: where the grammar cannot be read, or a prompt does not fit the context
        """
        from selfguide_lite.llm.constrained import Constrained

        self._end_call()
        self.forget()
        context = self._workers[0].context
        context.clear()
        writer = Constrained(context, grammar)
        written = [writer.complete(self.chat.prompt(messages), max_tokens) for messages in prompts]
        context.clear()
        return written

    def _only(self, stream: Generator[Result, None, None]) -> Iterator[Result]:
        """End the call before, should its reader have left it half read, for it uses the same caches."""
        self._end_call()
        self._call = weakref.ref(stream)
        return stream

    def _end_call(self) -> None:
        stream = self._call() if self._call is not None else None
        if stream is not None:
            stream.close()
        self._call = None

    def _divide(
        self,
        work: Callable[[_Worker, Iterable[Given], Callable[[], bool]], Iterator[Result]],
        requests: Iterable[Given],
    ) -> Generator[Result, None, None]:
        """Let the workers share requests; one request goes to one worker, which takes all threads."""
        source = iter(requests)
        first = list(islice(source, len(self._workers)))
        if len(first) == 1 or len(self._workers) == 1:
            alone = self._workers[0]
            threads = alone.context.threads
            alone.context.threads = threads * len(self._workers)
            try:
                yield from work(alone, chain(first, source), lambda: False)
            finally:
                alone.context.threads = threads
            return

        def steps(worker: _Worker, before: int) -> Callable[[], int]:
            return lambda: worker.stats.steps - before

        yield from side_by_side(
            [partial(work, worker) for worker in self._workers],
            [steps(worker, worker.stats.steps) for worker in self._workers],
            chain(first, source),
        )

    def prepare(self, one: Sequence[Message] | str, other: Sequence[Message] | str) -> int:
        """Have what two prompts begin with in common at hand, from the disk where it was computed before.

        :return: its tokens
        """
        self._end_call()
        first, second = self._prompt(one), self._prompt(other)
        tokens = first[: common(first, second)]
        if len(tokens) < self.n_ctx:
            caches = [worker.cache for worker in self._workers]
            prefixes.give(caches, tokens, self.tuning.chunk, self._workers[0].stats, self._what_computes())
        return len(tokens)

    def _what_computes(self) -> str:
        """Name all that the numbers in the KV cache depend on besides the tokens."""
        weights = file_sha256(self._model.path)
        adapter = None if self.info.adapter is None else file_sha256(Path(self.info.adapter))
        options = self._workers[0].context.options
        return f"{weights} {adapter} {self._scale} {options.flash} {options.cache} {library_description()}"

    def forget(self) -> None:
        """Give up all prefixes kept for requests to come."""
        for worker in self._workers:
            worker.cache.clear()

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

        :raises SelfguideError: where the file is no adapter for this model, or the context is one that LongRoPE reads
            in another way than training did
        """
        if path is not None:
            self._check_rope()
        if path is not None and path.is_file():
            from selfguide_lite.gguf.adapter import check_adapter

            check_adapter(path, Path(self.info.path))
        self.forget()
        for worker in self._workers:
            worker.context.set_adapter(path, scale)
        self._scale = scale
        name = None if path is None else str(path)
        self.info = ModelInfo(
            self.info.name, self.info.path, self.info.sha256, self.info.architecture, self.info.parameters, name
        )

    def close(self) -> None:
        """Free the model and its memory; a call that is half read ends."""
        self._end_call()
        for worker in self._workers:
            worker.context.close()
        self._model.close()

    def __enter__(self) -> "LlamaEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stopped(self, request: Request) -> Request:
        """Let a chat end where the model begins to write the other side's turn."""
        if isinstance(request.messages, str):
            return request
        return replace(request, stop=(*request.stop, *self.chat.stops))

    def _check_rope(self) -> None:
        """Refuse an adapter where all texts are read with the long factors of LongRoPE, on which none is trained."""
        short = short_rope_context(self._model)
        if short is not None and self.n_ctx > short:
            raise SelfguideError(
                f"an adapter of this model is trained with its rotary factors for texts up to {short:,} tokens, and a "
                f"context of {self.n_ctx:,} has llama.cpp take those for longer ones; give n_ctx={short} or less"
            )

    def _live_sequences(self) -> int:
        """Sequences in use besides kept prefixes; 0 between calls."""
        return sum(worker.cache.live for worker in self._workers)

    def _job(self, request: Request) -> Job:
        schema, messages = request.schema, request.messages
        constraint = None if schema is None else self.constraint(schema, self.chat.lead(messages))
        return Job(request, self._prompt(messages), constraint)

    def constraint(self, schema: Schema, lead: str = "") -> Constraint:
        """Return what holds answers to a schema; that of the newest schemas is kept.

        :param lead: blanks before the object
        :raises SelfguideError: where the model's vocabulary cannot write every object
        """
        with self._making:  # the workers ask for it at the same time
            if self._tokens is None:
                self._tokens = TokenTable(self._model.vocabulary)
            found = self._constraints.get((schema, lead))
            if found is None:
                if len(self._constraints) >= MAX_CONSTRAINTS:
                    self._constraints.clear()
                found = Constraint(schema, self._tokens, self.chat.continued, lead)
                self._constraints[schema, lead] = found
            return found

    def smallest_object(self, schema: Schema) -> int:
        """Return how many tokens the smallest object of a schema takes at most."""
        return self.constraint(schema, self.chat.lead([Message("user", "")])).least

    def _prompt(self, messages: Sequence[Message] | str) -> Tokens:
        return np.array(self.chat.prompt(messages), np.int32)


def short_rope_context(model: Model) -> int | None:
    """Return the size of a KV cache beyond which llama.cpp takes the long factors of LongRoPE, for short texts too.

    None for other models. transformers, and so training, go by the length of the text.
    """
    scaling = f"{model.metadata('general.architecture')}.rope.scaling"
    original = model.metadata(f"{scaling}.original_context_length") or ""
    if not original.isdigit() or model.metadata(f"{scaling}.attn_factor") is None:
        return None
    return None if model.metadata(f"{scaling}.type") == "yarn" else int(original)
