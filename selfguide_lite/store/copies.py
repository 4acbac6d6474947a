"""Copies of a run's database for experiments that answer its inputs again."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from selfguide_lite.core.files import atomic_write
from selfguide_lite.store.store import Store


def unanswered_copy(store: Store, folder: Path) -> Path:
    """Return a copy of a run's database without its answers; inputs, filters and thresholds are the run's.

    Named by what was copied: when the run has gone on, or a filter was changed, another one is made.
    """
    rows = [
        store.connection.execute(f"SELECT * FROM {what}").fetchall()
        for what in (
            "(SELECT id, text FROM input ORDER BY id)",
            "(SELECT * FROM setting ORDER BY task_id, key)",
            "(SELECT * FROM noise_term ORDER BY task_id, term)",
            "(SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY name)",
        )
    ]
    content = hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
    path = folder / f"sampled-{content[:16]}.db"
    if not path.exists():
        with atomic_write(path) as temporary, closing(sqlite3.connect(temporary)) as copy:
            store.connection.backup(copy)
            copy.execute("DELETE FROM output")
            copy.commit()
            copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, that can be renamed
    return path
