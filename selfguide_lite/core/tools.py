"""Where the tool keeps an environment of its own with pip, for environments that have none."""

import sys
from pathlib import Path

from selfguide_lite.core.cache import cache_dir


def tools_dir() -> Path:
    """Return the folder of the environment with pip and what builds llama.cpp; it need not be there."""
    return cache_dir() / "setup" / f"tools-{sys.version_info.major}.{sys.version_info.minor}"


def tools_python() -> Path:
    """Return its interpreter."""
    return tools_dir() / "bin" / "python"
