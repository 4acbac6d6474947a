"""How texts are compared: folded, with labels found in them as whole words."""

import string
import unicodedata
from collections.abc import Sequence

_A_TO_Z = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_LONG = 1000  # characters from which `fold` looks for runs of combining marks
_MARKS = 30  # combining marks in a row, as in Unicode's stream-safe format
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def has_noise(text: str, term: str) -> bool:
    """Tell whether a text contains a noise term, as the database finds it: case is ignored for A to Z."""
    text, term = text.translate(_A_TO_Z), term.translate(_A_TO_Z)
    if len(term) > 1 and term.startswith("^"):
        return f"\n{term[1:]}" in f"\n{text}"
    return term in text


def fold(text: str) -> str:
    """Fold case, compatibility forms and white space, the way labels and duplicates are compared."""
    if len(text) > _LONG:
        text = _stream_safe(text)
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _stream_safe(text: str) -> str:
    """Part long runs of combining marks: sorting them, as normalizing does, takes time with the square of their number.

    Unicode's stream-safe text format (annex 15) does it so; no language writes such runs.
    """
    if text.isascii():
        return text
    parts: list[str] = []
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > _MARKS:
            parts.append("\N{COMBINING GRAPHEME JOINER}")
            run = 1
        parts.append(character)
    return "".join(parts)


def last_label(text: str, labels: Sequence[str]) -> str | None:
    """Return the label that occurs last in a text as whole words, the longer of two that end at the same place.

    Case and white space are folded. None where no label occurs.
    """
    folded = fold(text)
    best: tuple[int, int] | None = None
    found: str | None = None
    for label in labels:
        needle = fold(label)
        end = len(folded)
        while needle and (start := folded.rfind(needle, 0, end)) >= 0:
            stop = start + len(needle)
            before = folded[start - 1] if start else " "
            after = folded[stop] if stop < len(folded) else " "
            if not (_joins(before, needle[0]) or _joins(after, needle[-1])):
                if best is None or (stop, len(needle)) > best:
                    best, found = (stop, len(needle)), label
                break
            end = stop - 1
    return found


def _joins(outside: str, inside: str) -> bool:
    """Whether two neighbouring characters belong to one word. Scripts without blanks have no word edges."""
    return _word(outside) and _word(inside)


def _word(character: str) -> bool:
    return (character.isalnum() or character == "_") and not _unspaced(character)


def _unspaced(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7a3" or "\u0e00" <= character <= "\u0eff"


def normalize(text: str) -> str:
    """Lower-case, remove ASCII punctuation, fold white space: the benchmark's `normalize_answer`."""
    return " ".join(text.lower().translate(_NO_PUNCTUATION).split())
