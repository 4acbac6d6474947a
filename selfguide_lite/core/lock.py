"""One run at a time on one database: a lock file among the run's working files, held for the life of the process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.paths import files_dir


def check_folder(db: Path) -> None:
    """Refuse a database in a folder that is not there: it may be a slip, and no folder is made for one.

    :raises SelfguideError: naming the folder
    """
    if not db.parent.is_dir():
        what = "cannot write here: this is no folder;" if db.parent.exists() else "no such folder; make it, or"
        raise SelfguideError(f"{db.parent}: {what} choose another place with -d")


@contextmanager
def exclusive(db: Path) -> Iterator[None]:
    """Hold a database against other runs. Readers are not disturbed.

    The kernel drops the lock with the process, so one that was killed leaves nothing to clear away: the file may stay,
    the process number in it is only there to be read.

    :param db: the database; need not exist yet
    :raises SelfguideError: where another process holds it, with its number, or the folder is missing or cannot be
        written
    """
    folder = files_dir(db)
    check_folder(db)
    try:
        folder.mkdir(exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SelfguideError(f"{folder}: cannot write here: {error.strerror}; choose another place with -d") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "of unknown number"
            raise SelfguideError(
                f"{db}: another run (process {holder}) is working on it; wait for it or stop it"
            ) from error
        with suppress(OSError):  # on a full disk the lock holds without the number
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
