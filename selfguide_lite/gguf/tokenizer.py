"""Writes a GGUF's vocabulary as a Hugging Face tokenizer that gives exactly llama.cpp's token ids.

Two kinds of vocabulary: `gpt2` (byte-level BPE with merges) and `llama` (SentencePiece, merged by score, with byte
fallback). Everything is written as plain JSON: no tokenizer library is needed here.
"""

import json
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.reader import GgufFile

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4
_SPACE = "\u2581"
# Names that llama.cpp takes for control tokens which end an answer, whatever type the file gives them.
_ENDS = frozenset(
    (
        *("</s>", "<eos>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<end_of_turn>", "<end_of_utterance>"),
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>"),
        *("<|return|>", "<|call|>", "<|calls|>", "<|flush|>"),
    )
)
_JSON = dict[str, Any]

# Rules by which byte-level vocabularies cut text into words before merging, by the name that the GGUF gives them.
_LETTERS_AND_MARKS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_LETTERS_AND_MARKS}|\p{{N}}{{1,3}}|{_REST}"
# A word begins with capitals or has none within; llama.cpp tells by the letters a to z alone.
_NO_SMALL, _NO_CAPITAL = r"(?:(?=\p{L})[^a-z])", r"(?:(?=\p{L})[^A-Z])"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _cased(after: str, digits: str) -> str:
    """Return the rule that cuts at capitals, as in aWord."""
    first = rf"[^\r\n\p{{L}}\p{{N}}]?{_NO_SMALL}*{_NO_CAPITAL}+{after}"
    second = rf"[^\r\n\p{{L}}\p{{N}}]?{_NO_SMALL}+{_NO_CAPITAL}*{after}"
    return f"{first}|{second}|{digits}|{_SLASHES}"


_QWEN2 = rf"{_LETTERS_AND_MARKS}|\p{{N}}|{_REST}"


def _byte_level(use_regex: bool) -> _JSON:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _cut(pattern: str) -> list[_JSON]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return [split, _byte_level(use_regex=False)]


_DIGITS = {"type": "Digits", "individual_digits": True}
_PRE_TOKENIZERS: dict[str, list[_JSON]] = {
    "gpt-2": [_byte_level(use_regex=True)],
    "llama-bpe": _cut(_LLAMA3),
    "llama3": _cut(_LLAMA3),
    "llama-v3": _cut(_LLAMA3),
    "dbrx": _cut(_LLAMA3),
    "smaug-bpe": _cut(_LLAMA3),
    "qwen2": _cut(_QWEN2),
    "deepseek-r1-qwen": _cut(_QWEN2),
    "smollm": [_DIGITS, _byte_level(use_regex=True)],
    "refact": [_DIGITS, _byte_level(use_regex=True)],
    "starcoder": [_DIGITS, _byte_level(use_regex=True)],
    "tekken": _cut(_cased("", r"\p{N}")),
    "gpt-4o": _cut(_cased(_SHORT, r"\p{N}{1,3}")),
}
_WHOLE_WORDS_FIRST = {"llama-bpe", "llama3", "llama-v3", "tekken"}


