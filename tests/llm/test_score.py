"""Label scoring: exact, in one pass, and in agreement with sampling."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import next_logprobs

from selfguide_lite.core.messages import Message
from selfguide_lite.core.resources import resource
from selfguide_lite.gguf.random_model import Geometry, RandomWeights, VocabularyKind, write_random_llama
from selfguide_lite.llm import model_path
from selfguide_lite.llm.base import Request, ScoreRequest
from selfguide_lite.llm.llama import LlamaEngine, Tuning
from selfguide_lite.llm.scoring import WINDOW
from selfguide_lite.prompts import Prompts
from selfguide_lite.task import load_task
from selfguide_lite.task.eval_rows import eval_rows

LABELS = ("yes", "yes and no", "no", "yes and", "good question", "y", "")


@pytest.fixture(scope="module", params=["spm", "bpe"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaEngine]:
    kind: VocabularyKind = request.param
    shape = Geometry(64, 2, 4, 2, 128, context=512)
    path = tmp_path_factory.mktemp("models") / f"{kind}.gguf"
    write_random_llama(path, shape, RandomWeights(quantization="f32", sharpness=3, seed=11), vocabulary=kind)
    with LlamaEngine(path, tuning=Tuning(parallel=8, batch=256, chunk=128)) as opened:
        yield opened


def exact(engine: LlamaEngine, messages: tuple[Message, ...], label: str) -> float:
    """The log-probability of a label, one bare call for each of its tokens."""
    ids = engine.prompt_tokens(messages)
    total = 0.0
    for token in engine.answer_tokens(messages, label):
        total += float(next_logprobs(engine, ids)[token])
        ids = [*ids, token]
    return total


def test_scores_are_the_models_own_probabilities(engine: LlamaEngine) -> None:
    """Labels of different lengths, labels that begin others, the empty text, one twice; the end token counts."""
    requests = [
        ScoreRequest(f"k{n}", (Message("user", "the question is " * 6 + "good " * n),), (*LABELS, "no"))
        for n in range(5)
    ]
    found = {scores.key: scores for scores in engine.score(requests)}
    assert list(found) == [request.key for request in requests]
    for request in requests[:2]:
        assert not isinstance(request.messages, str)
        wanted = [exact(engine, request.messages, label) for label in request.candidates]
        assert found[request.key].logprobs == pytest.approx(wanted, abs=2e-3)
        assert found[request.key].logprobs[2] == found[request.key].logprobs[-1]
    assert engine._live_sequences() == 0


def test_one_request_at_a_time_gives_the_same(engine: LlamaEngine) -> None:
    requests = [ScoreRequest(f"k{n}", (Message("user", f"hello {n} world"),), ("yes", "no")) for n in range(7)]
    together = [scores.logprobs for scores in engine.score(requests)]
    alone = [next(iter(engine.score([request]))).logprobs for request in requests]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=2e-3)


def test_prompts_are_computed_once_for_all_labels(engine: LlamaEngine) -> None:
    engine.forget()
    requests = [
        ScoreRequest(f"k{n}", (Message("user", "the and is of " * 8 + f"question {n}"),), ("yes", "no", "good"))
        for n in range(20)
    ]
    before, seconds = engine.stats.prompt_tokens, engine.stats.compute_seconds
    list(engine.score(requests))
    assert engine.stats.compute_seconds > seconds
    prompts = [engine.prompt_tokens(request.messages) for request in requests]
    needed = {tuple(prompt[:end]) for prompt in prompts for end in range(1, len(prompt) + 1)}
    inner = sum(
        len(
            {
                tuple(a[:end])
                for label in r.candidates
                for a in [engine.answer_tokens(r.messages, label)]
                for end in range(1, len(a))
            }
        )
        for r in requests
    )
    assert len(needed) + inner <= engine.stats.prompt_tokens - before <= (len(needed) + inner) * 1.1


def test_requests_are_read_as_they_are_needed(engine: LlamaEngine) -> None:
    read: list[int] = []

    def requests() -> Iterator[ScoreRequest]:
        for number in range(10 * WINDOW):
            read.append(number)
            yield ScoreRequest(f"k{number}", (Message("user", f"hello {number}"),), ("yes", "no"))

    scores = iter(engine.score(requests()))
    next(scores)
    assert 1 <= len(read) <= 4 * WINDOW
    assert len(list(scores)) == 10 * WINDOW - 1


def test_more_labels_than_sequences(engine: LlamaEngine) -> None:
    labels = tuple(f"{a}{b}{c}" for a in "abcdef" for b in "ghijkl" for c in "mnopq")
    assert len(labels) > 128
    messages = (Message("user", "hello"),)
    scores = next(iter(engine.score([ScoreRequest("many", messages, labels)])))
    assert len(scores.logprobs) == len(labels)
    for place in (0, 77, len(labels) - 1):
        few = next(iter(engine.score([ScoreRequest("one", messages, (labels[place],))])))
        assert scores.logprobs[place] == pytest.approx(few.logprobs[0], abs=2e-3)


def test_what_does_not_fit_fails_alone(engine: LlamaEngine) -> None:
    long = ScoreRequest("long", (Message("user", "hello " * 600),), ("yes", "no"))
    none = ScoreRequest("none", (Message("user", "hello"),), ())
    fine = ScoreRequest("fine", (Message("user", "hello"),), ("yes", "no"))
    found = {scores.key: scores for scores in engine.score([long, none, fine])}
    assert str(engine.n_ctx) in (found["long"].error or "") and len(found["long"].logprobs) == 2
    assert found["none"].error
    assert found["fine"].error is None and all(math.isfinite(x) and x < 0 for x in found["fine"].logprobs)


def test_shares_agree_with_sampling(tmp_path: Path) -> None:
    """With a small vocabulary of labels the most frequent sampled texts have the shares that scoring gives."""
    # with this seed it often ends after a token, and by the end token that scoring counts
    weights = RandomWeights(quantization="f32", sharpness=4, seed=10)
    path = write_random_llama(
        tmp_path / "sharp.gguf", Geometry(32, 1, 2, 1, 64, context=256), weights, vocabulary="bpe"
    )
    count = 3000
    with LlamaEngine(path, tuning=Tuning(parallel=64)) as opened:
        prompt = "the answer is"
        done = list(opened.complete([Request("k", prompt, n=count, temperature=1.0, max_tokens=2, seed=2)]))
        # texts of one token that ended by themselves; drawn bytes that are no characters are left out
        ended = Counter(c.text for c in done if c.finish_reason == "stop" and "\ufffd" not in c.text and c.text)
        candidates = tuple(text for text, n in ended.items() if n >= 10)
        assert candidates
        scores = next(iter(opened.score([ScoreRequest("k", prompt, candidates)])))
    for text, logprob in zip(candidates, scores.logprobs, strict=True):
        share = math.exp(logprob)
        error = 4 * math.sqrt(share * (1 - share) / count) + 1 / count
        assert ended[text] / count == pytest.approx(share, abs=error)


def test_the_pass_tells_what_greedy_decoding_writes() -> None:
    """On the tests' trained model: the label where that is all that is written, else nothing."""
    task = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml"))
    asked = {f"{n}": Prompts().annotate(task, row.input) for n, row in enumerate(eval_rows(task)[:40])}
    with LlamaEngine(model_path(None), tuning=Tuning(parallel=8)) as opened:
        written = {c.key: c for c in opened.complete(Request(key, given, max_tokens=8) for key, given in asked.items())}
        labels = task.labels
        told = {s.key: s.greedy for s in opened.score(ScoreRequest(key, given, labels) for key, given in asked.items())}
        first = labels[:1]
        alone = {s.key: s.greedy for s in opened.score(ScoreRequest(key, given, first) for key, given in asked.items())}
        many = (*(f"label {n}" for n in range(600)), *labels)  # more than one pass holds
        split = next(iter(opened.score([ScoreRequest("0", asked["0"], many)])))
    assert {told[key] for key in asked} >= set(labels)
    for key, done in written.items():
        assert told[key] == (done.text if done.finish_reason == "stop" and done.text in labels else None)
        assert alone[key] == (told[key] if told[key] == first[0] else None)
    assert split.greedy == told["0"]
