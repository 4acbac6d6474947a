"""Makes any text safe to show in a terminal: control codes and direction overrides become harmless.

Knows nothing of colours or layout.
"""

import unicodedata

_BREAKS = {"\n": "⏎", "\r": "", "\t": " ", "\u2028": "⏎", "\u2029": "⏎", "\x85": "⏎"}
# Direction overrides and isolates reorder what stands around them on the screen; the marks are invisible, and so are
# these signs without width. The joiners U+200C and U+200D stay: scripts and pictures are written with them.
_UNSEEN = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_UNSEEN |= frozenset(map(chr, (0x180E, 0x200B, *range(0x2060, 0x2066), *range(0x206A, 0x2070), *range(0xFFF9, 0xFFFC))))
# Tags are letters that no screen shows: a text may say one thing to a person and another to a model.
_TAGS = range(0xE0000, 0xE0080)


def neutral(text: str, keep_lines: bool = False) -> str:
    """Return a text without control codes, lone surrogates, direction overrides and signs that are not seen.

    :param text: anything, a model's answer for instance
    :param keep_lines: keep line breaks and tabs; otherwise a line break becomes a visible sign, for one line of output
    """
    shown: list[str] = []
    for character in text:
        if keep_lines and character in "\n\t":
            shown.append(character)
        elif character in _BREAKS:
            shown.append(_BREAKS[character])
        elif character in _UNSEEN:
            continue
        elif unicodedata.category(character) in ("Cc", "Cs") or ord(character) in _TAGS:
            shown.append("\N{REPLACEMENT CHARACTER}")
        else:
            shown.append(character)
    return "".join(shown)


def duration(seconds: float) -> str:
    """Return a span of time as people read it: 0:07, 12:30 or 3:05:00.

    :param seconds: 0 or more; rounded to whole seconds
    """
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def size(n_bytes: float) -> str:
    """Return a number of bytes as people read it, in units of 1024."""
    amount = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
