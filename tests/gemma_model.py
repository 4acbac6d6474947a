"""Where Gemma 3 270M lies, for the tests that `make test-gemma` runs."""

from pathlib import Path

import pytest

from data.gemma import cached

_CACHED = cached()  # in the user's cache: the tests get one of their own once they begin


def gemma_model() -> Path:
    """Return the model's file, or skip the test, or the file where it is called at its top."""
    if not _CACHED.is_file():
        pytest.skip("needs Gemma 3 270M, which `make test-gemma` gets", allow_module_level=True)
    return _CACHED
