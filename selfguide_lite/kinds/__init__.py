"""The kinds of task, one file each: what a task of a kind needs, how its answers are read and how they are scored.

A kind is found by its name in this folder; its class is called `Kind` and derives from `TaskKind`. Knows nothing of
models, prompts or stores.
"""

from selfguide_lite.core.registry import KINDS
from selfguide_lite.kinds.base import TaskKind

__all__ = ["TaskKind", "kind_named"]


def kind_named(name: str) -> TaskKind:
    """Return a kind by its name, such as `classification`.

    :raises SelfguideError: where there is none; tasks are checked before
    """
    kind: TaskKind = KINDS.get(name)
    return kind
