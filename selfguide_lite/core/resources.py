"""Finds the files that travel with the package: prompt templates, settings files, the demo tasks.

In a wheel they lie inside the package, in a checkout at its top level.
"""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def resource(name: str) -> Path:
    """Return the path of a shipped file or folder.

    :param name: relative name, such as `prompts` or `data/tiny_vicuna/tiny-vicuna.gguf`
    :raises FileNotFoundError: where neither the package nor the checkout has it
    """
    for root in (_PACKAGE, _PACKAGE.parent):
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"{name} is missing from this installation")


def child_environment() -> dict[str, str]:
    """Return the environment in which a Python child finds this package, in a checkout too."""
    paths = (str(_PACKAGE.parent), os.environ.get("PYTHONPATH"))
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
