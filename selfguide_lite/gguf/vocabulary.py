"""Looks at a GGUF's vocabulary before llama.cpp does, which ends the process, or reads on past an array's end, where it
does not fit together."""

from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.reader import GgufFile

_BESIDE = ("scores", "token_type")  # lists with four bytes for each token
_PREFIX = "tokenizer.ggml."


def check_vocabulary(path: Path) -> None:
    """Check that a model's vocabulary fits together; a file without one is left to llama.cpp to refuse.

    :raises SelfguideError: where the file is damaged, a token is there twice, or a list beside the tokens is too short
    """
    with GgufFile(path, tensors=False) as gguf:
        problem = _problem(gguf)
    if problem:
        raise SelfguideError(f"{path}: this model's vocabulary is damaged ({problem}); get the file again")


def _problem(gguf: GgufFile) -> str | None:
    tokens = gguf.metadata.get(f"{_PREFIX}tokens")
    if tokens is None:
        return None
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        return "its tokens are no texts"
    # As llama.cpp takes them: up to a NUL, and an empty one gets a name of its own.
    taken = [token.partition("\0")[0] or f"[EMPTY_{number}]" for number, token in enumerate(tokens)]
    if len(set(taken)) < len(taken):
        seen: set[str] = set()
        for token in taken:
            if token in seen:
                return f"the token {token[:40]!r} is there twice"
            seen.add(token)
    for name in _BESIDE:
        start, end = gguf.spans.get(_PREFIX + name, (0, 4 * len(tokens)))
        if end - start < 4 * len(tokens):
            return f"{name} does not fit the {len(tokens):,} tokens"
    return None
