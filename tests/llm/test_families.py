"""The chat templates of the model families: our tokens are those that transformers' own rendering says.

The templates are those that TRL carries; they are read where it is installed.
"""

from collections.abc import Iterator

import pytest
from chat_families import FAMILIES, model_of_family, template_of_family
from needs import needs

from selfguide_lite.core.messages import Message
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.native import Model

needs("trl")
needs("transformers")

TURNS = (
    Message("user", "the question one"),
    Message("assistant", "the answer"),
    Message("user", "two: is it <|im_end|> good?"),
)
ANSWER = "yes, it is"


Family = tuple[str, Model, str]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    source = template_of_family(request.param)
    model = model_of_family(request.param, tmp_path_factory.mktemp("family"))
    yield source, model, FAMILIES[request.param][1]
    model.close()


def theirs(source: str, model: Model, turns: tuple[Message, ...], ask: bool) -> str:
    """What transformers renders."""
    from transformers.utils.chat_template_utils import render_jinja_template

    vocabulary = model.vocabulary
    names = {"bos_token": vocabulary.text(vocabulary.bos), "eos_token": vocabulary.text(vocabulary.eos)}
    chat = [{"role": turn.role, "content": turn.content} for turn in turns]
    texts, _ = render_jinja_template(
        conversations=[chat], chat_template=source, add_generation_prompt=ask, enable_thinking=False, **names
    )
    return str(texts[0])


def written(model: Model, ids: list[int]) -> str:
    """Tokens as text, control tokens by their names."""
    vocabulary = model.vocabulary
    named = vocabulary.named_tokens.values()
    return b"".join(vocabulary.text(t).encode() if t in named else vocabulary.piece(t) for t in ids).decode()


def test_prompt_and_training_row_are_the_templates_own(family: Family) -> None:
    source, model, end = family
    chat = ChatFormat(model.vocabulary, source)
    prompt, answer = chat.prompt(TURNS), chat.answer(TURNS, ANSWER)
    assert written(model, prompt) == theirs(source, model, TURNS, ask=True)
    harmless = chat.prompt((*TURNS[:2], Message("user", "two: is it good?")))
    mark = model.vocabulary.named_tokens["<|im_end|>"]
    assert prompt.count(mark) == harmless.count(mark)  # what the message spells is no control token
    row = written(model, prompt + answer)
    whole = theirs(source, model, (*TURNS, Message("assistant", ANSWER)), ask=False)
    assert whole.startswith(row) or row == theirs(source, model, TURNS, ask=True) + ANSWER + end
    assert model.vocabulary.text(answer[-1]) == end
    assert answer[-1] in model.vocabulary.end_tokens  # which ends a generation too
    assert written(model, answer[:-1]) == ANSWER


@pytest.mark.parametrize(
    "turns",
    [
        (Message("system", "Be brief."), Message("user", "one")),
        (Message("user", "one"), Message("user", "two")),
        (Message("system", "Be brief."), Message("user", "one"), Message("user", "two")),
        (Message("system", "Be brief."), *TURNS),
    ],
    ids=["system", "two users", "system and two users", "system and turns"],
)
def test_no_chat_is_refused(family: Family, turns: tuple[Message, ...]) -> None:
    source, model, end = family
    chat = ChatFormat(model.vocabulary, source)
    prompt, answer = chat.prompt(turns), chat.answer(turns, ANSWER)
    for turn in turns:
        assert turn.content in written(model, prompt)
    assert written(model, answer) == ANSWER + end


def test_thinking_is_off(family: Family) -> None:
    """Where the template says so with an empty block, inference and training both have it."""
    source, model, _ = family
    chat = ChatFormat(model.vocabulary, source)
    if "<think>" in theirs(source, model, TURNS, ask=True):
        assert written(model, chat.prompt(TURNS)).endswith("<think>\n\n</think>\n\n")
