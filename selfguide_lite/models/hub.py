"""Getting a GGUF file from a model hub, with its own client."""

import os
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.models.cached import models_dir
from selfguide_lite.models.known import HubFile


def pull_from_hub(wanted: HubFile) -> Path:
    """Get a GGUF from the hub and return its path; one that is there already is not got again.

    Goes on where a broken download stopped, and checks the file against the hub's checksum.

    :raises SelfguideError: where the hub cannot be reached or has no such file, or the disk is full
    """
    repository, file = wanted.repository, wanted.file
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
            "downloading models needs huggingface_hub: pip install 'selfguide-lite[hub]', or give any GGUF file with -m"
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
        raise SelfguideError(f"{repository}: its owner must grant access first; then set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise SelfguideError(
            f"{repository}: the hub has no such repository; names are owner/repository/file"
        ) from error
    except LocalEntryNotFoundError as error:
        raise SelfguideError(f"{where}: cannot be reached, and {file} is not in the cache; {_by_hand(file)}") from error
    except EntryNotFoundError as error:
        raise SelfguideError(f"{repository}: has no file {file}; look at its list of files on the hub") from error
    except OfflineModeIsEnabled as error:
        raise SelfguideError(f"HF_HUB_OFFLINE is set, so {file} cannot be downloaded; unset it") from error
    except HfHubHTTPError as error:
        raise SelfguideError(f"{where}: {_line(error)}; the same command goes on where this one stopped") from error
    except (OSError, httpx.HTTPError) as error:
        why = getattr(error, "strerror", None) or _line(error)
        raise SelfguideError(
            f"{folder}: the download stopped ({why}); the same command goes on where it stopped"
        ) from error
    _check(path, expected)
    return path


def _check(path: Path, expected: str) -> None:
    """Compare with the hub's checksum, which the client does not; large files have their SHA-256 as entity tag."""
    if len(expected) == 64 and file_sha256(path) != expected:
        path.unlink()
        raise SelfguideError(f"{path}: its download does not have the hub's checksum and was deleted; pull it again")
    with path.open("rb") as file:
        if file.read(4) == b"GGUF":
            return
    path.unlink()
    raise SelfguideError(f"{path}: the downloaded file is not a GGUF file and was removed; pull another")


def _by_hand(file: str) -> str:
    return f"get {file} by other means and give its path with -m"


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
