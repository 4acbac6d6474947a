"""The beginnings of prompts on the disk: read once for all programs, never used where anything else has changed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import SMALL
from llamas import random_lora

from selfguide_lite.core.cache import prefixes_dir
from selfguide_lite.core.messages import Message
from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.gguf.random_model import RandomWeights, write_random_llama
from selfguide_lite.llm import prefixes
from selfguide_lite.llm.base import Request, ScoreRequest
from selfguide_lite.llm.llama import LlamaEngine, Tuning
from selfguide_lite.models.cached import cached_models, remove

LONG = "the question is good " * 20


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prefixes") / "f32.gguf"
    return write_random_llama(file, SMALL, RandomWeights(quantization="f32", sharpness=5, seed=3), vocabulary="bpe")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SELFGUIDE_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"


def prompt(end: str) -> tuple[Message, ...]:
    return (Message("user", LONG + end),)


def opened(path: Path, workers: int = 1) -> LlamaEngine:
    return LlamaEngine(path, tuning=Tuning(workers=workers, threads=1, parallel=4, chunk=64))


def scores(engine: LlamaEngine) -> tuple[float, ...]:
    return next(iter(engine.score([ScoreRequest("k", prompt("hello"), ("yes", "no"))]))).logprobs


def test_the_next_program_computes_the_beginning_no_more(path: Path) -> None:
    with opened(path) as engine:
        plain = scores(engine)
        alone = engine.stats.prompt_tokens
    with opened(path) as engine:
        size = engine.prepare(prompt("A"), prompt("0"))
        assert size > 40 and engine.stats.prompt_tokens == size
        assert scores(engine) == pytest.approx(plain, abs=1e-4)
    assert len(list(prefixes_dir().iterdir())) == 1
    with opened(path, workers=2) as engine:
        assert engine.prepare(prompt("A"), prompt("0")) == size
        assert engine.stats.prompt_tokens == 0
        assert scores(engine) == pytest.approx(plain, abs=1e-4)
        assert engine.stats.prompt_tokens == alone - size
        texts = list(engine.complete([Request(str(n), prompt(f"{n}"), max_tokens=3) for n in range(6)]))
        assert len(texts) == 6 and engine.stats.prompt_tokens < alone
        assert engine._live_sequences() == 0


def test_what_is_at_hand_is_not_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round of a run asks for it."""
    with opened(path, workers=2) as engine:
        size = engine.prepare(prompt("A"), prompt("0"))
        reads: list[str] = []
        monkeypatch.setattr(prefixes, "load", lambda key, tokens: reads.append(key))
        assert engine.prepare(prompt("A"), prompt("0")) == size and not reads
        engine.forget()
        assert engine.prepare(prompt("A"), prompt("0")) == size and len(reads) == 1


@pytest.mark.parametrize("before", [0, 5], ids=["first", "after others"])
def test_computed_or_loaded_makes_no_difference(path: Path, before: int) -> None:
    """To the last bit: llama.cpp adds up in the order of the cache's cells, so both ways leave them alike."""
    asked = [Request(str(n), prompt(f"hello {n}"), n=3, temperature=1.0, max_tokens=12) for n in range(8)]
    found = []
    for _ in ("computed", "loaded"):
        with opened(path) as engine:
            list(engine.complete([Request(f"b{n}", f"the {LONG}{n}", max_tokens=3) for n in range(before)]))
            engine.prepare(prompt("A"), prompt("0"))
            done = sorted((c.key, c.sample, c.text, c.mean_logprob) for c in engine.complete(asked))
            found.append((done, scores(engine)))
    assert found[0] == found[1]


def test_another_adapter_has_files_of_its_own(path: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.gguf"
    write_adapter(random_lora(tmp_path / "peft", path, rank=2, alpha=2, strength=0.5), path, adapter)
    with opened(path) as engine:
        engine.prepare(prompt("A"), prompt("0"))
        plain = scores(engine)
        engine.set_adapter(adapter)
        before = engine.stats.prompt_tokens
        size = engine.prepare(prompt("A"), prompt("0"))
        assert engine.stats.prompt_tokens - before == size
        changed = scores(engine)
        assert changed != pytest.approx(plain, abs=1e-3)
    with opened(path) as engine:
        engine.set_adapter(adapter)
        assert scores(engine) == pytest.approx(changed, abs=1e-4)
    assert len(list(prefixes_dir().iterdir())) == 2


@pytest.mark.parametrize("harm", ["cut", "changed", "empty"])
def test_a_damaged_file_is_computed_again(path: Path, harm: str) -> None:
    with opened(path) as engine:
        size = engine.prepare(prompt("A"), prompt("0"))
        plain = scores(engine)
    (file,) = prefixes_dir().iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes({"cut": bytes(data[:-9]), "changed": bytes(data), "empty": b""}[harm])
    with opened(path) as engine:
        engine.prepare(prompt("A"), prompt("0"))
        assert engine.stats.prompt_tokens == size
        assert scores(engine) == pytest.approx(plain, abs=1e-4)


def test_short_beginnings_are_left_alone(path: Path) -> None:
    with opened(path) as engine:
        assert engine.prepare("hello yes", "hello no") < prefixes.WORTH_A_FILE
        assert engine.stats.prompt_tokens == 0
    assert not prefixes_dir().exists()


def test_the_folder_stays_small_and_can_be_cleared(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as engine:
        engine.prepare(prompt("A"), prompt("0"))
        (first,) = prefixes_dir().iterdir()
        monkeypatch.setattr(prefixes, "ALL_BYTES", int(1.5 * first.stat().st_size))
        for n in range(4):
            engine.prepare(f"{n} {LONG}a", f"{n} {LONG}b")
    sizes = [file.stat().st_size for file in prefixes_dir().iterdir()]
    assert not first.exists() and 1 <= len(sizes) < 4 and sum(sizes) <= prefixes.ALL_BYTES
    (found,) = [one for one in cached_models() if one.kind == "state"]
    assert found.bytes == sum(file.stat().st_size for file in prefixes_dir().iterdir())
    remove(found.name)
    assert not prefixes_dir().exists()
