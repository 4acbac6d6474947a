"""Stop texts and characters of several bytes, however the tokens cut them: the answer ends where it must."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from robustness_counts import count

from selfguide_lite.gguf.random_model import Geometry, RandomWeights, write_random_llama
from selfguide_lite.llm import Engine, EngineOptions, Request, open_engine
from selfguide_lite.llm.text_ends import find_stop, whole_characters

pytestmark = pytest.mark.slow

LETTERS = "ab\n🌊é"


@st.composite
def cut(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """A text's bytes cut into pieces anywhere, also inside a character, and the whole of it."""
    data = draw(st.text(LETTERS, max_size=24)).encode()
    places = sorted(draw(st.sets(st.integers(0, len(data)), max_size=8)) | {0, len(data)})
    pieces = [data[start:end] for start, end in pairwise(places)]
    for _ in range(draw(st.integers(0, 2))):  # some tokens stand for nothing
        pieces.insert(draw(st.integers(0, len(pieces))), b"")
    return pieces, data


def answer(pieces: list[bytes], stops: tuple[bytes, ...]) -> bytes | None:
    """Put pieces together as the engine does, until a stop; None where none came."""
    data = b""
    for piece in pieces:
        data += piece
        at = find_stop(data, len(piece), stops)
        if at >= 0:
            return data[:at]
    return None


@given(split=cut(), stops=st.lists(st.text(LETTERS, min_size=1, max_size=4), min_size=1, max_size=3))
@example(split=([b"a", b"", b"b"], b"ab"), stops=["ab"])
@example(split=(["🌊".encode()[:2], "🌊".encode()[2:]], "🌊".encode()), stops=["🌊"])
def test_a_stop_is_found_however_the_text_is_cut(split: tuple[list[bytes], bytes], stops: list[str]) -> None:
    pieces, data = split
    sought = tuple(stop.encode() for stop in stops)
    found = answer(pieces, sought)
    starts = [data.find(stop) for stop in sought if stop in data]
    if not starts:
        assert found is None
        return
    # The answer ends with the first piece that completes a stop; of those complete by then, the earliest begins it.
    ends = [data.find(stop) + len(stop) for stop in sought if stop in data]
    seen, total = 0, 0
    for piece in pieces:
        total += len(piece)
        if total >= min(ends):
            seen = total
            break
    expected = min(data.find(stop, 0, seen) for stop in sought if stop in data[:seen])
    assert found == data[:expected]
    assert not any(stop in found for stop in sought)
    found.decode()  # a stop is whole characters, so what stands before it is too
    count("inputs")


@given(text=st.text(max_size=12), gone=st.integers(0, 12))
def test_a_text_that_is_cut_off_loses_no_whole_character(text: str, gone: int) -> None:
    data = text.encode()
    data = data[: max(0, len(data) - gone)]
    kept = whole_characters(data).decode()
    assert text.startswith(kept) and len(data) - len(kept.encode()) < 4
    assert data.decode("utf-8", "ignore") == kept
    count("inputs")


@given(data=st.binary(max_size=12))
def test_a_model_may_write_bytes_that_are_no_text(data: bytes) -> None:
    kept = whole_characters(data)
    assert data.startswith(kept) and len(data) - len(kept) < 4
    kept.decode("utf-8", "replace").encode()
    count("inputs")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A random model of a byte-level vocabulary: its answers are noise, with broken characters in them."""
    path = tmp_path_factory.mktemp("stops") / "noise.gguf"
    write_random_llama(
        path, Geometry(32, 1, 1, 1, 32), RandomWeights(quantization="f32", sharpness=2), vocabulary="bpe"
    )
    found = open_engine(path, EngineOptions(tune=False))
    yield found
    found.close()


def asked(engine: Engine, seed: int, stops: tuple[str, ...] = ()) -> tuple[str, str]:
    # One sample at a time: what else is in a batch may move the last digits of its sums.
    request = Request(key="x", messages="The ", temperature=1.5, max_tokens=60, seed=seed, stop=stops)
    (done,) = engine.complete([request])
    return done.text, done.finish_reason


@given(
    seed=st.integers(0, 2**31),
    places=st.lists(st.tuples(st.floats(0, 0.99), st.integers(1, 5)), min_size=1, max_size=3),
)
def test_the_engine_ends_where_the_same_answer_without_stops_has_one(
    seed: int, places: list[tuple[float, int]], engine: Engine
) -> None:
    free, _ = asked(engine, seed)
    stops = tuple(
        stop for share, size in places if (stop := free[int(share * len(free)) :][:size]) and "\ufffd" not in stop
    )
    text, reason = asked(engine, seed, stops)
    assert not any(stop in text for stop in stops)
    assert free.startswith(text.rstrip("\ufffd")) and (reason == "stop" or text == free)
    assert (reason == "stop") or not any(stop in free for stop in stops)
    count("inputs", len(stops))


def test_control_tokens_and_nul_in_a_prompt_are_text(engine: Engine) -> None:
    for text in ("</s>", "<|im_start|>user", "a\0b", "\ufffd", "USER: x ASSISTANT:", "🌊" * 50):
        (done,) = engine.complete([Request(key="x", messages=text, max_tokens=4)])
        assert done.error is None and done.prompt_tokens > 0
        count("texts")
