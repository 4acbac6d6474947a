"""Answers under a schema: on random weights, whatever the schema, every object is whole and fits it."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from asking import ask, small_models, texts
from random_schemas import problem, random_schema

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.core.resources import resource
from selfguide_lite.fields import parsed, read_schema, sized
from selfguide_lite.gguf.random_model import VocabularyKind
from selfguide_lite.llm.base import Request
from selfguide_lite.llm.constraint import Constraint
from selfguide_lite.llm.llama import LlamaEngine, Tuning
from selfguide_lite.llm.token_table import TokenTable

TINY = resource("data/tiny_vicuna/tiny-vicuna.gguf")
SCHEMA = sized(
    read_schema(
        {
            "title": {"type": "string", "max_length": 12},
            "rooms": "integer, optional",
            "price": "number",
            "free": "date",
            "kind": {"type": "enum", "values": ["flat", "house", "room"]},
            "extras": {"type": "list of string", "max_items": 3},
        }
    ),
    [],
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[VocabularyKind, Path]:
    return small_models(tmp_path_factory.mktemp("constraint"), sharpness=1)


@pytest.fixture(scope="module")
def engine(files: dict[VocabularyKind, Path]) -> Iterator[LlamaEngine]:
    with LlamaEngine(files["bpe"], tuning=Tuning(parallel=8, batch=128, chunk=64)) as opened:
        yield opened


def requests_of(engine: LlamaEngine, count: int, seed: int) -> list[Request]:
    """Random schemas, each with as many tokens as its smallest object needs, or some more."""
    random = Random(seed)
    made = []
    for number in range(count):
        schema = random_schema(random)
        room = engine.smallest_object(schema) + random.choice((0, 1, 3, 20, 200))
        heat = random.choice((0.0, 1.0, 3.0))
        made.append(ask(f"{seed}/{number}", schema=schema, max_tokens=min(room, 400), temperature=heat))
    return made


def wrong_of(engine: LlamaEngine, requests: list[Request]) -> list[str]:
    """What is wrong with the answers to requests; nothing where all are whole, fit and are no longer than allowed."""
    asked = {request.key: request for request in requests}
    wrong = []
    for done in engine.complete(requests):
        request = asked.pop(done.key)
        assert request.schema is not None
        found = done.error or problem(request.schema, done.text)
        if found is None and done.finish_reason != "stop":
            found = done.finish_reason
        if found is None and parsed(request.schema, done.text) is None:
            found = "it is not read back"
        if found is None and done.completion_tokens > request.max_tokens:
            found = f"{done.completion_tokens} tokens of {request.max_tokens}"
        if found is not None:
            wrong.append(f"{found}: {done.text} {request.schema}")
    assert not asked
    return wrong


@pytest.mark.parametrize("kind", ["spm", "bpe"])
def test_random_schemas_give_whole_objects(files: dict[VocabularyKind, Path], kind: VocabularyKind) -> None:
    with LlamaEngine(files[kind], tuning=Tuning(parallel=8, batch=128, chunk=64)) as opened:
        assert wrong_of(opened, requests_of(opened, 20, 1)) == []


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(10))
def test_500_random_schemas_give_500_whole_objects(engine: LlamaEngine, seed: int) -> None:
    assert wrong_of(engine, requests_of(engine, 50, 100 + seed)) == []


def test_an_object_depends_on_its_names_alone(files: dict[VocabularyKind, Path]) -> None:
    """Tree or no tree, alone or among others that are free, in little room: the same objects."""
    requests = [
        ask(f"k{n}", "the " * n + "end", n=3, schema=SCHEMA if n % 2 else None, max_tokens=160) for n in range(6)
    ]
    with LlamaEngine(files["bpe"], tuning=Tuning(parallel=8)) as opened:
        together = texts(list(opened.complete(requests)))
        alone = texts([c for request in reversed(requests[:2]) for c in opened.complete([request])])
    with LlamaEngine(files["bpe"], tuning=Tuning(parallel=3, tree=False, chunk=16)) as opened:
        plain = texts(list(opened.complete(requests)))
        only_free = texts(list(opened.complete(requests[::2])))
    with LlamaEngine(files["bpe"], n_ctx=400, cells=400, tuning=Tuning(parallel=16)) as opened:
        cramped = texts(list(opened.complete(requests)))
        assert opened.stats.repeated_tokens > 0
    assert plain == together and cramped == together
    assert alone == {name: together[name] for name in alone}
    assert only_free == {name: together[name] for name in only_free}
    assert all(problem(SCHEMA, together[f"k{n}", sample]) is None for n in (1, 3, 5) for sample in range(3))


def test_what_must_follow_is_neither_drawn_nor_computed_one_by_one(engine: LlamaEngine) -> None:
    drawn, steps = engine.stats.sampled_tokens, engine.stats.steps
    (done,) = engine.complete([ask("one", schema=SCHEMA, max_tokens=300)])
    drawn, steps = engine.stats.sampled_tokens - drawn, engine.stats.steps - steps
    assert problem(SCHEMA, done.text) is None
    assert drawn < done.completion_tokens - 50  # keys, quotes and marks are over 50 tokens of this vocabulary
    assert steps <= drawn + 2  # the prompt takes two


def test_a_schema_without_a_choice_is_written_without_the_model(engine: LlamaEngine) -> None:
    schema = sized(read_schema({"only": {"type": "enum", "values": ["one"]}}), [])
    steps = engine.stats.steps
    done = list(engine.complete([ask("fixed", n=2, schema=schema, max_tokens=60)]))
    assert [one.text for one in done] == ['{"only":"one"}'] * 2 and engine.stats.steps == steps


def test_an_object_is_closed_in_time_or_not_begun(engine: LlamaEngine) -> None:
    least = engine.smallest_object(SCHEMA)
    (exact,) = engine.complete([ask("exact", schema=SCHEMA, max_tokens=least)])
    (short,) = engine.complete([ask("short", schema=SCHEMA, max_tokens=least - 1)])
    assert problem(SCHEMA, exact.text) is None and exact.completion_tokens <= least
    assert short.finish_reason == "error" and f"takes up to {least} tokens" in str(short.error)


def test_large_schemas_and_enums_are_no_crash(engine: LlamaEngine) -> None:
    values = [f"value {n}" for n in range(10_000)]
    wide = {f"field {n}": "boolean" for n in range(200)}
    many = sized(read_schema({"one": {"type": "enum", "values": values}}), [])
    (done,) = engine.complete([ask("enum", schema=many, max_tokens=200)])
    assert problem(many, done.text) is None
    (refused,) = engine.complete([ask("wide", schema=sized(read_schema(wide), []), max_tokens=400)])
    assert "the smallest object of the schema takes" in str(refused.error)


def test_forced_text_is_split_as_the_models_own_tokenizer_does(engine: LlamaEngine) -> None:
    """Where no value is cut in another way, an object has the tokens that training on it would show."""
    schema = sized(read_schema({"garden": "boolean", "balcony": "boolean", "kind": "boolean"}), [])
    constraint: Constraint = engine.constraint(schema)
    text = '{"garden":true,"balcony":false,"kind":true}'
    wanted = engine.chat.continued(text)
    grown = constraint.begin()
    tokens, data = list(grown.tokens), grown.data
    while not grown.whole:
        allowed = set(constraint.allowed(grown.state).tokens.tolist())
        assert wanted[len(tokens)] in allowed
        grown = constraint.grow(grown.state, wanted[len(tokens)])
        tokens += grown.tokens
        data += grown.data
    assert data.decode() == text and tokens == wanted


def test_an_object_begins_as_answers_do_in_the_chat_format() -> None:
    """Vicuna's format has a blank before an answer, which belongs to the first token in training."""
    schema = sized(read_schema({"free": "boolean"}), [])
    messages = [Message("user", "hi")]
    with LlamaEngine(TINY, tuning=Tuning(parallel=2)) as opened:
        assert opened.chat.lead(messages) == " " and opened.chat.lead("hi") == ""
        begun = opened.constraint(schema, " ").begin().tokens
        assert list(begun) == opened.chat.answer(messages, '{"free":true}')[: len(begun)]
        (done,) = opened.complete([Request("one", messages, max_tokens=60, schema=schema)])
    assert problem(schema, done.text) is None and not done.text.startswith(" ")


def test_a_vocabulary_without_single_characters_is_refused(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabulary = engine._model.vocabulary
    piece = type(vocabulary).piece
    monkeypatch.setattr(
        type(vocabulary), "piece", lambda self, token: b"" if piece(self, token) == b"{" else piece(self, token)
    )
    monkeypatch.setattr(engine, "_tokens", None)
    monkeypatch.setattr(engine, "_constraints", {})
    with pytest.raises(SelfguideError, match=r"no token for '\{' alone"):
        engine.smallest_object(SCHEMA)


def test_a_vocabulary_without_single_bytes_takes_plain_names_alone(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = TokenTable(engine._model.vocabulary)
    assert table.has_bytes
    monkeypatch.setattr(table, "has_bytes", False)
    Constraint(SCHEMA, table, engine.chat.continued)
    other = sized(read_schema({"größe": "integer"}), [])
    with pytest.raises(SelfguideError, match="cannot be held to 'größe'"):
        Constraint(other, table, engine.chat.continued)
