"""Workers side by side: the same results as one alone, in an order that does not depend on speed; ends and errors."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asking import SMALL, ask, leave_early, texts
from llamas import random_lora

from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.gguf.random_model import RandomWeights, write_random_llama
from selfguide_lite.llm.base import Completion, Request, ScoreRequest
from selfguide_lite.llm.llama import LlamaEngine, Tuning
from selfguide_lite.llm.workers import AHEAD, MOST, side_by_side


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("workers") / "f32.gguf"
    return write_random_llama(file, SMALL, RandomWeights(quantization="f32", sharpness=5, seed=3), vocabulary="bpe")


@pytest.fixture(scope="module")
def pair(path: Path) -> Iterator[LlamaEngine]:
    with LlamaEngine(path, tuning=Tuning(workers=2, threads=1, parallel=6, parallel_own=3, batch=64)) as opened:
        yield opened


def requests(count: int = 30) -> list[Request]:
    return [ask(f"k{n}", "the question is " + "good " * (n % 7), n=3, temperature=0.7, top_k=20) for n in range(count)]


def running() -> list[str]:
    """Names of the workers' threads that are there."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("llm-")]


def test_the_same_texts_as_one_worker(path: Path, pair: LlamaEngine) -> None:
    with LlamaEngine(path, tuning=Tuning(parallel=8)) as one:
        wanted = texts(list(one.complete(requests())))
        scored = [ScoreRequest(f"s{n}", f"the question {n}", ("yes", "no", "yes and no")) for n in range(9)]
        scores = {s.key: s.logprobs for s in one.score(scored)}
    assert texts(list(pair.complete(requests()))) == wanted
    assert all(worker.stats.steps for worker in pair._workers)  # both had their share
    for found in pair.score(scored):
        assert found.logprobs == pytest.approx(scores.pop(found.key), abs=1e-4)
    assert not scores and pair._live_sequences() == 0


def test_what_neighbours_share_is_computed_by_one_worker(pair: LlamaEngine) -> None:
    draws = [[f"{name} draw shows: " + "good " * 20 + f"and asks {n}" for n in range(8)] for name in ("one", "two")]
    pair.forget()
    before = pair.stats.prompt_tokens
    list(
        pair.complete(
            [Request(f"{d}/{n}", text, max_tokens=2) for d, draw in enumerate(draws) for n, text in enumerate(draw)]
        )
    )
    read = pair.stats.prompt_tokens - before
    own = sum(len(pair.prompt_tokens(text)) for draw in draws for text in draw)
    shared = sum(len(pair.prompt_tokens(draw[0])) for draw in draws)
    # Every draw is read once, and of each prompt its own end: had both workers read both draws, it would be more.
    assert read < shared + (own - 8 * shared) + 16 * 6 + shared / 2


@pytest.mark.slow
def test_the_order_is_the_same_every_time(pair: LlamaEngine) -> None:
    def order() -> list[tuple[str, int, str, float]]:
        pair.forget()
        return [(c.key, c.sample, c.text, c.mean_logprob) for c in pair.complete(requests())]

    first = order()
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            sum(range(random.randrange(20000)))

    noise = threading.Thread(target=disturb)
    noise.start()
    try:
        assert [order() for _ in range(2)] == [first] * 2
    finally:
        stop.set()
        noise.join()


def test_one_request_alone_gets_all_threads(pair: LlamaEngine) -> None:
    context = pair._workers[0].context
    stream = pair.complete([ask("alone", n=2)])
    next(stream)
    assert context.threads == 2
    assert len(list(stream)) == 1 and context.threads == 1
    assert list(pair.complete([])) == []


