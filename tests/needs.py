"""What a test needs that may not be installed, looked for without importing it: some packages take seconds."""

from importlib.util import find_spec

import pytest


def needs(module: str, reason: str = "needs the packages for training") -> None:
    """Skip the test, or the file where it is called at its top, where a module is not installed."""
    if find_spec(module) is None:
        pytest.skip(reason, allow_module_level=True)
