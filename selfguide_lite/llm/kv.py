"""Sequences in one KV cache: who shares which cells with whom, how many are in use, and prefixes kept for later.

Every query looks at every cell in use, so few kept prefixes stay in the cache itself; the others wait in memory, from
where they come back a hundred times faster than they are computed.

Knows nothing of requests or sampling.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from selfguide_lite.llm.native import Context, State, Tokens

MAX_HELD = 1  # prefixes kept in the cache
MAX_STORED = 64  # prefixes kept beside it
STORE_BYTES = 2**28  # memory for them, in a worker
WORTH = 8  # tokens more in common that are worth keeping, waiting for or bringing back


@dataclass(slots=True)
class _Span:
    """A run of cells that all sequences below it share, from position `start` up to `end`."""

    start: int
    end: int
    parent: "_Span | None"
    users: int = 1


@dataclass(slots=True)
class Sequence:
    """A sequence in the cache; `length` tokens of it are computed."""

    number: int
    length: int
    span: _Span


@dataclass(slots=True, eq=False)
class _Held:
    tokens: Tokens
    sequence: Sequence


@dataclass(slots=True, eq=False)
class _Stored:
    tokens: Tokens
    state: State


class Cache:
    """The sequences of a context.

    :param context: nobody else may touch its memory
    """

    def __init__(self, context: Context):
        self.context = context
        self.capacity = context.cells
        self.used = 0  # cells, exactly
        self._free = list(range(context.options.sequences - 1, -1, -1))
        self._held: list[_Held] = []  # least recently used first
        self._stored: deque[_Stored] = deque()  # likewise

    @property
    def free_sequences(self) -> int:
        """How many more sequences there can be."""
        return len(self._free)

    @property
    def live(self) -> int:
        """Sequences in use besides kept prefixes."""
        return self.context.options.sequences - len(self._free) - len(self._held)

    def new(self) -> Sequence | None:
        """Return an empty sequence; None where all are taken."""
        if not self._free:
            return None
        return Sequence(self._free.pop(), 0, _Span(0, 0, None))

    def fork(self, source: Sequence, length: int) -> Sequence | None:
        """Return a sequence that begins with the first `length` tokens of another and shares their cells.

        None where all sequences are taken.
        """
        if not self._free:
            return None
        if length == 0:
            return self.new()
        span = source.span
        while span.start >= length and span.parent is not None:
            span = span.parent
        upper = _Span(span.start, length, span.parent, users=2)
        span.start, span.parent = length, upper
        target = Sequence(self._free.pop(), length, _Span(length, length, upper))
        self.context.copy(source.number, target.number, length)
        return target

    def grow(self, sequence: Sequence, count: int) -> None:
        """Note that `count` more tokens of a sequence are computed."""
        sequence.length += count
        sequence.span.end += count
        self.used += count

    def free(self, sequence: Sequence) -> None:
        """Give a sequence back, and the cells that nobody else uses."""
        self.context.cut(sequence.number)
        self._free.append(sequence.number)
        span: _Span | None = sequence.span
        while span is not None:
            span.users -= 1
            if span.users:
                break
            self.used -= span.end - span.start
            span = span.parent

    # prefixes kept for requests to come

    def known(self, tokens: Tokens) -> int:
        """Return how many tokens a kept prefix has in common with `tokens`, be it in the cache or beside it."""
        kept = [entry.tokens for entry in self._held] + [entry.tokens for entry in self._stored]
        return max((common(tokens, prefix) for prefix in kept), default=0)

    def held(self, tokens: Tokens, bring_back: bool = True) -> tuple[Sequence | None, int]:
        """Return the kept prefix that has most in common with `tokens`, and how many tokens that is.

        :param bring_back: look among those beside the cache too; not where room was just made in it
        """
        best, length = self._most_like(tokens)
        if bring_back and self._stored:
            stored = max(self._stored, key=lambda entry: common(tokens, entry.tokens))
            if common(tokens, stored.tokens) > length + WORTH:
                self._bring_back(stored)
                best, length = self._most_like(tokens)  # where there is no room, the best may have left all the same
        if best is None:
            return None, 0
        self._held.remove(best)
        self._held.append(best)
        return best.sequence, length

    def _most_like(self, tokens: Tokens) -> tuple[_Held | None, int]:
        """Return the prefix in the cache that has most in common with `tokens`, and how many tokens that is."""
        best, length = None, 0
        for entry in self._held:
            shared = common(tokens, entry.tokens)
            if shared > length:
                best, length = entry, shared
        return best, length

    def _bring_back(self, stored: _Stored) -> None:
        """Put a stored prefix into the cache, where it has room. It is the one used last, also beside the cache.

        Others leave the cache for it. They are stored in turn, and push out those that were not used for longest: this
        one would be among them, so that comes first.
        """
        self._stored.remove(stored)
        self._stored.append(stored)
        size = len(stored.tokens)
        while len(self._held) >= MAX_HELD:
            self.drop_oldest()
        if self.used + size > self.capacity:
            return
        sequence = self.new()
        if sequence is None:
            return
        if not self.context.restore(sequence.number, stored.state):
            self.free(sequence)
            return
        self.grow(sequence, size)
        self._held.append(_Held(stored.tokens, sequence))

    def hold(self, tokens: Tokens, source: Sequence) -> None:
        """Keep the cells of a prefix that `source` has computed."""
        while len(self._held) >= MAX_HELD:
            self.drop_oldest()
        sequence = self.fork(source, len(tokens))
        if sequence is not None:
            self._held.append(_Held(tokens.copy(), sequence))

    def keep(self, tokens: Tokens, state: State) -> None:
        """Keep a prefix beside the cache that was computed elsewhere: by another worker, or by another program."""
        if not any(np.array_equal(stored.tokens, tokens) for stored in self._stored):
            self._put_beside(_Stored(tokens, state))

    def drop_oldest(self) -> bool:
        """Take the kept prefix that was not used for longest out of the cache. False where none is in it."""
        if not self._held:
            return False
        entry = self._held.pop(0)
        self._store(entry)
        self.free(entry.sequence)
        return True

    def _store(self, entry: _Held) -> None:
        if any(stored.tokens is entry.tokens for stored in self._stored):
            return
        self._put_beside(_Stored(entry.tokens, self.context.save(entry.sequence.number)))

    def _put_beside(self, newest: _Stored) -> None:
        """Keep a prefix beside the cache; those that were not used for longest leave for it."""
        self._stored.append(newest)
        while len(self._stored) > MAX_STORED or sum(stored.state.nbytes for stored in self._stored) > STORE_BYTES:
            self._stored.popleft()

    def reset(self) -> None:
        """Take every sequence back, kept prefixes too: after an interrupt nobody knows which one is half made."""
        self.context.clear()
        self._free = list(range(self.context.options.sequences - 1, -1, -1))
        self._held.clear()
        self._stored.clear()
        self.used = 0

    def clear(self) -> None:
        """Forget all kept prefixes (another adapter makes them wrong)."""
        for entry in self._held:
            self.free(entry.sequence)
        self._held.clear()
        self._stored.clear()


def common(one: Tokens, other: Tokens) -> int:
    """Return how many tokens two texts have in common at their beginning."""
    size = min(len(one), len(other))
    different = one[:size] != other[:size]
    first = int(different.argmax()) if size else 0
    return first if size and different[first] else size
