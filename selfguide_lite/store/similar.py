"""Near duplicates: which earlier inputs an input resembles, by the Jaccard similarity of their character shingles.

MinHash with banding finds the few candidates (Broder 1997), whose similarity is then computed exactly. Knows nothing of
filters: the pairs are kept in `near_twin`, and a view decides by the threshold in `setting`.
"""

import random
import sqlite3
import zlib
from collections import Counter

import numpy as np

SHINGLE = 5  # characters
BANDS, ROWS = 16, 4  # two texts of similarity 0.8 share a band with probability 0.9998, of 0.6 with 0.89
FLOOR = 0.5  # pairs below are not kept, so a lower threshold means this one
MAX_BUCKET = 32  # inputs that share a band; more would only resemble those that are there
MAX_CANDIDATES = 12

_dice = random.Random(2026)
_FACTORS = np.array([_dice.getrandbits(64) | 1 for _ in range(BANDS * ROWS)], dtype=np.uint64)[:, None]
_SHIFTS = np.array([_dice.getrandbits(64) for _ in range(BANDS * ROWS)], dtype=np.uint64)[:, None]
_MIXERS = np.array([_dice.getrandbits(64) | 1 for _ in range(BANDS * ROWS)], dtype=np.uint64).reshape(BANDS, ROWS)


def shingles(folded: str) -> frozenset[str]:
    """Return the character shingles of a folded text; a shorter text is its only shingle."""
    return frozenset(folded[n : n + SHINGLE] for n in range(max(1, len(folded) - SHINGLE + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of the shingles of both that they have in common."""
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def bands(task_id: int, found: frozenset[str]) -> list[int]:
    """Return one 64-bit number a band; similar texts share some of them."""
    hashes = np.array([zlib.crc32(shingle.encode("utf-8", "surrogatepass")) for shingle in found], dtype=np.uint64)
    with np.errstate(over="ignore"):
        signature = ((hashes * _FACTORS + _SHIFTS) >> np.uint64(32)).min(axis=1)
        mixed = (signature.reshape(BANDS, ROWS) * _MIXERS).sum(axis=1, dtype=np.uint64) + np.uint64(task_id)
    return [int(number) for number in mixed.view(np.int64)]


def sketch(connection: sqlite3.Connection, task_id: int, input_id: int, folded: str) -> None:
    """Find an input's near twins among those sketched before it, and write them down, in the caller's transaction."""
    twin = connection.execute(
        "SELECT id FROM input WHERE task_id = ? AND folded = ? AND id <> ? AND sketched = 1 LIMIT 1",
        (task_id, folded, input_id),
    ).fetchone()
    if twin:  # an exact repetition resembles what the first one resembles
        connection.execute(
            "INSERT OR IGNORE INTO near_twin"
            " SELECT ?1, CASE input_id WHEN ?2 THEN twin_id ELSE input_id END, similarity"
            " FROM near_twin WHERE input_id = ?2 OR twin_id = ?2",
            (input_id, twin[0]),
        )
        return
    found = shingles(folded)
    numbers = list(dict.fromkeys(bands(task_id, found)))
    rows = connection.execute(
        f"SELECT hash, input_id FROM input_band WHERE hash IN ({','.join('?' * len(numbers))})", numbers
    ).fetchall()
    filled = Counter(number for number, _ in rows)
    nearest = sorted(Counter(other for _, other in rows).items(), key=lambda item: (-item[1], item[0]))
    candidates = [other for other, _ in nearest[:MAX_CANDIDATES]]
    texts = connection.execute(
        f"SELECT id, folded FROM input WHERE id IN ({','.join('?' * len(candidates))})", candidates
    ).fetchall()
    similar = [(input_id, other, jaccard(found, shingles(text))) for other, text in texts]
    connection.executemany(
        "INSERT OR IGNORE INTO near_twin VALUES (?, ?, ?)", [pair for pair in similar if pair[2] >= FLOOR]
    )
    connection.executemany(
        "INSERT OR IGNORE INTO input_band VALUES (?, ?)",
        [(number, input_id) for number in numbers if filled[number] < MAX_BUCKET],
    )


def sketch_pending(connection: sqlite3.Connection) -> int:
    """Sketch the inputs that came in by other ways than the typed API, and return how many there were."""
    waiting = connection.execute(
        "SELECT id, task_id, folded FROM input WHERE sketched IS NULL ORDER BY round, prompt, id"
    ).fetchall()
    for input_id, task_id, folded in waiting:
        sketch(connection, task_id, input_id, folded)
        connection.execute("UPDATE input SET sketched = 1 WHERE id = ?", (input_id,))
    return len(waiting)
