"""The tokenizer that is written for a GGUF gives llama.cpp's own ids."""

from collections.abc import Callable, Iterator
from pathlib import Path

import llama_cpp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llamas import random_llama
from random_architectures import write_pairs
from texts_to_cut import TEXTS

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.resources import resource
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.to_hf import hf_folder
from selfguide_lite.gguf.tokenizer import _PRE_TOKENIZERS, write_tokenizer
from selfguide_lite.llm.native import Model

tokenizers = pytest.importorskip("tokenizers", reason="comes with the packages for training")

Pair = tuple[Callable[[str, bool], list[int]], Callable[[str, bool], list[int]]]


@pytest.fixture(scope="module", params=["tiny", "sentencepiece", "byte-level"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The two tokenizers of a model; the flag says whether names of control tokens are read as such."""
    if request.param == "tiny":
        path = resource("data/tiny_vicuna/tiny-vicuna.gguf")
    else:
        vocabulary = "spm" if request.param == "sentencepiece" else "bpe"
        path = random_llama(tmp_path_factory.mktemp("llama"), vocabulary=vocabulary)
    model = Model(path, vocab_only=True)
    theirs = tokenizers.Tokenizer.from_file(str(hf_folder(path) / "tokenizer.json"))

    def by_llama(text: str, special: bool) -> list[int]:
        data = text.encode()
        buffer = (llama_cpp.llama_token * (len(data) + 16))()
        vocabulary = llama_cpp.llama_model_get_vocab(model.handle)
        count = llama_cpp.llama_tokenize(vocabulary, data, len(data), buffer, len(buffer), True, special)
        assert count >= 0
        return list(buffer[:count])

    def by_tokenizers(text: str, special: bool) -> list[int]:
        theirs.encode_special_tokens = not special
        ids: list[int] = theirs.encode(text).ids
        return ids

    yield by_llama, by_tokenizers
    model.close()


@pytest.mark.parametrize("special", [False, True], ids=["as text", "with control tokens"])
@pytest.mark.parametrize("text", TEXTS)
def test_same_ids(pair: Pair, text: str, special: bool) -> None:
    by_llama, by_tokenizers = pair
    assert by_tokenizers(text, special) == by_llama(text, special)


PIECES = st.sampled_from(
    ["</s>", "<s>", "<unk>", "<0x41>", "s>", "the ", " question", "\u2581", "\n\n", "'s", "12", "🎉"]
)
ANY = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(max_examples=150)
@given(parts=st.lists(PIECES | ANY, max_size=8), special=st.booleans())
def test_same_ids_for_any_text(pair: Pair, parts: list[str], special: bool) -> None:
    by_llama, by_tokenizers = pair
    text = "".join(parts)
    assert by_tokenizers(text, special) == by_llama(text, special)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("rule", sorted(_PRE_TOKENIZERS))
def test_rules_of_cutting_words(tmp_path: Path, rule: str, backwards: bool) -> None:
    """Every rule that is known by name cuts as llama.cpp does; what is not cut apart would be joined."""
    path = write_pairs(tmp_path / "pairs.gguf", rule, TEXTS, backwards=backwards)
    with GgufFile(path, tensors=False) as gguf:
        write_tokenizer(gguf, tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    theirs.encode_special_tokens = True
    model = Model(path, vocab_only=True)
    for text in TEXTS:
        ours = model.vocabulary.tokenize(text)
        assert [token for token in theirs.encode(text).ids if token != model.vocabulary.bos] == ours, text
    model.close()


def test_unknown_rule_is_named(tmp_path: Path) -> None:
    with GgufFile(random_llama(tmp_path)) as gguf:
        gguf.metadata["tokenizer.ggml.pre"] = "deepseek-coder"
        with pytest.raises(SelfguideError, match="deepseek-coder"):
            write_tokenizer(gguf, tmp_path)


def test_unknown_kind_is_named(tmp_path: Path) -> None:
    with GgufFile(random_llama(tmp_path)) as gguf:
        gguf.metadata["tokenizer.ggml.model"] = "t5"
        with pytest.raises(SelfguideError, match="t5"):
            write_tokenizer(gguf, tmp_path)
