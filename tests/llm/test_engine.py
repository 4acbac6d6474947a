"""The llama.cpp engine on small random-weight models: real decoding, every promise of `complete`."""

import math
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest
from asking import ask, leave_early, next_logprobs, small_models, texts
from llamas import random_lora
from scipy.stats import chisquare

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.gguf.random_model import VocabularyKind
from selfguide_lite.llm import EngineOptions, llama, model_path, open_engine
from selfguide_lite.llm.base import Completion, Request
from selfguide_lite.llm.context_options import ContextOptions
from selfguide_lite.llm.llama import LlamaEngine, Tuning
from selfguide_lite.llm.native import Context, Model
from selfguide_lite.llm.text_ends import whole_characters


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[VocabularyKind, Path]:
    """Two models with full-precision weights: what is computed together hardly changes what comes out."""
    return small_models(tmp_path_factory.mktemp("models"), sharpness=5)


@pytest.fixture(scope="module")
def engine(files: dict[VocabularyKind, Path]) -> Iterator[LlamaEngine]:
    with LlamaEngine(files["bpe"], tuning=Tuning(parallel=8, batch=64, chunk=64)) as opened:
        yield opened


@pytest.mark.parametrize("kind", ["spm", "bpe"])
def test_a_text_depends_on_its_names_alone(files: dict[VocabularyKind, Path], kind: VocabularyKind) -> None:
    """Tree or no tree, alone or among others, in any order, in any amount of room: the same texts."""
    requests = [ask(f"k{n}", "the question is " + "good " * n, n=4, temperature=0.6, top_k=20) for n in range(9)]
    with LlamaEngine(files[kind], tuning=Tuning(parallel=8)) as opened:
        together = texts(list(opened.complete(requests)))
        backwards = texts(list(opened.complete(reversed(requests))))
        alone = texts([c for request in requests[:3] for c in opened.complete([request])])
    with LlamaEngine(files[kind], tuning=Tuning(parallel=3, tree=False, chunk=16)) as opened:
        plain = texts(list(opened.complete(requests)))
    with LlamaEngine(files[kind], n_ctx=160, cells=160, tuning=Tuning(parallel=16)) as opened:
        cramped = texts(list(opened.complete(requests)))
        assert opened.stats.repeated_tokens > 0  # there was no room for all, and branches were put off
    assert len(together) == 36 and len(set(together.values())) > 20
    assert backwards == together and plain == together and cramped == together
    assert alone == {name: together[name] for name in alone}


def test_samples_follow_the_models_own_distribution(engine: LlamaEngine) -> None:
    """First tokens of many samples against the probabilities that scoring gives."""
    count = 3000
    prompt = "the answer is"
    done = list(engine.complete([ask("many", n=count, max_tokens=1, messages=prompt, temperature=1.0)]))
    seen = Counter(round(c.mean_logprob, 4) for c in done)
    # a text of one token has its token's log-probability: equal ones are the same token, or are as likely
    shares = {value: math.exp(value) * count for value in seen}
    often = [value for value in seen if shares[value] >= 8]
    tokens_with = Counter(
        round(float(value), 4)
        for value in next_logprobs(engine, engine.prompt_tokens(prompt))
        if round(float(value), 4) in set(often)
    )
    observed = [seen[value] for value in often]
    wanted = [shares[value] * tokens_with[value] for value in often]
    observed.append(count - sum(observed))
    wanted.append(count - sum(wanted))
    assert len(often) > 5
    assert chisquare(observed, wanted).pvalue > 1e-4


def test_greedy_is_what_bare_calls_give(engine: LlamaEngine) -> None:
    prompt = "the question"
    done = next(iter(engine.complete([ask("greedy", messages=prompt, temperature=0.0, max_tokens=6)])))
    vocabulary = engine._model.vocabulary
    text, total, drawn = prompt, 0.0, b""
    ids = engine.prompt_tokens(prompt)
    for _ in range(6):
        row = next_logprobs(engine, ids)
        token = int(row.argmax())
        total += float(row[token])
        if token in vocabulary.end_tokens:
            break
        ids = [*ids, token]
        drawn += vocabulary.piece(token)
    assert done.text == drawn.decode("utf-8", "ignore") or "\ufffd" in done.text
    assert done.mean_logprob == pytest.approx(total / done.completion_tokens, abs=1e-4)
    assert done.prompt_tokens == len(engine.prompt_tokens(text))


def test_shared_prefixes_are_computed_once(engine: LlamaEngine) -> None:
    engine.forget()
    before = engine.stats.prompt_tokens
    requests = [ask(f"k{n}", "the and is of " * 10 + f"question {n}", n=3) for n in range(12)]
    list(engine.complete(requests))
    prompts = [engine.prompt_tokens(request.messages) for request in requests]
    needed = len({tuple(prompt[:end]) for prompt in prompts for end in range(1, len(prompt) + 1)})
    assert needed <= engine.stats.prompt_tokens - before <= needed * 1.1
    # and a later call still finds the prefix
    before = engine.stats.prompt_tokens
    list(engine.complete([ask("later", "the and is of " * 10 + "question Z")]))
    assert engine.stats.prompt_tokens - before < 30


