"""Requests to an engine, and what comes back: what the tests of engines share."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from selfguide_lite.core.messages import Message
from selfguide_lite.gguf.random_model import Geometry, RandomWeights, VocabularyKind, write_random_llama
from selfguide_lite.llm.base import Completion, Request
from selfguide_lite.llm.llama import LlamaEngine

SMALL = Geometry(64, 2, 4, 2, 128, context=512)


def small_models(folder: Path, sharpness: float) -> dict[VocabularyKind, Path]:
    """Write a model with each kind of vocabulary; full-precision weights: a batch hardly changes what comes out."""
    kinds: tuple[VocabularyKind, ...] = ("spm", "bpe")
    weights = RandomWeights(quantization="f32", sharpness=sharpness, seed=3)
    return {kind: write_random_llama(folder / f"{kind}.gguf", SMALL, weights, vocabulary=kind) for kind in kinds}


def ask(key: str, text: str = "hello world", **options: object) -> Request:
    base = Request(key, (Message("user", text),), temperature=1.0, max_tokens=12, seed=5)
    return replace(base, **options)  # type: ignore[arg-type]


def texts(done: list[Completion]) -> dict[tuple[str, int], str]:
    return {(c.key, c.sample): c.text for c in done}


def leave_early(engine: LlamaEngine) -> int:
    """Read 50 results of an endless source and go; return how many requests were taken for them."""
    taken = 0

    def endless() -> Iterator[Request]:
        nonlocal taken
        while True:
            taken += 1
            yield ask(f"k{taken}", max_tokens=2)

    stream = engine.complete(endless())
    for _ in range(50):
        next(stream)
    counted = taken
    stream.close()
    return counted


def next_logprobs(engine: LlamaEngine, ids: list[int]) -> np.ndarray:
    """Log-probabilities of the next token, computed with bare calls."""
    context = engine._workers[0].context
    engine.forget()
    context.token[: len(ids)] = ids
    context.pos[: len(ids)] = np.arange(len(ids))
    context.seq[: len(ids)] = 0
    context.output[: len(ids)] = 0
    context.output[len(ids) - 1] = 1
    assert context.decode(len(ids))
    row = context.logits(1)[0].astype(np.float64)
    context.clear()
    return np.asarray(row - row.max() - np.log(np.exp(row - row.max()).sum()))
