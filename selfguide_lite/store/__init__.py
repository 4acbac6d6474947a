"""The store: everything that a run makes, in one SQLite file, filtered by SQL views."""

from selfguide_lite.store.rows import (
    Adapter,
    Agreement,
    EvaluationRow,
    LabelCount,
    LabelledInput,
    LengthBound,
    Method,
    NewEvaluation,
    NewInput,
    NewOutput,
    OwnInput,
    Pair,
    PoolInput,
    Prediction,
    Prior,
    PriorKey,
    VerdictRow,
    WayRow,
)
from selfguide_lite.store.store import Store, open_store
from selfguide_lite.store.tasks import FILTER_SETTINGS

__all__ = [
    "FILTER_SETTINGS",
    "Adapter",
    "Agreement",
    "EvaluationRow",
    "LabelCount",
    "LabelledInput",
    "LengthBound",
    "Method",
    "NewEvaluation",
    "NewInput",
    "NewOutput",
    "OwnInput",
    "Pair",
    "PoolInput",
    "Prediction",
    "Prior",
    "PriorKey",
    "Store",
    "VerdictRow",
    "WayRow",
    "open_store",
]