def write_tokenizer(gguf: GgufFile, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` with the chat template, if the model has one.

    :raises SelfguideError: for a vocabulary of another kind
    """
    check_tokenizer(gguf)
    fields = gguf.metadata
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    kind = fields.get("tokenizer.ggml.model")
    types: list[int] = fields.get("tokenizer.ggml.token_type") or [_NORMAL] * len(tokens)
    content = _sentencepiece(gguf, tokens) if kind == "llama" else _byte_pairs(gguf, tokens)
    bos = _token(tokens, fields.get("tokenizer.ggml.bos_token_id", 1 if kind == "llama" else None))
    eos = _token(tokens, fields.get("tokenizer.ggml.eos_token_id", 2 if kind == "llama" else None))
    add_bos = bool(fields.get("tokenizer.ggml.add_bos_token", kind == "llama")) and bos is not None
    add_eos = bool(fields.get("tokenizer.ggml.add_eos_token", False)) and eos is not None
    content |= {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": types[number] != _USER_DEFINED or token in _ENDS,
            }
            for number, token in enumerate(tokens)
            if types[number] in (_CONTROL, _USER_DEFINED, _UNKNOWN) and token
        ],
        "post_processor": _around(tokens, bos if add_bos else None, eos if add_eos else None),
    }
    config: _JSON = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": add_bos,
        "add_eos_token": add_eos,
        "bos_token": bos,
        "eos_token": eos,
        "unk_token": _token(tokens, fields.get("tokenizer.ggml.unknown_token_id", 0 if kind == "llama" else None)),
        "pad_token": _token(tokens, pad_id(gguf)),
        "model_max_length": int(gguf.get("context_length", 2048)),
    }
    if template := fields.get("tokenizer.chat_template"):
        config["chat_template"] = template
    _dump(folder / "tokenizer.json", content)
    _dump(folder / "tokenizer_config.json", config)


def check_tokenizer(gguf: GgufFile) -> None:
    """Refuse a vocabulary that cannot be written exactly.

    :raises SelfguideError: where there is none, it is of another kind, or it cuts text by an unknown rule
    """
    fields = gguf.metadata
    if not fields.get("tokenizer.ggml.tokens"):
        raise SelfguideError(f"{gguf.path}: this GGUF has no vocabulary, so it cannot be finetuned")
    kind, rule = fields.get("tokenizer.ggml.model"), str(fields.get("tokenizer.ggml.pre", "default"))
    if kind not in ("llama", "gpt2"):
        raise SelfguideError(
            f"{gguf.path}: its vocabulary is of the kind {kind!r}; only `llama` and `gpt2` ones can be finetuned here"
        )
    if kind == "gpt2" and rule not in _PRE_TOKENIZERS:
        raise SelfguideError(
            f"{gguf.path}: its vocabulary cuts text by the rule {rule!r}, which cannot be finetuned here "
            f"(known: {', '.join(sorted(_PRE_TOKENIZERS))}); give the original weights with --base"
        )


def pad_id(gguf: GgufFile) -> int:
    """Return the token that fills up rows: the model's own, else the unknown one, else the end token."""
    fields = gguf.metadata
    for key in ("padding_token_id", "unknown_token_id", "eos_token_id"):
        if (number := fields.get(f"tokenizer.ggml.{key}")) is not None:
            return int(number)
    return 0


def _token(tokens: list[str], number: int | None) -> str | None:
    return tokens[number] if number is not None and 0 <= number < len(tokens) else None


def _around(tokens: list[str], bos: str | None, eos: str | None) -> _JSON | None:
    """What is added before and after a text."""
    if bos is None and eos is None:
        return None
    piece: list[_JSON] = [{"Sequence": {"id": "A", "type_id": 0}}]
    pair = [*piece, {"Sequence": {"id": "B", "type_id": 1}}]
    before = [{"SpecialToken": {"id": bos, "type_id": 0}}] if bos is not None else []
    after = [{"SpecialToken": {"id": eos, "type_id": 0}}] if eos is not None else []
    return {
        "type": "TemplateProcessing",
        "single": [*before, *piece, *after],
        "pair": [*before, *pair, *after],
        "special_tokens": {
            token: {"id": token, "ids": [tokens.index(token)], "tokens": [token]}
            for token in (bos, eos)
            if token is not None
        },
    }


def _bpe(vocabulary: dict[str, int], merges: list[tuple[str, str]], more: _JSON) -> _JSON:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocabulary,
        "merges": merges,
    } | more


def _sentencepiece(gguf: GgufFile, tokens: list[str]) -> _JSON:
    scores: list[float] = gguf.metadata.get("tokenizer.ggml.scores") or [0.0] * len(tokens)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    # llama.cpp joins the two neighbours whose union has the highest score. As merges: every way to cut a token into two
    # others, in the order of the tokens' scores.
    merges: list[tuple[float, str, str]] = [
        (-scores[number], token[:at], token[at:])
        for token, number in vocabulary.items()
        for at in range(1, len(token))
        if token[:at] in vocabulary and token[at:] in vocabulary
    ]
    merges.sort(key=lambda merge: merge[0])
    normalizers: list[_JSON] = [{"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}]
    decoders: list[_JSON] = [
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if gguf.metadata.get("tokenizer.ggml.add_space_prefix", True):
        normalizers.insert(0, {"type": "Prepend", "prepend": _SPACE})
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    unknown = _token(tokens, gguf.metadata.get("tokenizer.ggml.unknown_token_id", 0))
    pairs = [(left, right) for _, left, right in merges]
    return {
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": _bpe(vocabulary, pairs, {"unk_token": unknown, "fuse_unk": True, "byte_fallback": True}),
    }


def _byte_pairs(gguf: GgufFile, tokens: list[str]) -> _JSON:
    name = str(gguf.metadata.get("tokenizer.ggml.pre", "default"))
    merges = [tuple(merge.split(" ", 1)) for merge in gguf.metadata.get("tokenizer.ggml.merges", [])]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return {
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _PRE_TOKENIZERS[name]},
        "decoder": _byte_level(use_regex=True),
        "model": _bpe(
            vocabulary,
            [(merge[0], merge[1]) for merge in merges if len(merge) == 2],
            {"ignore_merges": name in _WHOLE_WORDS_FIRST},
        ),
    }


def _dump(path: Path, content: _JSON) -> None:
    path.write_text(
        json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", errors="surrogateescape"
    )
