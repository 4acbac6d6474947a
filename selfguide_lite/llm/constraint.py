"""Which tokens may come next so that an answer is an object of a schema, and which need not be asked for.

What must come next is appended without drawing; a run of it is computed in one batch. Its last token is left to the
model where a longer one could stand there, so that texts are split into tokens as the model knows them. What closing an
object takes is kept in reserve: it is at most the sum of its parts' shortest texts, and never grows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.fields import Schema
from selfguide_lite.llm.automaton import Automaton, InText, State
from selfguide_lite.llm.draw import Ids, Logits
from selfguide_lite.llm.token_table import Flags, TokenTable
from selfguide_lite.llm.value_automata import Literal

_SLACK = 2  # tokens by which a part may be longer when it is split together with its neighbours


@dataclass(frozen=True, slots=True)
class Allowed:
    """Tokens that may come next.

    :param tokens: their numbers
    :param flags: further ones, one flag for each token of the vocabulary
    """

    tokens: Ids
    flags: Flags | None = None

    def restrict(self, row: Logits, out: Logits) -> None:
        """Write a row of logits with minus infinity for every token that may not come next."""
        if self.flags is None:
            out.fill(-np.inf)
        else:
            np.copyto(out, row)
            out[~self.flags] = -np.inf
        out[self.tokens] = row[self.tokens]


@dataclass(frozen=True, slots=True)
class Grown:
    """What an answer grows by: the drawn token, then what must follow it.

    :param whole: whether the object is complete
    """

    tokens: tuple[int, ...]
    data: bytes
    state: State
    whole: bool


class Constraint:
    """A schema for one vocabulary.

    :param schema: with a largest size for every string and list
    :param tokenize: splits text that goes on after other text, as the model was trained
    :param lead: blanks that the chat format has before an answer
    :raises SelfguideError: where the vocabulary cannot write a name or value of the schema
    """

    def __init__(self, schema: Schema, table: TokenTable, tokenize: Callable[[str], list[int]], lead: str = ""):
        written = [text for field in schema.fields for text in (field.name, *field.values)]
        if not table.has_bytes and (other := [text for text in written if not text.isascii()]):
            raise SelfguideError(
                "this model's vocabulary has no tokens for single bytes, so it cannot be held to "
                f"{short(other[0], 40)!r}; use names and values in plain letters, or another model"
            )
        self._automaton = Automaton(schema, lead)
        self._table, self._tokenize = table, tokenize
        self._forced: dict[State, Grown] = {}
        self._allowed: dict[State, Allowed] = {}
        self._crossed: dict[tuple[int, State], tuple[Ids, Ids]] = {}
        self._costs = [0]
        for part in reversed(self._automaton.parts):
            cost = self._most_tokens(part.text) if isinstance(part, Literal) else part.longest_closing
            self._costs.insert(0, self._costs[0] + cost)

    def _most_tokens(self, text: bytes) -> int:
        """Return how many tokens the rest of a literal text takes at most, wherever in it one is."""
        whole = text.decode()
        return _SLACK + max(len(self._tokenize(whole[start:])) for start in range(len(whole)))

    @property
    def least(self) -> int:
        """Tokens that the smallest object takes at most."""
        return self._costs[0]

    def begin(self) -> Grown:
        """Return what every object begins with."""
        return self._and_forced((), b"", self._automaton.start)

    def grow(self, state: State, token: int) -> Grown:
        """Return what a drawn token adds, with what must follow it."""
        piece = self._table.pieces[token]
        after = self._automaton.walk(state, piece)
        assert after is not None, "a token was drawn that may not stand there"
        return self._and_forced((token,), piece, after)

    def _and_forced(self, tokens: tuple[int, ...], data: bytes, state: State) -> Grown:
        if self._automaton.in_text(state) is not None:
            return Grown(tokens, data, state, False)
        if state not in self._forced:
            self._forced[state] = self._run(state)
        run = self._forced[state]
        return Grown(tokens + run.tokens, data + run.data, run.state, run.whole)

    def _run(self, state: State) -> Grown:
        """Return the text that must follow a state, in tokens."""
        nothing = Grown((), b"", state, state == self._automaton.end)
        data, after = self._automaton.forced(state)
        try:
            tokens = self._tokenize(data.decode())
        except UnicodeDecodeError:  # it begins inside a character: its bytes come one by one
            return nothing
        pieces = [self._table.pieces.get(token, b"") for token in tokens]
        if not tokens or b"".join(pieces) != data:
            return nothing
        if after == self._automaton.end:
            return Grown(tuple(tokens), data, after, True)
        before = data[: -len(pieces[-1])]
        place = self._automaton.walk(state, before)
        assert place is not None
        if any(len(self._table.pieces[token]) > len(pieces[-1]) for token in self.allowed(place).tokens.tolist()):
            tokens, data, after = tokens[:-1], before, place
        return Grown(tuple(tokens), data, after, False)

    def allowed(self, state: State) -> Allowed:
        """Return the tokens that may come next."""
        inside = self._automaton.in_text(state)
        if inside is not None:
            return self._in_text(inside)
        if state not in self._allowed:
            found = [
                token
                for byte in self._automaton.choices(state)
                for piece, token in self._table.by_first.get(byte, ())
                if self._automaton.walk(state, piece) is not None
            ]
            self._allowed[state] = Allowed(np.array(found, np.int64))
        return self._allowed[state]

    def _in_text(self, inside: InText) -> Allowed:
        table = self._table.text_table(inside.mode)
        key = (inside.mode, inside.closed)
        if key not in self._crossed:
            fit = [one for one in table.crossings if self._automaton.walk(inside.closed, one.rest) is not None]
            self._crossed[key] = (
                np.array([one.token for one in fit], np.int64),
                np.array([one.characters for one in fit], np.int64),
            )
        tokens, characters = self._crossed[key]
        if inside.left >= table.most:
            return Allowed(tokens, table.stays)
        return Allowed(tokens[characters <= inside.left], table.characters <= inside.left)

    def cost(self, state: State) -> int:
        """Return how many tokens making the object whole takes at most; it never grows as an answer does."""
        return self._costs[state[0]]

    def closing(self, state: State) -> tuple[bytes, int]:
        """Return a short text that makes the object whole, and how many tokens it has."""
        parts = [data for data in self._automaton.closing(state) if data]
        return b"".join(parts), sum(self._count(data) for data in parts)

    def _count(self, data: bytes) -> int:
        try:
            return len(self._tokenize(data.decode()))
        except UnicodeDecodeError:
            return len(data)
