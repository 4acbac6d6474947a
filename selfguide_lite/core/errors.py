"""The one exception type that the command line turns into one clear line and exit status 1."""


class SelfguideError(Exception):
    """Something the user can mend: the message says what is wrong, where, and what to do, in one line."""


class ReplacedError(SelfguideError):
    """A file was deleted or replaced while it was in use: what is at its place now is not this process's."""


def short(text: str, longest: int = 80) -> str:
    """Return a name or text from a user's file for a message: in one line, without control codes, cut where long."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return cut if cut.isprintable() else repr(cut)[1:-1]


LLAMA_MISSING = "llama.cpp is not installed: run `selfguide setup`, which builds it for this machine"
_DATABASE = {
    "locked": "another program is writing to the database: close it and try again",
    "disk is full": "the disk is full: make room; the same command goes on where this one stopped",
    "disk i/o error": "the disk cannot be read or written, or the database was removed or replaced during the run",
    "readonly": "the database cannot be written: check its permissions, and whether it was replaced during the run",
    "unable to open": "the database cannot be opened: check its folder and permissions",
    "malformed": "the database is damaged: restore a copy, or try the sqlite3 program's .recover",
    "not a database": "this file is not a SQLite database",
}
_MAKE_ROOM = ": make room; the same command goes on where this one stopped"
# How libraries that are not Python's say it: safetensors, and torch's writer of files, which only miscounts.
_NO_ROOM = ("no space left", "file too large", "disk quota exceeded", "inline_container.cc", "pytorchstreamwriter")


def is_interrupt(error: BaseException) -> bool:
    """Whether an error of SQLite says that Ctrl-C stopped what it was computing."""
    import sqlite3

    return isinstance(error, sqlite3.OperationalError) and str(error) == "interrupted"


def _in_store(error: BaseException) -> bool:
    """Whether it was raised while the rows of a database were read."""
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_globals.get("__name__", "").startswith("selfguide_lite.store."):
            return True
        at = at.tb_next
    return False


def in_plain_words(error: Exception) -> str | None:
    """Return one line for a failure of the disk, the database, the memory or the set-up; None for any other error."""
    import errno
    import sqlite3

    if isinstance(error, sqlite3.Error):
        text = str(error)
        return next((words for part, words in _DATABASE.items() if part in text.lower()), f"the database says: {text}")
    if _in_store(error) and type(error).__name__ in ("JSONDecodeError", "ValidationError", "RecursionError"):
        return "the database holds a value that no run writes: it was changed or damaged; restore a copy of it"
    if isinstance(error, OSError):
        named = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        return f"{named}{error.strerror or error}{_MAKE_ROOM if full else ''}"
    if isinstance(error, UnicodeEncodeError):
        return f"{short(error.object[max(0, error.start - 20) : error.end + 20])}: holds bytes that are not UTF-8 text"
    if isinstance(error, ModuleNotFoundError) and error.name == "llama_cpp":
        return LLAMA_MISSING
    if isinstance(error, MemoryError):
        return "out of memory: take a smaller model, a shorter context or fewer sequences at once"
    if any(sign in str(error).lower() for sign in _NO_ROOM):
        return f"the disk is full{_MAKE_ROOM}"
    return None
