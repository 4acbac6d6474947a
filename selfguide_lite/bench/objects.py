"""Objects under a schema against free text of the same length, both greedy, to inputs of the demo tasks with fields."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfguide_lite.bench import workloads
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.llm.base import Completion, Request
from selfguide_lite.llm.llama import LlamaEngine
from selfguide_lite.llm.tuning import open_tuned


def objects(path: Path) -> dict[str, Any]:
    """Answer the same prompts under their schema and freely, tokens a second; and how many tokens were forced.

    A free answer may have as many tokens as the object to its prompt has, and ends sooner where the model ends it. Both
    ways have the same beginnings of prompts in the engine's store, from a first round that is not timed, in which also
    what a schema needs is made.
    """
    with open_tuned(path, measure=False) as engine:
        requests = workloads.objects()
        _answered(engine, [replace(one, key=f"warm/{one.key}") for one in requests])
        had = engine.stats
        done, seconds = _answered(engine, requests)
        drawn = engine.stats.sampled_tokens - had.sampled_tokens
        lengths = {one.key: one.completion_tokens for one in done}
        free = [replace(one, schema=None, max_tokens=lengths[one.key]) for one in requests]
        freely, free_seconds = _answered(engine, free)
    tokens = sum(lengths.values())
    return {
        "rate": tokens / seconds,
        "free_rate": sum(one.completion_tokens for one in freely) / free_seconds,
        "forced_share": 1 - drawn / tokens,
        "whole": sum(one.finish_reason == "stop" and one.text.endswith("}") for one in done) / len(done),
    }


def _answered(engine: LlamaEngine, requests: list[Request]) -> tuple[list[Completion], float]:
    began = time.perf_counter()
    done = list(engine.complete(requests))
    if failed := [one.error for one in done if one.error is not None]:
        raise SelfguideError(failed[0])
    return done, time.perf_counter() - began
