"""What the cache folder holds of models: pulled files, folders to train from, working copies."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selfguide_lite.core.cache import cache_dir, copies_dir, prefixes_dir
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.models.copy_trials import kept_trial


@dataclass(frozen=True, slots=True)
class CachedModel:
    """Something in the cache.

    :param kind: `gguf`; `hf` for a Hugging Face folder made from a GGUF; `copy` for a working copy of one; `state` for
        the computed beginnings of prompts, all together
    :param bytes: on the disk
    :param note: what else is known of it
    """

    name: str
    kind: str
    path: Path
    bytes: int
    note: str = ""


def models_dir() -> Path:
    """Return the folder of pulled models."""
    return cache_dir() / "models"


def cached_models() -> list[CachedModel]:
    """Return what the cache holds, by name."""
    return sorted(_found(), key=lambda model: (model.kind, model.name))


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


def _found() -> Iterator[CachedModel]:
    root = models_dir()
    for path in root.glob("*/*/**/*.gguf") if root.is_dir() else ():
        if ".cache" not in path.parts:
            yield CachedModel(str(path.relative_to(root)), "gguf", path, path.stat().st_size)
    hf = cache_dir() / "hf"
    for folder in hf.iterdir() if hf.is_dir() else ():
        if (folder / "config.json").is_file() and not folder.name.startswith("."):
            yield CachedModel(folder.name[:12], "hf", folder, _size(folder))
    copies = copies_dir()
    for path in copies.glob("*.gguf") if copies.is_dir() else ():
        sha256, _, weights = path.stem.rpartition("-")
        trial = kept_trial(sha256, weights)
        yield CachedModel(
            f"{sha256[:12]}-{weights}", "copy", path, path.stat().st_size, "" if trial is None else str(trial)
        )
    if (states := prefixes_dir()).is_dir():
        yield CachedModel(states.name, "state", states, _size(states))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
