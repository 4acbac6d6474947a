"""The store: everything that a run makes, in one SQLite file, filtered by SQL views."""

from selfguide_lite.store.rows import (
    Adapter,
    Agreement,
    EvaluationRow,
    LabelCount,
    LabelledInput,
    LabelShares,
    LengthBound,
    Method,
    NewInput,
    NewOutput,
    Pair,
    PoolInput,
    Prediction,
    Prior,
    VerdictRow,
    WayRow,
)
from selfguide_lite.store.store import FILTER_SETTINGS, Store

__all__ = [
    "FILTER_SETTINGS",
    "Adapter",
    "Agreement",
    "EvaluationRow",
    "LabelCount",
    "LabelShares",
    "LabelledInput",
    "LengthBound",
    "Method",
    "NewInput",
    "NewOutput",
    "Pair",
    "PoolInput",
    "Prediction",
    "Prior",
    "Store",
    "VerdictRow",
    "WayRow",
]
