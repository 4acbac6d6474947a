"""Looks at a GGUF model before llama.cpp does: what is damaged is said in words, what would end the process is refused.

Each file is looked at once; the cache remembers.
"""

from pathlib import Path

from selfguide_lite.core.cache import read_json, write_json
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.reader import GgufFile

_CACHE = "checked.json"
_VERSION = 1
_MOST_LAYERS = 512  # compiled into llama.cpp, which aborts beyond
_SHORTEST_CONTEXT = 16


def check_model(path: Path) -> None:
    """Refuse a model file that cannot be right.

    :raises SelfguideError: where it is missing, no GGUF, cut short, damaged, or no language model
    """
    try:
        state = path.stat()
    except OSError as error:
        raise SelfguideError(f"{path}: cannot read this model: {error.strerror}") from error
    key, mark = str(path.resolve()), [_VERSION, state.st_size, state.st_mtime_ns]
    known = read_json(_CACHE)
    if known.get(key) == mark:
        return
    try:
        with GgufFile(path) as gguf:
            _check(gguf)
    except SelfguideError as error:
        if "GGMLQuantizationType" in str(error):  # of a type newer than this reader: llama.cpp may know it
            return
        raise
    known[key] = mark
    write_json(_CACHE, known)


def _check(gguf: GgufFile) -> None:
    def refuse(what: str) -> SelfguideError:
        return SelfguideError(f"{gguf.path}: {what}; get the file again, or give another model")

    if (kind := gguf.metadata.get("general.type", "model")) != "model":
        raise SelfguideError(f"{gguf.path}: this GGUF holds no model but: {kind}; give the model it belongs to with -m")
    layers, context = gguf.get("block_count"), gguf.get("context_length")
    if gguf.architecture == "unknown" or not isinstance(layers, int) or not isinstance(context, int):
        raise refuse("this GGUF does not say what model it is")
    if not 1 <= layers <= _MOST_LAYERS:
        raise refuse(f"this GGUF is damaged: it claims to have {layers:,} layers")
    if not _SHORTEST_CONTEXT <= context < 2**31:
        raise refuse(f"this GGUF is damaged or cannot be used here: it claims a context of {context:,} tokens")
    words = gguf.metadata.get("tokenizer.ggml.tokens")
    embedding = gguf.tensors.get("token_embd.weight")
    if gguf.metadata.get("split.count", 0) > 1:  # the rest is in other files
        return
    if embedding is None:
        raise refuse("this GGUF has no token embeddings, so it is not a language model")
    if isinstance(words, list) and len(words) != embedding.shape[0]:
        raise refuse(f"its vocabulary does not fit: {len(words):,} tokens, and weights for {embedding.shape[0]:,}")
