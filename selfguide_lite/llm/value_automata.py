"""The parts of an object as automata over bytes: literal text, numbers, dates, choices, lists, null.

A part's state is a small hashable value.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Protocol

Local = Any  # a hashable state inside a part
_DIGITS = tuple(b"0123456789")
_QUOTE, _MINUS, _POINT, _COMMA, _OPEN, _CLOSE = b'"-.,[]'
DONE = "done"


class Part(Protocol):
    """An automaton of a value or of literal text."""

    start: Local
    longest_closing: int
    """Bytes of `closing` at most, whatever the state."""

    def step(self, local: Local, byte: int) -> Local | None:
        """Return the state after a byte; None where it may not stand there."""
        ...

    def accepting(self, local: Local) -> bool:
        """Whether the part may end here."""
        ...

    def finished(self, local: Local) -> bool:
        """Whether it ends here and nothing can be added."""
        ...

    def choices(self, local: Local) -> Sequence[int]:
        """Return the bytes that may come next, in this part."""
        ...

    def closing(self, local: Local) -> bytes:
        """Return a short text that ends the part."""
        ...

    def in_text(self, local: Local) -> tuple[int, int, Local] | None:
        """Return mode, characters left and the state after the closing quote, inside a string."""
        ...


class _Simple:
    """What parts without strings and with one last state have in common."""

    def accepting(self, local: Local) -> bool:
        """Whether the part may end here."""
        return bool(local == DONE)

    def finished(self, local: Local) -> bool:
        """Whether nothing can be added."""
        return bool(local == DONE)

    def in_text(self, local: Local) -> tuple[int, int, Local] | None:
        """Return None: there is no string."""
        return None


class Choice(_Simple):
    """One of several texts, none of which begins with another one."""

    def __init__(self, texts: Sequence[bytes]):
        self._children: list[dict[int, int]] = [{}]
        self._ends: set[int] = set()
        self._shortest: list[tuple[bytes, int]] = [(min(texts, key=len), 0)]  # through each node, and where in it
        for text in sorted(texts, key=len):  # the first text through a node is the shortest one
            node = 0
            for place, byte in enumerate(text, 1):
                if byte not in self._children[node]:
                    self._children[node][byte] = len(self._children)
                    self._children.append({})
                    self._shortest.append((text, place))
                node = self._children[node][byte]
            self._ends.add(node)
        self.start: Local = 0
        self.longest_closing = max(len(text) - place for text, place in self._shortest)

    def step(self, local: Local, byte: int) -> Local | None:
        """Follow a byte."""
        node = None if local == DONE else self._children[local].get(byte)
        return DONE if node in self._ends else node

    def choices(self, local: Local) -> Sequence[int]:
        """Return the bytes that some text goes on with."""
        return () if local == DONE else tuple(self._children[local])

    def closing(self, local: Local) -> bytes:
        """Return the rest of the shortest text."""
        if local == DONE:
            return b""
        text, place = self._shortest[local]
        return text[place:]


class Literal(Choice):
    """One text."""

    def __init__(self, text: bytes):
        super().__init__([text])
        self.text = text


class Boolean(Choice):
    """True or false."""

    def __init__(self) -> None:
        super().__init__([b"true", b"false"])


class Number:
    """A number without an exponent. State: how far it is, and how many digits may still come there."""

    longest_closing = 1

    def __init__(self, digits: int, decimals: int):
        self._digits, self._decimals = digits, decimals
        self.start: Local = ("start", 0)

    def step(self, local: Local, byte: int) -> Local | None:
        """Follow a byte."""
        where, left = local
        if byte == _MINUS:
            return ("minus", 0) if where == "start" else None
        if byte == _POINT:
            return ("point", self._decimals) if where in ("zero", "whole") and self._decimals else None
        if byte not in _DIGITS:
            return None
        if where in ("start", "minus"):
            return ("zero", 0) if byte == _DIGITS[0] else ("whole", self._digits - 1)
        if where == "zero" or not left:
            return None
        return ("whole" if where == "whole" else "decimals", left - 1)

    def accepting(self, local: Local) -> bool:
        """Whether there is a digit where one must be."""
        return local[0] in ("zero", "whole", "decimals")

    def finished(self, local: Local) -> bool:
        """Whether no further digit may come."""
        return bool(self.accepting(local) and not self.choices(local))

    def choices(self, local: Local) -> Sequence[int]:
        """Return the bytes that may come next."""
        return tuple(byte for byte in (_MINUS, _POINT, *_DIGITS) if self.step(local, byte) is not None)

    def closing(self, local: Local) -> bytes:
        """Return a digit where one must come."""
        return b"" if self.accepting(local) else b"0"

    def in_text(self, local: Local) -> tuple[int, int, Local] | None:
        """Return None: there is no string."""
        return None


class Date(_Simple):
    """A day from 1000-01-01 to 2999-12-31 in quotes. State: the characters so far; a year only as leap year or not."""

    longest_closing = 12
    start: Local = ""

    def step(self, local: Local, byte: int) -> Local | None:
        """Follow a byte."""
        if byte not in self.choices(local):
            return None
        text = local + chr(byte)
        if len(text) == 12:
            return DONE
        if len(text) == 5:  # years of one sort go on alike
            year = int(text[1:])
            return '"2000' if year % 4 == 0 and (year % 100 or year % 400 == 0) else '"2001'
        return text

    def choices(self, local: Local) -> Sequence[int]:
        """Return the bytes that may come next: those with which some day begins."""
        if local == DONE:
            return ()
        place = len(local)
        if place in (0, 11):
            return (_QUOTE,)
        if place in (5, 8):
            return (_MINUS,)
        if place == 1:
            return tuple(b"12")
        if place < 5:
            return _DIGITS
        return tuple(byte for byte in _DIGITS if self._leads_to_a_day(local[1:] + chr(byte)))

    @staticmethod
    def _leads_to_a_day(text: str) -> bool:
        ends = {6: ("1-01", "2-01", "0-01"), 7: ("-01",), 9: ("0", "1", "9"), 10: ("",)}[len(text)]
        return any(_is_day(text + end) for end in ends)

    def closing(self, local: Local) -> bytes:
        """Return the rest of some day."""
        if local == DONE:
            return b""
        text = local
        while text != DONE and len(text) < 12:
            text += chr(self.choices(text)[0])
        return str(text)[len(local) :].encode()


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


class Items:
    """A list. State: how many items may still come, and the state of the item; `first` and `next` before an item."""

    def __init__(self, item: Part, most: int):
        self._item, self._most = item, most
        self.start: Local = ("open", 0, None)
        self.longest_closing = max(2, item.longest_closing + 1, len(item.closing(item.start)) + 1)

    def step(self, local: Local, byte: int) -> Local | None:
        """Follow a byte."""
        where, left, inner = local
        if where == DONE:
            return None
        if where == "open":
            return ("first", self._most, None) if byte == _OPEN else None
        if where == "first" and byte == _CLOSE:
            return (DONE, 0, None)
        if where in ("first", "next"):
            after = self._item.step(self._item.start, byte)
            return None if after is None else ("item", left - 1, after)
        after = self._item.step(inner, byte)
        if after is not None:
            return ("item", left, after)
        if not self._item.accepting(inner):
            return None
        if byte == _CLOSE:
            return (DONE, 0, None)
        return ("next", left, None) if byte == _COMMA and left else None

    def accepting(self, local: Local) -> bool:
        """Whether it is closed."""
        return bool(local[0] == DONE)

    finished = accepting

    def choices(self, local: Local) -> Sequence[int]:
        """Return the bytes that may come next."""
        where, left, inner = local
        if where in ("open", DONE):
            return (_OPEN,) if where == "open" else ()
        found = list(self._item.choices(self._item.start if inner is None else inner))
        if where == "first":
            found.append(_CLOSE)
        if where == "item" and self._item.accepting(inner):
            found += [_CLOSE, _COMMA] if left else [_CLOSE]
        return found

    def closing(self, local: Local) -> bytes:
        """End the item that was begun, and close."""
        where, _, inner = local
        if where in ("open", DONE):
            return b"[]" if where == "open" else b""
        item = b"" if where == "first" else self._item.closing(self._item.start if inner is None else inner)
        return item + b"]"

    def in_text(self, local: Local) -> tuple[int, int, Local] | None:
        """Return the place inside the item's string."""
        where, left, inner = local
        found = self._item.in_text(inner) if where == "item" else None
        return None if found is None else (found[0], found[1], ("item", left, found[2]))


