"""selfguide-lite: from one instruction and three examples to a model that is good at that task.

    from selfguide_lite import load_task, run
    result = run(load_task("people.yaml"), "people.db")
    print(result.gain)

The names below are imported when they are first used, so `import selfguide_lite` costs nothing.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Threads that wait for one another spin for a moment only, then sleep. OpenMP's own default spins so long that a second
# busy program on the machine makes a small model 50 times slower. libgomp reads this when it is loaded, by whichever
# module first imports llama.cpp, so it is set before any library is.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if TYPE_CHECKING:
    from selfguide_lite.errors import SelfguideError
    from selfguide_lite.pipeline import RunResult, run
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.settings import Settings
    from selfguide_lite.store import Store
    from selfguide_lite.task import Example, Task, load_task

__all__ = ["Example", "Prompts", "RunResult", "SelfguideError", "Settings", "Store", "Task", "load_task", "run"]

_MODULES = {
    "Example": "task",
    "Prompts": "prompts",
    "RunResult": "pipeline",
    "SelfguideError": "errors",
    "Settings": "settings",
    "Store": "store",
    "Task": "task",
    "load_task": "task",
    "run": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
