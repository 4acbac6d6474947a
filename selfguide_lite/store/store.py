"""Typed reads and writes over a run's SQLite file. Every write is committed before the call returns.

Each subject has a small class of its own; all of them use one connection. Which rows count is decided by the views
alone (`views/*.sql`); nothing here filters.
"""

from pathlib import Path

from selfguide_lite.store.dataset import DatasetStore
from selfguide_lite.store.evaluations import EvaluationStore
from selfguide_lite.store.summaries import SummaryStore
from selfguide_lite.store.texts import TextStore
from selfguide_lite.store.training import TrainingStore
from selfguide_lite.store.verdicts import VerdictStore


class Store(TextStore, DatasetStore, TrainingStore, EvaluationStore, VerdictStore, SummaryStore):
    """One run's database, with everything that is kept in it. Use `Store.open`, as a context manager."""


def open_store(db: Path | str, *, read_only: bool = True) -> Store:
    """Open the database of a run, as a context manager.

    :param read_only: SQLite itself then refuses every write
    :raises SelfguideError: where the file is missing, no database, or made by a newer version
    """
    return Store.open(db, read_only=read_only, create=False)
