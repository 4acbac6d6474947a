"""Files appear whole or not at all: written beside their place under another name, then renamed into it."""

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.paths import cut_to_bytes


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; on success it takes the place of `path`, else it is removed.

    The content is on the disk before the name appears, so a power cut leaves the old file or the new one.
    Missing parent folders are made.

    :param path: where the file appears
    :raises SelfguideError: where the place cannot be written to (no such folder, no permission, disk full)
    """
    with scratch(path) as temporary:
        yield temporary
        _settle(temporary, path)


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object that a file holds; empty where it is missing, unreadable or something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_object(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, for people to read too.

    :raises SelfguideError: as `atomic_write`
    """
    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that is removed at the end; what killed processes left there is removed too.

    :raises SelfguideError: where the place cannot be written to (no such folder, no permission, disk full)
    """
    prefix = f".{cut_to_bytes(path.name[:80], 200)}."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent, prefix, _SUFFIX)
        descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=_SUFFIX, dir=path.parent)
    except OSError as error:
        raise SelfguideError(f"{path}: cannot write here: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        with suppress(OSError):  # some file systems have no locks: then nothing is swept there either
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield temporary
    except OSError as error:
        raise SelfguideError(f"{path}: cannot write this file: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Give a folder of its own that is removed at the end; those that killed processes left are removed too.

    :param prefix: what the names of all such folders begin with
    """
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent, prefix, "")
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    held = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a folder beside `out` to write to; on success it takes the place of `out`, else it is removed.

    A folder that is there is moved aside first, so that none is ever there by half.

    :raises SelfguideError: where the place cannot be written to
    """
    try:
        with _beside(out) as work:
            yield work
            work.chmod(0o755)
            take_the_place(work, out)
    except OSError as error:
        raise SelfguideError(f"{out}: cannot write here: {error.strerror or error}") from error


def take_the_place(work: Path, out: Path) -> None:
    """Rename a folder into its place; one that is there is moved aside first, and put back where this fails."""
    if not out.is_dir():
        work.rename(out)
        return
    with _beside(out) as aside:
        old = out.rename(aside / out.name)
        try:
            work.rename(out)
        except OSError:
            old.rename(out)
            raise


def _beside(out: Path) -> AbstractContextManager[Path]:
    return scratch_folder(out.absolute().parent, f".{out.name[:60]}.")


_SUFFIX = ".part"


def _sweep(folder: Path, prefix: str, suffix: str) -> None:
    """Remove what nobody holds: half a model left by every crash would fill the disk."""
    name = re.compile(f"{re.escape(prefix)}[a-z0-9_]{{8}}{re.escape(suffix)}")  # as tempfile makes them
    found: list[Path] = []
    with suppress(OSError):  # a folder that may be written and not read
        found = [left for left in folder.iterdir() if name.fullmatch(left.name)]
    for left in found:
        with suppress(OSError):
            held = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()
            finally:
                os.close(held)


def _settle(temporary: Path, path: Path) -> None:
    """Flush to the disk, give the usual permissions (mkstemp's are private), rename."""
    mask = os.umask(0)
    os.umask(mask)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~mask
    temporary.chmod(mode)
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    temporary.replace(path)
    with suppress(OSError):  # some file systems cannot sync a folder; the rename itself is done
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
