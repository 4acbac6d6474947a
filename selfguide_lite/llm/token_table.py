"""A vocabulary by what its tokens write, for choosing the tokens that an automaton over bytes allows.

Knows nothing of schemas: inside a string it looks up what every token does there, elsewhere it tries the tokens that
begin with an allowed byte.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.llm.native import Vocabulary
from selfguide_lite.llm.text_automaton import CLOSED, FIRST, PLAIN, TEXT_STEPS, WRONG, begins_character

Flags = npt.NDArray[np.bool_]
_PLAIN_ASCII = re.compile(rb"[ !#-\[\]-~]+")
_NOT_ASCII = (*range(0x80, 0xC0), *range(0xC2, 0xF5))  # bytes of which UTF-8 makes all other characters
_NEVER = 2**30


@dataclass(frozen=True, slots=True)
class Crossing:
    """A token that closes the string.

    :param characters: that it adds to the string before that
    :param rest: bytes after the closing quote
    """

    token: int
    characters: int
    rest: bytes


@dataclass(frozen=True, slots=True)
class TextTable:
    """What every token does inside a string, from one mode.

    :param characters: that it adds; more than any string may have where it does not stay inside
    :param most: of them over the tokens that stay inside
    """

    characters: npt.NDArray[np.int32]
    crossings: tuple[Crossing, ...]
    most: int
    stays: Flags


class TokenTable:
    """The tokens of a vocabulary that write text.

    :ivar has_bytes: whether it has a token for every single byte, so that it can write every character
    :raises SelfguideError: where it has no tokens for single characters, so that it cannot write every object
    """

    def __init__(self, vocabulary: Vocabulary):
        hidden = vocabulary.end_tokens | vocabulary.control_ids | frozenset(vocabulary.named_tokens.values())
        self.size = vocabulary.size
        written = ((token, vocabulary.piece(token)) for token in range(vocabulary.size) if token not in hidden)
        self.pieces: dict[int, bytes] = {token: piece for token, piece in written if piece}
        self.by_first: dict[int, list[tuple[bytes, int]]] = {}
        for token, piece in self.pieces.items():
            self.by_first.setdefault(piece[0], []).append((piece, token))
        single = {piece[0] for piece in self.pieces.values() if len(piece) == 1}
        if missing := [chr(byte) for byte in range(0x21, 0x7F) if byte not in single]:
            raise SelfguideError(
                f"this model's vocabulary has no token for {missing[0]!r} alone, so it cannot be held to a schema; "
                "take another model, or ask for free text"
            )
        self.has_bytes = single.issuperset(_NOT_ASCII)
        self._tables: dict[int, TextTable] = {}

    def text_table(self, mode: int) -> TextTable:
        """Return what every token does inside a string where `mode` is expected."""
        if mode not in self._tables:
            self._tables[mode] = self._made(mode)
        return self._tables[mode]

    def _made(self, mode: int) -> TextTable:
        characters = np.full(self.size, _NEVER, np.int32)
        crossings = []
        for byte in range(256):
            if TEXT_STEPS[mode][byte] == WRONG:
                continue
            for piece, token in self.by_first.get(byte, ()):
                if mode in (PLAIN, FIRST) and _PLAIN_ASCII.fullmatch(piece):
                    characters[token] = len(piece)
                    continue
                after, count, read = _followed(mode, piece)
                if after == CLOSED:
                    crossings.append(Crossing(token, count, piece[read:]))
                elif after != WRONG and (self.has_bytes or after == PLAIN or piece.isascii()):
                    characters[token] = count
        stays = characters < _NEVER
        return TextTable(characters, tuple(crossings), int(characters[stays].max(initial=0)), stays)


def _followed(mode: int, piece: bytes) -> tuple[int, int, int]:
    """Return the mode after a token inside a string, the characters that it adds, and the bytes read of it."""
    count = 0
    for read, byte in enumerate(piece, 1):
        count += begins_character(mode)
        mode = TEXT_STEPS[mode][byte]
        if mode == CLOSED:
            return CLOSED, count - 1, read
        if mode == WRONG:
            break
    return mode, count, len(piece)
