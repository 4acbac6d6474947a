"""Texts in a shell script: any text, written so that no shell runs a part of it and no terminal obeys it."""

from selfguide_lite.core.text import neutral

_PLAIN = frozenset("\n")


def printf_text(text: str) -> str:
    """Return a text between single quotes, to be read by `printf '%b'`.

    Backslashes, quotes and whatever a terminal would obey are written as bytes in octal.
    """
    return f"'{''.join(map(_written, text))}'"


def _written(character: str) -> str:
    if character in _PLAIN or (character not in "\\'" and neutral(character) == character):
        return character
    return "".join(f"\\0{byte:03o}" for byte in character.encode("utf-8", "replace"))


def comment(text: str) -> str:
    """Return a text as a part of a comment: one line, nothing that a terminal would obey."""
    return neutral(text)
