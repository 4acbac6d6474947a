"""Writes llama models of random weights: real geometry, a real tokenizer, no sense. For benchmarks and tests.

Tensors are made and written one after the other, so a model of any size takes little memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gguf
import numpy as np
import numpy.typing as npt

Quantization = Literal["f32", "f16", "q8_0", "q4_0"]
VocabularyKind = Literal["bpe", "spm"]

_CHUNK = 2**22  # weights made at once
_KINDS = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
}
_FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # gguf.TokenType
_WORDS: tuple[str, ...]
_WORDS = ("the", "and", "is", "of", "to", "in", "it", "that", "yes", "no", "good", "bad", "user", "assistant")
_WORDS += ("answer", "question", "hello", "world", "stop", "end", "one", "two")


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape of a llama. `width` and `feed_forward` are multiples of 32 for the quantized kinds."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    context: int = 4096
    tied: bool = False  # whether the output matrix is the embedding


GEOMETRIES = {
    "tiny": Geometry(64, 2, 4, 2, 128),
    "160m": Geometry(768, 12, 12, 12, 3072),
    "1b": Geometry(2048, 22, 32, 4, 5632),
    "7b": Geometry(4096, 32, 32, 32, 11008),
}


@dataclass(frozen=True, slots=True)
class RandomWeights:
    """How the weights are drawn and kept.

    :param quantization: of all matrices; norms are always 32-bit
    :param sharpness: factor on the logits; 1 gives nearly even distributions, 8 decided ones
    """

    quantization: Quantization = "q4_0"
    sharpness: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    model: str
    tokens: list[str]
    scores: list[float]
    types: list[int]
    merges: list[str]
    bos: int
    eos: int


def write_random_llama(
    path: Path,
    geometry: Geometry | str = "tiny",
    weights: RandomWeights | None = None,
    *,
    vocabulary: VocabularyKind = "spm",
    chat_template: str | None = None,
) -> Path:
    """Write a llama of random weights as GGUF.

    :param path: the file to write; it appears when it is complete
    :param geometry: a name of `GEOMETRIES`, or one's own
    :param weights: None: 4-bit ones, with nearly even distributions
    :param vocabulary: `spm`: 32,000 SentencePiece-style tokens like Vicuna's; `bpe`: byte-level, about 400 tokens
    :param chat_template: Jinja2 source to put into the file
    :return: `path`
    """
    weights = weights or RandomWeights()
    quantization = weights.quantization
    shape = GEOMETRIES[geometry] if isinstance(geometry, str) else geometry
    words = _sentencepiece() if vocabulary == "spm" else _byte_level()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.part")
    try:
        writer = gguf.GGUFWriter(draft, "llama")
        _describe(writer, shape, words, quantization, chat_template, path.stem)
        plan = list(_tensors(shape, len(words.tokens), weights.sharpness))
        kind = _KINDS[quantization]
        for name, dims, _ in plan:
            own = gguf.GGMLQuantizationType.F32 if len(dims) == 1 else kind
            raw = (*dims[:-1], dims[-1] // _block(own)[0] * _block(own)[1])
            dtype = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}.get(own)
            if dtype is None:
                size = int(np.prod(raw))
                writer.add_tensor_info(name, raw, np.dtype(np.uint8), size, raw_dtype=own)
            else:
                writer.add_tensor_info(name, dims, np.dtype(dtype), int(np.prod(dims)) * np.dtype(dtype).itemsize)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        rng = np.random.Generator(np.random.SFC64(weights.seed))
        for _, dims, scale in plan:
            _write_tensor(writer, rng, dims, scale, quantization)
        writer.close()
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def add_vocabulary(writer: gguf.GGUFWriter, kind: VocabularyKind) -> int:
    """Write a made-up vocabulary's fields and return how many tokens it has."""
    words = _sentencepiece() if kind == "spm" else _byte_level()
    _add_words(writer, words)
    return len(words.tokens)


def _block(kind: gguf.GGMLQuantizationType) -> tuple[int, int]:
    """Return how many weights a block has, and how many bytes."""
    size, width = gguf.GGML_QUANT_SIZES[kind]
    return int(size), int(width)


def _tensors(shape: Geometry, vocabulary: int, sharpness: float) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """Yield each tensor's name, shape (rows first) and standard deviation (norms: value)."""
    width, head = shape.width, shape.width // shape.heads
    spread = width**-0.5
    yield "token_embd.weight", (vocabulary, width), 1.0
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", (width,), 1.0
        yield block + "attn_q.weight", (shape.heads * head, width), spread
        yield block + "attn_k.weight", (shape.kv_heads * head, width), spread
        yield block + "attn_v.weight", (shape.kv_heads * head, width), spread
        yield block + "attn_output.weight", (width, shape.heads * head), spread
        yield block + "ffn_norm.weight", (width,), 1.0
        yield block + "ffn_gate.weight", (shape.feed_forward, width), spread
        yield block + "ffn_up.weight", (shape.feed_forward, width), spread
        yield block + "ffn_down.weight", (width, shape.feed_forward), shape.feed_forward**-0.5
    yield "output_norm.weight", (width,), sharpness
    if not shape.tied:
        yield "output.weight", (vocabulary, width), spread


