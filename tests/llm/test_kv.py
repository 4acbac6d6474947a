"""Prefixes kept beside the cache: with room for few of them they push each other out, and the answers stay the same."""

import random
from pathlib import Path

import pytest

from selfguide_lite.core.messages import Message
from selfguide_lite.gguf.random_model import Geometry, RandomWeights, write_random_llama
from selfguide_lite.llm import EngineOptions, kv, open_engine
from selfguide_lite.llm.base import Request

WORDS = ("river", "stone", "cloud", "garden", "window", "paper", "yellow", "seven", "morning", "house")


def requests() -> list[Request]:
    """Requests with six beginnings, each of which comes again and again."""
    dice = random.Random(1)
    beginnings = [" ".join(dice.choices(WORDS, k=40)) for _ in range(6)]
    order = [dice.randrange(6) for _ in range(60)]
    return [
        Request(f"{place}", (Message("user", f"{beginnings[one]} {WORDS[place % 10]} {place}"),), max_tokens=3)
        for place, one in enumerate(order)
    ]


@pytest.mark.parametrize("room", [1, 2, 3])
def test_a_prefix_that_is_brought_back_is_not_pushed_out_meanwhile(
    room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_random_llama(
        tmp_path / "random.gguf",
        Geometry(32, 1, 2, 2, 64, 1024),
        RandomWeights(quantization="f32", sharpness=4.0),
        vocabulary="bpe",
    )
    options = EngineOptions(tune=False, tuning={"threads": 1, "workers": 1, "parallel": 1, "parallel_own": 1})
    answers: list[dict[str, str]] = []
    for most in (64, room):
        monkeypatch.setattr(kv, "MAX_STORED", most)
        with open_engine(model, options) as engine:
            answers.append({one.key: one.text for one in engine.complete(iter(requests()))})
    assert answers[0] == answers[1] and len(answers[0]) == 60
