"""What the robustness tests went through, counted where it happens and printed at the end of a run of the tests."""

from collections import Counter

_WORDS = {
    "kills": "kills survived",
    "faults": "faults injected",
    "inputs": "bad inputs tried",
    "texts": "hostile texts",
}
_counts: Counter[str] = Counter()


def count(what: str, times: int = 1) -> None:
    """Count something that the product has just been put through and survived.

    :param what: ``kills``, ``faults``, ``inputs`` or ``texts``
    :raises KeyError: for anything else
    """
    _counts[_WORDS[what]] += times


def counted() -> dict[str, int]:
    """All counts, as `add` takes them."""
    return dict(_counts)


def add(counts: dict[str, int]) -> None:
    """Add what another process counted."""
    _counts.update(counts)


def summary() -> str:
    """All counts in one line, as in ``30 kills survived, 24 faults injected``; empty where nothing was counted."""
    return ", ".join(f"{_counts[words]:,} {words}" for words in _WORDS.values() if _counts[words])
