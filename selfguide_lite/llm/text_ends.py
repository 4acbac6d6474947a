"""Where a generated text ends: at a stop text, and not inside a character. Counted in bytes."""


def find_stop(data: bytes, added: int, stops: tuple[bytes, ...]) -> int:
    """Return where the first stop text begins that the last `added` bytes complete; -1 where there is none."""
    first = -1
    for stop in stops:
        found = data.find(stop, max(0, len(data) - added - len(stop) + 1))
        if found >= 0 and (first < 0 or found < first):
            first = found
    return first


def whole_characters(data: bytes) -> bytes:
    """Drop the beginning of a character that a cut-off text ends with."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if back < size else data
        if byte < 0x80:
            break
    return data
