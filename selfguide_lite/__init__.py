"""selfguide-lite: from one instruction and three examples to a model that is good at that task.

    from selfguide_lite import load_task, predict, run
    result = run(load_task("people.yaml"), "people.db")
    print(result.verdict)
    print(predict("people.db", ["Mira sang well today."])[0].output)

The names below are imported when they are first used, so `import selfguide_lite` costs nothing.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from selfguide_lite.core.version import __version__

# Threads that wait for one another spin for a moment only, then sleep. OpenMP's own default spins so long that a second
# busy program on the machine makes a small model 50 times slower. libgomp reads this when it is loaded, by whichever
# module first imports llama.cpp, so it is set before any library is.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from selfguide_lite.core.errors import SelfguideError
    from selfguide_lite.core.settings import Settings
    from selfguide_lite.llm.options import EngineOptions
    from selfguide_lite.pipeline import RunResult, run
    from selfguide_lite.prediction import Answer, PredictOptions, Predictor, load, predict
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.run_options import RunOptions
    from selfguide_lite.store import Store, open_store
    from selfguide_lite.task import Example, Task, load_task

_MODULES = {
    "Answer": "prediction",
    "EngineOptions": "llm.options",
    "Example": "task",
    "PredictOptions": "prediction",
    "Predictor": "prediction",
    "Prompts": "prompts",
    "RunOptions": "run_options",
    "RunResult": "pipeline",
    "SelfguideError": "core.errors",
    "Settings": "core.settings",
    "Store": "store",
    "Task": "task",
    "load": "prediction",
    "load_task": "task",
    "open_store": "store",
    "predict": "prediction",
    "run": "pipeline",
}

__all__ = [
    "Answer", "EngineOptions", "Example", "PredictOptions", "Predictor", "Prompts", "RunOptions", "RunResult",
    "SelfguideError", "Settings", "Store", "Task", "__version__", "load", "load_task", "open_store", "predict", "run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