def test_an_interrupt_keeps_what_is_finished(pair: LlamaEngine) -> None:
    def source() -> Iterator[Request]:
        yield from requests(2 * AHEAD)
        yield from requests(20)
        raise KeyboardInterrupt

    done: list[Completion] = []
    with pytest.raises(KeyboardInterrupt):
        for completion in pair.complete(source()):
            done.append(completion)
    assert all(c.finish_reason in ("stop", "length") for c in done)
    assert pair._live_sequences() == 0 and not running()
    assert len(list(pair.complete(requests()))) == 90  # and the engine goes on


def test_a_reader_that_leaves(pair: LlamaEngine) -> None:
    assert leave_early(pair) < 50 + MOST + 4 * AHEAD  # on a busy machine one of the two may fall behind
    assert pair._live_sequences() == 0 and not running()


def test_a_call_left_half_read_ends_before_anything_else_happens(path: Path, pair: LlamaEngine) -> None:
    """A traceback keeps the stream alive: the next call, and the end of the engine, must not meet its threads."""
    kept = pair.complete(requests(2 * AHEAD))
    next(kept)
    assert running()
    wanted = texts(list(pair.complete(requests(6))))
    assert not running() and list(kept) == []
    for workers in (1, 2):
        try:
            with LlamaEngine(path, tuning=Tuning(workers=workers, threads=1, parallel=6)) as engine:
                for completion in engine.complete(requests(2 * AHEAD)):
                    raise OSError(completion.key)
        except OSError as error:
            assert error.__traceback__ is not None and not running()
    assert texts(list(pair.complete(requests(6)))) == wanted


def test_an_adapter_changes_what_every_worker_says(pair: LlamaEngine, path: Path, tmp_path: Path) -> None:
    plain = texts(list(pair.complete(requests(8))))
    adapter = write_adapter(random_lora(tmp_path / "lora", path), path, tmp_path / "adapter.gguf")
    try:
        pair.set_adapter(adapter)
        assert pair.info.adapter == str(adapter)
        changed = texts(list(pair.complete(requests(8))))
        with LlamaEngine(path, adapter=adapter, tuning=Tuning(parallel=8)) as one:
            assert texts(list(one.complete(requests(8)))) == changed
        pair.set_adapter(adapter, 0.5)
        assert texts(list(pair.complete(requests(8)))) != changed
        pair.set_adapter(adapter, 0.0)
        assert texts(list(pair.complete(requests(8)))) == plain
    finally:
        pair.set_adapter(None)
    assert sum(changed[name] != plain[name] for name in plain) > 20
    assert texts(list(pair.complete(requests(8)))) == plain


Feed = Iterator[int]


def _worker(pause: Callable[[int], float], counter: list[int]) -> Callable[[Feed, Callable[[], bool]], Iterator[int]]:
    def work(given: Feed, stopped: Callable[[], bool]) -> Iterator[int]:
        for number in given:
            if stopped():
                return
            time.sleep(pause(number))
            counter[0] += 1 + number % 3
            yield number

    return work


@pytest.mark.parametrize("slow", [0, 1, 2])
def test_order_follows_steps_not_speed(slow: int) -> None:
    counters = [[0], [0], [0]]
    work = [_worker(lambda _, n=n: 0.003 if n == slow else 0.0, counter) for n, counter in enumerate(counters)]  # type: ignore[misc]
    found = list(side_by_side(work, [lambda c=c: c[0] for c in counters], range(60)))  # type: ignore[misc]
    expected = []
    for worker in range(3):
        step = 0
        for number in range(20 * worker, 20 * (worker + 1)):
            step += 1 + number % 3
            expected.append((step, worker, number))
    assert found == [number for _, _, number in sorted(expected)]


def test_an_error_of_a_worker_reaches_the_caller() -> None:
    def broken(given: Feed, stopped: Callable[[], bool]) -> Iterator[int]:
        yield next(given)
        raise ValueError("broken")

    counter = [0]
    with pytest.raises(ValueError, match="broken"):
        list(side_by_side([broken, _worker(lambda _: 0.001, counter)], [lambda: 1, lambda: counter[0]], range(10**9)))
    assert not running()