class Optional:
    """A value, or null. State: that of the value, or of the word null."""

    def __init__(self, value: Part):
        self._value, self._null = value, Literal(b"null")
        self.start: Local = (False, value.start)
        self.longest_closing = max(4, value.longest_closing)

    def step(self, local: Local, byte: int) -> Local | None:
        """Follow a byte."""
        null, inner = local
        after = (self._null if null else self._value).step(inner, byte)
        if after is None and local == self.start:
            null, after = True, self._null.step(self._null.start, byte)
        return None if after is None else (null, after)

    def accepting(self, local: Local) -> bool:
        """Whether the value or null is whole."""
        return (self._null if local[0] else self._value).accepting(local[1])

    def finished(self, local: Local) -> bool:
        """Whether nothing can be added."""
        return (self._null if local[0] else self._value).finished(local[1])

    def choices(self, local: Local) -> Sequence[int]:
        """Return the bytes that may come next."""
        found = (self._null if local[0] else self._value).choices(local[1])
        return (*found, *self._null.choices(self._null.start)) if local == self.start else found

    def closing(self, local: Local) -> bytes:
        """Return null where nothing was begun, else the value's end."""
        if local == self.start:
            return b"null"
        return (self._null if local[0] else self._value).closing(local[1])

    def in_text(self, local: Local) -> tuple[int, int, Local] | None:
        """Return the place inside the value's string."""
        found = None if local[0] else self._value.in_text(local[1])
        return None if found is None else (found[0], found[1], (False, found[2]))
