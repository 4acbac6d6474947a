"""A copy of a model in a type that this processor reads fast, used in the model's place.

llama.cpp has no fast processor kernels for Q4_1 and Q5_1: SmolLM2-135M in Q4_1 reads 269 tokens a second where its own
Q8_0 copy reads 418. Other types have them on some processors, so that there a copy is tried and goes again if it is no
faster. It is made once, in seconds, and kept in the cache. Data, adapters and trainings refer to the original; the copy
holds the same weights, rounded once more in steps far smaller than the original's.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from selfguide_lite.core.cache import copies_dir, read_json, write_json
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.limits import free_memory
from selfguide_lite.llm.copy_trial import known_trial
from selfguide_lite.models.copy_trials import Trial

SLOW_TYPES = frozenset({"Q4_1", "Q5_1"})
# Fast on some processors and not on others. What has 8 bits or more, and Q4_0, is fast everywhere.
_KS = {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"}
_IQS = {"IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS"}
UNSURE_TYPES = frozenset({"Q5_0"} | _KS | _IQS)
_LARGE = 2**30  # bytes: of larger ones no copy is made on trial, which would take minutes
_KIND = "q8_0"
_GROWTH = 4.0  # the copy's size over the original's, at most
_MEMORY_SHARE = 0.5  # of the free memory, that a copy may take
_CACHE = (
    "weights.json"  # the type of a model's weights by SHA-256: to read a large header takes as long as all else here
)
_LOG = logging.getLogger(__name__)


def working_copy(path: Path, trial: Callable[[Path, Path], Trial | None] | None = None) -> Path:
    """Return the file to compute with: the copy, made if need be, where it is faster, else the model.

    What stands in the way of a copy, such as a full disk, is no error: the original then serves.

    :param trial: compares a model with its copy; None where there is no time for it: then a copy serves that was found
        to be faster before, and that of a type without fast kernels
    """
    kind = _weights(path)
    slow = kind in SLOW_TYPES
    if not slow and (kind not in UNSURE_TYPES or path.stat().st_size > _LARGE):
        return path
    known = known_trial(file_sha256(path))
    if not (slow if known is None else known.worth_it) and (known is not None or trial is None):
        return path
    copy = found_copy(path) or _made(path)
    if copy is None:
        return path
    if known is None and trial is not None:
        known = trial(path, copy)
    if slow if known is None else known.worth_it:
        return copy
    copy.unlink(missing_ok=True)
    return path


def _made(path: Path) -> Path | None:
    copy = _place(path)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        _check_room(copy, int(_GROWTH * path.stat().st_size))
        from selfguide_lite.gguf.quantize import quantize

        with atomic_write(copy) as part:
            quantize(path, part, _KIND, again=True)
    except (OSError, SelfguideError) as error:
        _LOG.warning("no working copy of %s: %s", path, error)
        return None
    return copy


def found_copy(path: Path) -> Path | None:
    """Return a model's copy where there is one that is whole."""
    from selfguide_lite.gguf.check import check_model

    copy = _place(path)
    if not copy.is_file():
        return None
    try:
        check_model(copy)
    except SelfguideError:
        return None
    return copy


def _place(path: Path) -> Path:
    return copies_dir() / f"{file_sha256(path)}-{_KIND}.gguf"


def _check_room(copy: Path, needed: int) -> None:
    if shutil.disk_usage(copy.parent).free < needed:
        raise SelfguideError(f"{copy.parent}: the disk has no room for it")
    if free_memory() * _MEMORY_SHARE < needed:
        raise SelfguideError("there is too little memory for it")


def _weights(path: Path) -> str:
    """Name the type that most weights of a model's blocks have; nothing for one that no copy can be made of."""
    from selfguide_lite.gguf.reader import GgufFile

    sha256, known = file_sha256(path), read_json(_CACHE)
    if isinstance(found := known.get(sha256), str):
        return found
    try:
        with GgufFile(path) as gguf:
            elements: Counter[str] = Counter()
            for name, info in gguf.tensors.items():
                if name.startswith("blk.") and len(info.shape) == 2:
                    elements[info.kind.name] += info.elements
            whole = not gguf.metadata.get("split.count", 0) > 1
    except SelfguideError:  # of a type newer than this reader: llama.cpp may know it
        return ""
    known[sha256] = max(elements, key=lambda kind: elements[kind], default="") if whole else ""
    write_json(_CACHE, known)
    return str(known[sha256])
