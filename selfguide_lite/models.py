"""Models on this machine: what the cache holds, and getting more from a hub."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selfguide_lite.cache import cache_dir
from selfguide_lite.errors import SelfguideError
from selfguide_lite.llm.hashing import file_sha256

# Short names: repository and file.
KNOWN: dict[str, tuple[str, str]] = {
    "vicuna-7b-v1.5": ("TheBloke/vicuna-7B-v1.5-GGUF", "vicuna-7b-v1.5.Q4_K_M.gguf"),
    "vicuna-13b-v1.5": ("TheBloke/vicuna-13B-v1.5-GGUF", "vicuna-13b-v1.5.Q4_K_M.gguf"),
    "tinyllama-1.1b-chat": ("TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF", "tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf"),
}


@dataclass(frozen=True, slots=True)
class CachedModel:
    """Something in the cache.

    :param kind: `gguf`, or `hf` for a Hugging Face folder made from a GGUF
    :param bytes: on the disk
    """

    name: str
    kind: str
    path: Path
    bytes: int


def models_dir() -> Path:
    """Return the folder of pulled models."""
    return cache_dir() / "models"


def cached_models() -> list[CachedModel]:
    """Return what the cache holds, by name."""
    return sorted(_found(), key=lambda model: (model.kind, model.name))


def pull(name: str) -> Path:
    """Get a GGUF from the hub and return its path; one that is there already is not got again.

    Goes on where a broken download stopped, and checks the file against the hub's checksum.

    :param name: a key of `KNOWN`, or `owner/repository/file.gguf`
    :raises SelfguideError: where the name is wrong, the hub cannot be reached or the disk is full
    """
    repository, file = _split(name)
    try:
        import httpx
        from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import (
            EntryNotFoundError,
            GatedRepoError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
        )
    except ImportError as error:
        raise SelfguideError(
            "getting models needs huggingface_hub: pip install 'selfguide-lite[hub]', or give any GGUF file with -m"
        ) from error
    folder = models_dir() / repository
    where = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    try:
        expected = ""
        try:  # without the hub a file that is there already serves
            expected = get_hf_file_metadata(hf_hub_url(repository, file)).etag or ""
        except httpx.TransportError as error:
            if not (folder / file).is_file():  # the library would try for as long once more
                raise SelfguideError(
                    f"{where}: cannot be reached, and {file} is not in the cache; {_by_hand(file)}"
                ) from error
        except (httpx.HTTPError, OSError):
            pass  # what is wrong the download says itself
        path = Path(hf_hub_download(repository, file, local_dir=folder))
    except GatedRepoError as error:
        raise SelfguideError(f"{repository}: its owner must let you in first; set HF_TOKEN once they have") from error
    except RepositoryNotFoundError as error:
        raise SelfguideError(
            f"{repository}: the hub has no such repository; names are owner/repository/file"
        ) from error
    except LocalEntryNotFoundError as error:
        raise SelfguideError(f"{where}: cannot be reached, and {file} is not in the cache; {_by_hand(file)}") from error
    except EntryNotFoundError as error:
        raise SelfguideError(f"{repository}: has no file {file}; look at its list of files on the hub") from error
    except OfflineModeIsEnabled as error:
        raise SelfguideError(f"HF_HUB_OFFLINE is set, so {file} cannot be got; unset it") from error
    except HfHubHTTPError as error:
        raise SelfguideError(f"{where}: {_line(error)}; the same command goes on where this one stopped") from error
    except (OSError, httpx.HTTPError) as error:
        why = getattr(error, "strerror", None) or _line(error)
        raise SelfguideError(
            f"{folder}: the download stopped ({why}); the same command goes on where it stopped"
        ) from error
    _check(path, expected)
    return path


def _split(name: str) -> tuple[str, str]:
    if name in KNOWN:
        return KNOWN[name]
    parts = name.split("/")
    if len(parts) < 3 or not all(parts) or ".." in parts or not name.endswith(".gguf"):
        known = ", ".join(KNOWN)
        raise SelfguideError(f"{name!r} is no model's name; give one of {known}, or owner/repository/file.gguf")
    return "/".join(parts[:2]), "/".join(parts[2:])


def _check(path: Path, expected: str) -> None:
    """Compare with the hub's checksum, which the client does not; large files have their SHA-256 as entity tag."""
    if len(expected) == 64 and file_sha256(path) != expected:
        path.unlink()
        raise SelfguideError(f"{path}: what came does not have the hub's checksum and was removed; pull it again")
    with path.open("rb") as file:
        if file.read(4) == b"GGUF":
            return
    path.unlink()
    raise SelfguideError(f"{path}: what the hub gave is no GGUF file and was removed; pull another")


def _by_hand(file: str) -> str:
    return f"get {file} by other means and give its path with -m"


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _found() -> Iterator[CachedModel]:
    root = models_dir()
    for path in root.glob("*/*/**/*.gguf") if root.is_dir() else ():
        if ".cache" not in path.parts:
            yield CachedModel(str(path.relative_to(root)), "gguf", path, path.stat().st_size)
    hf = cache_dir() / "hf"
    for folder in hf.iterdir() if hf.is_dir() else ():
        if (folder / "config.json").is_file() and not folder.name.startswith("."):
            yield CachedModel(folder.name[:12], "hf", folder, _size(folder))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove(name: str) -> CachedModel:
    """Remove a model from the cache and return what it was.

    :param name: as `cached_models` gives it
    :raises SelfguideError: where the cache has none of that name
    """
    for model in cached_models():
        if model.name == name:
            if model.path.is_dir():
                shutil.rmtree(model.path)
            else:
                model.path.unlink()
            return model
    raise SelfguideError(f"{name}: not in the cache; `selfguide models` lists what is")