def test_kept_prefixes_come_back_from_beside_the_cache(files: dict[VocabularyKind, Path]) -> None:
    """Several prefixes take turns; each is computed once, and what follows it is what it would be without keeping."""
    prefixes = ["the question is good " * 6, "the answer is bad " * 6, "hello and hello " * 6]
    rounds = [[ask(f"{n}/{k}", prefixes[n % 3] + f"number {n} {k}") for k in range(2)] for n in range(9)]
    with LlamaEngine(files["bpe"], tuning=Tuning(parallel=4)) as opened:
        found = texts([c for requests in rounds for c in opened.complete(requests)])
        kept = opened.stats.prompt_tokens
        opened.forget()
        assert opened._workers[0].cache.used == 0
        again = texts(list(opened.complete([request for requests in rounds for request in requests])))
    with LlamaEngine(files["bpe"], tuning=Tuning(parallel=4)) as opened:
        for requests in rounds:
            opened.forget()
            assert texts(list(opened.complete(requests))).items() <= found.items()
        forgetful = opened.stats.prompt_tokens
    assert again == found
    assert kept < forgetful * 0.6


def test_equal_samples_share_their_cost(engine: LlamaEngine) -> None:
    before = engine.stats.branch_tokens
    done = list(engine.complete([ask("cold", n=10, temperature=0.01, max_tokens=30)]))
    assert len(done) == 10 and len({c.text for c in done}) < 4
    assert engine.stats.branch_tokens - before < 30 * 4


