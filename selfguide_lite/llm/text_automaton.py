"""Strings of an object as an automaton over bytes: UTF-8, with the escapes for quote, backslash, line end and tab."""

from collections.abc import Sequence

from selfguide_lite.llm.value_automata import DONE, Local

_QUOTE, _BACKSLASH = b'"\\'
_ESCAPED = tuple(b'"\\nt')

# What is expected inside a string: a character, the first one (no blank), the rest of an escape or of a character.
PLAIN, FIRST, ESCAPE, ONE, TWO, THREE, AFTER_E0, AFTER_ED, AFTER_F0, AFTER_F4 = range(10)
MODES = 10
CLOSED, WRONG = -1, -2
# of each mode, the bytes that end what was begun
_REST = {
    ESCAPE: b"\\", ONE: b"\x80", TWO: b"\x80\x80", THREE: b"\x80\x80\x80", AFTER_E0: b"\xa0\x80", AFTER_ED: b"\x80\x80",
    AFTER_F0: b"\x90\x80\x80", AFTER_F4: b"\x80\x80\x80",
}  # fmt: skip


def _table() -> list[list[int]]:
    """Return for each mode and byte the mode after it, CLOSED or WRONG."""
    table = [[WRONG] * 256 for _ in range(MODES)]

    def put(mode: int, first: int, last: int, after: int) -> None:
        table[mode][first : last + 1] = [after] * (last + 1 - first)

    for mode in (PLAIN, FIRST):
        put(mode, 0x20, 0x7E, PLAIN)
        put(mode, 0xC2, 0xDF, ONE)
        put(mode, 0xE0, 0xEF, TWO)
        put(mode, 0xF1, 0xF3, THREE)
        for byte, after in (
            (0xE0, AFTER_E0),
            (0xED, AFTER_ED),
            (0xF0, AFTER_F0),
            (0xF4, AFTER_F4),
            (_BACKSLASH, ESCAPE),
        ):
            table[mode][byte] = after
        table[mode][_QUOTE] = CLOSED if mode == PLAIN else WRONG
    table[FIRST][0x20] = WRONG
    for byte in _ESCAPED:
        table[ESCAPE][byte] = PLAIN
    put(ONE, 0x80, 0xBF, PLAIN)
    put(TWO, 0x80, 0xBF, ONE)
    put(THREE, 0x80, 0xBF, TWO)
    put(AFTER_E0, 0xA0, 0xBF, ONE)
    put(AFTER_ED, 0x80, 0x9F, ONE)
    put(AFTER_F0, 0x90, 0xBF, TWO)
    put(AFTER_F4, 0x80, 0x8F, TWO)
    return table


TEXT_STEPS = _table()


def begins_character(mode: int) -> bool:
    """Whether the next byte of a string begins a character."""
    return mode in (PLAIN, FIRST)


class Text:
    """A string of 1 to `longest` characters that does not begin with a blank. State: mode and characters left."""

    longest_closing = 5

    def __init__(self, longest: int):
        self.start: Local = ("open", longest)

    def step(self, local: Local, byte: int) -> Local | None:
        """Follow a byte."""
        mode, left = local
        if mode == DONE:
            return None
        if mode == "open":
            return (FIRST, left) if byte == _QUOTE else None
        after = TEXT_STEPS[mode][byte]
        if after == CLOSED:
            return (DONE, 0)
        if after == WRONG or (begins_character(mode) and not left):
            return None
        return (after, left - begins_character(mode))

    def accepting(self, local: Local) -> bool:
        """Whether it is closed."""
        return bool(local[0] == DONE)

    finished = accepting

    def choices(self, local: Local) -> Sequence[int]:
        """Return the bytes that may come next."""
        if local[0] == DONE:
            return ()
        if local[0] == "open":
            return (_QUOTE,)
        return tuple(byte for byte in range(256) if self.step(local, byte) is not None)

    def closing(self, local: Local) -> bytes:
        """Finish the character that was begun, and close."""
        mode = local[0]
        if mode == DONE:
            return b""
        if mode == "open":
            return b'"-"'
        return (b"-" if mode == FIRST else _REST.get(mode, b"")) + b'"'

    def in_text(self, local: Local) -> tuple[int, int, Local] | None:
        """Return the place inside the string."""
        return None if local[0] in (DONE, "open") else (local[0], local[1], (DONE, 0))
