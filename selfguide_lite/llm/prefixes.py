"""Computed beginnings of prompts that are kept on the disk: a task's instruction and examples are read once, not once a
program.

A 7B model reads 500 tokens in half a minute on a processor and loads them in a fraction of a second. A file holds
llama.cpp's own bytes for one sequence (`llama_state_seq_get_data`) behind their SHA-256: what was cut or changed is
computed again. Knows nothing of requests.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selfguide_lite.core.cache import prefixes_dir
from selfguide_lite.core.files import atomic_write
from selfguide_lite.llm import kv
from selfguide_lite.llm.branches import Stats
from selfguide_lite.llm.kv import STORE_BYTES, Cache
from selfguide_lite.llm.native import State, Tokens

WORTH_A_FILE = 32  # tokens from which on a beginning is kept on the disk
ALL_BYTES = 2**30  # of all files; those that were not used for longest go first
_DIGEST = 32  # bytes of a SHA-256
_ENDING = ".state"


def give(caches: Sequence[Cache], tokens: Tokens, room: int, stats: Stats, key: str) -> None:
    """Give caches the beginning of prompts to come: from the disk, or computed by the first of them and kept there.

    Nothing is done where it is too short to be worth a file, or the KV cache has no room for it.

    :param caches: of contexts that nobody computes with meanwhile
    :param room: tokens of one call at most
    :param key: names all that the numbers depend on besides the tokens: model, adapter, program, its options
    """
    first = caches[0]
    if all(cache.known(tokens) == len(tokens) for cache in caches):
        return  # nothing is read from the disk again for every round of a run
    if not WORTH_A_FILE <= len(tokens) < first.capacity - first.used:
        return
    state = load(key, tokens)
    if state is None:
        sequence = first.new()
        if sequence is None:
            return
        read_on(first, sequence, tokens, min(room, first.context.options.batch), stats)
        state = first.context.save(sequence.number)
        first.free(sequence)
        keep(key, tokens, state)
    for cache in caches:
        cache.keep(tokens, state)


def load(key: str, tokens: Tokens) -> State | None:
    """Return what was computed of a beginning; None where nothing whole is kept."""
    path = _place(key, tokens)
    try:
        data = path.read_bytes()
        if len(data) <= _DIGEST or hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
            return None
        os.utime(path)
    except OSError:
        return None
    return np.frombuffer(data, np.uint8, offset=_DIGEST).copy()


def keep(key: str, tokens: Tokens, state: State) -> None:
    """Keep what was computed of a beginning. A full disk is no error, and what is too large is not kept."""
    if state.nbytes > STORE_BYTES:
        return
    path, data = _place(key, tokens), state.tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_bytes(hashlib.sha256(data).digest() + data)
        _make_room(path)
    except OSError:
        return


def read_on(cache: Cache, sequence: kv.Sequence, tokens: Tokens, room: int, stats: Stats) -> None:
    """Compute the tokens that a sequence lacks.

    :param room: tokens of one call at most
    :raises MemoryError: where the KV cache has no room for them, also without kept prefixes
    """
    context = cache.context
    while (start := sequence.length) < len(tokens):
        size = min(room, len(tokens) - start)
        context.token[:size] = tokens[start : start + size]
        context.pos[:size] = np.arange(start, start + size, dtype=np.int32)
        context.seq[:size] = sequence.number
        context.output[:size] = 0
        began = time.perf_counter()
        while not context.decode(size):
            if not cache.drop_oldest():
                raise MemoryError("the KV cache is too small for one scoring request")
        stats.compute_seconds += time.perf_counter() - began
        stats.steps += 1
        stats.prompt_tokens += size
        cache.grow(sequence, size)


def _place(key: str, tokens: Tokens) -> Path:
    digest = hashlib.sha256(key.encode(errors="surrogatepass") + b"\0" + tokens.astype("<i4").tobytes()).hexdigest()
    return prefixes_dir() / f"{digest}{_ENDING}"


def _make_room(newest: Path) -> None:
    """Remove the files that were not used for longest until all together are small enough."""
    found = sorted(
        ((state.st_mtime, state.st_size, path) for path in newest.parent.glob(f"*{_ENDING}") if (state := path.stat())),
    )
    total = sum(size for _, size, _ in found)
    for _, size, path in found:
        if total <= ALL_BYTES or path == newest:
            return
        path.unlink(missing_ok=True)
        total -= size