def test_stop_texts_that_span_tokens(engine: LlamaEngine) -> None:
    free = list(engine.complete([ask("k", n=20, max_tokens=40, messages="the")]))
    long = max((c.text for c in free if "\ufffd" not in c.text), key=len, default="") or free[0].text
    middle = long[len(long) // 2 : len(long) // 2 + 4]
    assert len(middle) == 4
    again = list(engine.complete([ask("k", n=20, max_tokens=40, messages="the", stop=(middle, "\x00never", ""))]))
    for before, after in zip(sorted(free, key=_sample), sorted(again, key=_sample), strict=True):
        if middle in before.text:
            assert after.text == before.text[: before.text.index(middle)] and after.finish_reason == "stop"
            assert after.completion_tokens <= before.completion_tokens
        else:
            assert after.text == before.text


def _sample(completion: Completion) -> int:
    return completion.sample


def test_limits(engine: LlamaEngine) -> None:
    """Prompts that are too long fail alone and say both lengths; the context's end is a `length` finish."""
    size = engine.n_ctx
    long = "x" * (size + 100)
    around = len(engine.prompt_tokens((Message("user", "\x07"),))) - 1
    nearly = "\x07" * (size - around - 4)
    requests = [
        ask("ok"),
        ask("long", long, n=2),
        ask("end", nearly, n=20, max_tokens=10**6),
        ask("none", max_tokens=0),
    ]
    done = list(engine.complete(requests))
    assert Counter(c.key for c in done) == {"ok": 1, "long": 2, "end": 20, "none": 1}
    by_key = {c.key: c for c in done}
    assert by_key["ok"].finish_reason in ("length", "stop")
    assert by_key["long"].finish_reason == "error"
    assert str(size) in (by_key["long"].error or "") and str(by_key["long"].prompt_tokens) in (
        by_key["long"].error or ""
    )
    ends = [c for c in done if c.key == "end"]
    assert {c.prompt_tokens for c in ends} == {size - 4}
    cut = [c for c in ends if c.finish_reason == "length"]
    assert cut and {c.prompt_tokens + c.completion_tokens for c in cut} == {size}
    assert all(c.finish_reason == "stop" for c in ends if c not in cut)
    assert by_key["none"].finish_reason == "error"
    assert engine._live_sequences() == 0


def test_a_text_ends_with_the_first_character_too_many(engine: LlamaEngine) -> None:
    asked = [ask(f"k{n}", "the question is", n=4, temperature=1.0, max_tokens=40) for n in range(6)]
    whole = {(c.key, c.sample): c for c in engine.complete(asked)}
    cut = {(c.key, c.sample): c for c in engine.complete(replace(one, max_chars=12) for one in asked)}
    assert sum(len(done.text.strip()) > 12 for done in whole.values()) > 6
    for name, done in cut.items():
        if len(whole[name].text.strip()) <= 12 or whole[name].completion_tokens == done.completion_tokens:
            assert done.text == whole[name].text
        else:  # over the bound, by a token at most
            assert done.finish_reason == "length" and len(done.text.strip()) > 12
            assert whole[name].text.strip().startswith(done.text.strip())
            assert done.completion_tokens < whole[name].completion_tokens


def test_prompts_longer_than_a_batch(engine: LlamaEngine) -> None:
    assert engine.tuning.batch == 64
    text = "the and is of to in it that " * 8
    short = Tuning(parallel=8, batch=512, chunk=512)
    with LlamaEngine(Path(engine.info.path), tuning=short) as other:
        wanted = texts(list(other.complete([ask("k", text)])))
    assert texts(list(engine.complete([ask("k", text)]))) == wanted


def test_utf8_that_spans_tokens(engine: LlamaEngine) -> None:
    """The byte-level vocabulary draws single bytes; a cut-off character at the end is left out, not mangled."""
    short, longer = (
        texts(list(engine.complete([ask("k", n=500, max_tokens=most, messages="ü", temperature=3.0)])))
        for most in (3, 8)
    )
    assert len(short) == 500
    # a text depends on its name alone, so the short one is how the longer one begins
    assert [name for name, text in short.items() if not longer[name].startswith(text)] == []


@pytest.mark.parametrize("text", ["aü", "a語", "a😀", "abc", ""])
def test_only_a_cut_off_character_is_left_out(text: str) -> None:
    data = text.encode()
    assert whole_characters(data).decode() == text
    for cut in range(1, len(text[-1:].encode())):
        assert whole_characters(data[:-cut]).decode() == text[:-1]


def test_requests_are_read_lazily_and_results_come_early(engine: LlamaEngine) -> None:
    assert leave_early(engine) < 50 + 64
    assert engine._live_sequences() == 0


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Press Ctrl-C after a while, but not while coverage.py notes a line: it would wait for its own lock for ever."""

    def press(later: float) -> None:
        threading.Timer(later, os.kill, (os.getpid(), signal.SIGINT)).start()

    def handler(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if Path(frame.f_code.co_filename).parent.name == "coverage":
                press(0.001)
                return
            frame = frame.f_back
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        press(seconds)
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_keeps_what_is_finished(engine: LlamaEngine) -> None:
    done: list[Completion] = []

    def endless() -> Iterator[Request]:
        number = 0
        while True:
            number += 1
            yield ask(f"k{number}", max_tokens=4, n=2)

    with interrupted_after(0.5), pytest.raises(KeyboardInterrupt):
        for completion in engine.complete(endless()):
            done.append(completion)
    assert done
    assert engine._live_sequences() == 0
    assert texts(list(engine.complete([ask("after", max_tokens=3)])))


def test_adapter_errors(engine: LlamaEngine, tmp_path: Path, files: dict[VocabularyKind, Path]) -> None:
    with pytest.raises(SelfguideError, match="no such adapter"):
        engine.set_adapter(tmp_path / "none.gguf")
    with pytest.raises(SelfguideError, match="no LoRA adapter"):
        engine.set_adapter(files["bpe"])
    other = write_adapter(random_lora(tmp_path / "lora", files["spm"]), files["spm"], tmp_path / "other.gguf")
    with pytest.raises(SelfguideError, match="made for the model"):
        engine.set_adapter(other)
    assert engine.info.adapter is None
    assert list(engine.complete([ask("works", max_tokens=2)]))


def test_a_cache_that_finds_no_memory_is_smaller(
    files: dict[VocabularyKind, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a graphics card that the weights have almost filled: what is refused is asked for again, smaller."""
    asked: list[int] = []

    class Small(Context):
        def __init__(self, model: Model, options: ContextOptions):
            asked.append(options.cells)
            if options.cells > 700:
                raise SelfguideError("not enough memory")
            super().__init__(model, options)

    monkeypatch.setattr(llama, "Context", Small)
    with LlamaEngine(files["bpe"], n_ctx=256, tuning=Tuning(parallel=8)) as opened:
        assert asked == [1024, 512] and opened._workers[0].context.cells == 512
    with pytest.raises(SelfguideError, match="not enough memory"):
        LlamaEngine(files["bpe"], n_ctx=1024)
    asked.clear()
    monkeypatch.setattr(llama, "CACHE_SHARE", 0.0)  # no memory to spare: just enough for one sequence
    with LlamaEngine(files["bpe"], n_ctx=256) as opened:
        assert asked == [256]


def test_opening(files: dict[VocabularyKind, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SELFGUIDE_MODEL", str(files["bpe"]))
    assert model_path() == files["bpe"]
    opened = open_engine(options=EngineOptions(tune=False, tuning={"parallel": 4}))
    assert opened.info.sha256 and opened.info.parameters > 0 and opened.n_ctx == 512
    opened.close()
    monkeypatch.setenv("SELFGUIDE_MODEL", str(tmp_path / "gone.gguf"))
    with pytest.raises(SelfguideError, match="SELFGUIDE_MODEL"):
        open_engine()
    with pytest.raises(SelfguideError, match="unknown engine setting"):
        open_engine(files["bpe"], EngineOptions(tune=False, tuning={"wings": 2}))
    with pytest.raises(SelfguideError, match="server"):
        open_engine(options=EngineOptions(server="not a url"))
