"""What proofs need that is not in the repository: a folder of files that `make proof` names."""

import os
from pathlib import Path

import pytest


def shared(name: str) -> Path:
    """Return a folder of the shared files, or skip the test where it is not there."""
    given = os.environ.get("SELFGUIDE_SHARED")
    folder = Path(given or ".") / name
    if not given or not folder.is_dir():
        pytest.skip(f"a proof: needs the folder {name}/ of shared files (make proof SHARED=folder)")
    return folder