def _write_tensor(
    writer: gguf.GGUFWriter, rng: np.random.Generator, dims: tuple[int, ...], scale: float, quantization: Quantization
) -> None:
    """Write a norm's one value or a matrix's random weights, a part at a time, then the padding."""
    files = writer.fout
    assert files is not None
    out = files[0]
    writer.write_padding(out, out.tell())
    total = int(np.prod(dims))
    for start in range(0, total, _CHUNK):
        count = min(_CHUNK, total - start)
        norm = len(dims) == 1
        part = np.full(count, scale, np.float32) if norm else _weights(rng, count, scale, quantization)
        out.write(part.tobytes())
    writer.write_padding(out, out.tell())


def _weights(rng: np.random.Generator, count: int, scale: float, quantization: Quantization) -> npt.NDArray[np.generic]:
    if quantization == "f32":
        return rng.standard_normal(count, dtype=np.float32) * np.float32(scale)
    if quantization == "f16":
        return (rng.standard_normal(count, dtype=np.float32) * np.float32(scale)).astype(np.float16)
    # quantized: random blocks as they stand, their factor chosen for the wanted spread
    levels = 16 if quantization == "q4_0" else 256
    width = 16 if quantization == "q4_0" else 32
    factor = np.float16(scale / ((levels**2 - 1) / 12) ** 0.5)
    blocks = np.empty((count // 32, 2 + width), np.uint8)
    blocks[:, :2] = np.frombuffer(factor.tobytes(), np.uint8)
    blocks[:, 2:] = np.frombuffer(rng.bytes(count // 32 * width), np.uint8).reshape(-1, width)
    return blocks


def _describe(
    writer: gguf.GGUFWriter,
    shape: Geometry,
    words: _Vocabulary,
    quantization: Quantization,
    chat_template: str | None,
    name: str,
) -> None:
    writer.add_name(f"random weights ({name})")
    writer.add_file_type(int(_FILE_TYPES[quantization]))
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words.tokens))
    _add_words(writer, words)
    if chat_template is not None:
        writer.add_chat_template(chat_template)


def _add_words(writer: gguf.GGUFWriter, words: _Vocabulary) -> None:
    writer.add_tokenizer_model(words.model)
    writer.add_token_list(words.tokens)
    writer.add_token_types(words.types)
    if words.model == "gpt2":
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges(words.merges)
    else:
        writer.add_token_scores(words.scores)
        writer.add_unk_token_id(0)
    writer.add_bos_token_id(words.bos)
    writer.add_eos_token_id(words.eos)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)


def _sentencepiece() -> _Vocabulary:
    """32,000 tokens: three special ones, all bytes, then pieces that pairs of pieces can be joined to."""
    letters = "etaoinshrdlcumwfgypbvkjxqz"
    marks = "▁" + letters + letters.upper() + "0123456789.,:;!?'\"()[]{}<>|/\\-_=+*&^%$#@~`"
    pieces: dict[str, None] = dict.fromkeys(marks)
    for word in (*_WORDS, "</s", "im_start", "im_end", "USER", "ASSISTANT", "Input", "Output"):
        for end in range(2, len(word) + 1):
            pieces[word[:end]] = None
        for end in range(1, len(word) + 1):
            pieces["▁" + word[:end]] = None
    pieces["s>"] = None
    pieces |= dict.fromkeys("▁" + a for a in letters)
    pieces |= dict.fromkeys(a + b for a in letters for b in letters)
    pieces |= dict.fromkeys("▁" + a + b for a in letters for b in letters)
    pieces |= dict.fromkeys(a + b + c for a in letters for b in letters for c in letters)
    pieces |= dict.fromkeys("▁" + a + b + c for a in letters for b in letters for c in letters)
    special = ["<unk>", "<s>", "</s>"]
    byte_names = [f"<0x{byte:02X}>" for byte in range(256)]
    room = 32_000 - len(special) - len(byte_names)
    names = [piece for piece in pieces if piece not in special][:room]
    return _Vocabulary(
        model="llama",
        tokens=special + byte_names + names,
        scores=[0.0] * (len(special) + len(byte_names)) + [-float(rank) for rank in range(len(names))],
        types=[_UNKNOWN, _CONTROL, _CONTROL] + [_BYTE] * 256 + [_NORMAL] * len(names),
        merges=[],
        bos=1,
        eos=2,
    )


def _byte_level() -> _Vocabulary:
    """The bytes as GPT-2 writes them, a few merged words, and control tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {byte: chr(byte) for byte in printable}
    for number, byte in enumerate(b for b in range(256) if b not in names):
        names[byte] = chr(256 + number)
    tokens = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"] + [names[byte] for byte in range(256)]
    types = [_CONTROL] * 4 + [_NORMAL] * 256
    merges: list[str] = []
    known = set(tokens)
    space = names[32]
    for word in _WORDS:
        for text in (word, space + word):
            left = text[0]
            for character in text[1:]:
                if left + character not in known:
                    merges.append(f"{left} {character}")
                    tokens.append(left + character)
                    types.append(_NORMAL)
                    known.add(left + character)
                left += character
    return _Vocabulary("gpt2", tokens, [], types, merges, bos=0, eos=1)
