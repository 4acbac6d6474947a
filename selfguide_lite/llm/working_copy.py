"""A copy of a model in a type that this processor reads fast and exactly, used in the model's place.

llama.cpp has no fast processor kernels for Q4_1 and Q5_1, and on some processors none for other types: a copy in Q8_0
is then read up to 1.7 times as fast. For every quantized type it rounds what it multiplies to eight bits too, and the
noise is felt in small models: the log-probability of one label over another, in SmolLM2-135M, is 0.09 off on average in
Q4_1 and Q8_0, and another order of the same requests changes it by 0.06 (docs/performance.md). In F16 it is 0.005 off
at the same speed, so a small model has its copy in F16.

A copy is made once, in seconds, tried against the model and kept in the cache. Data, adapters and trainings refer to
the original; the copy holds the same weights, rounded once more in far smaller steps.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
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
_EXACT = {"F16", "BF16", "F32"}
_BYTES = {"f16": 2.1, "q8_0": 1.1}  # of a weight in a copy, at most
_LARGE = 2**30  # bytes: of larger models no copy is made on trial, which would take minutes
_EXACT_SIZE = 8e8  # bytes of a copy in F16, at most: a larger model is slower so, and less sensitive
_TINY = 3e7  # weights: smaller models are as they are
_MEMORY_SHARE = 0.5  # of the free memory, that a copy may take
# The type and number of a model's weights by SHA-256: to read a large header takes as long as all else here.
_CACHE = "weights.json"
_LOG = logging.getLogger(__name__)


def working_copy(path: Path, trial: Callable[[Path, Path, str], Trial | None] | None = None) -> Path:
    """Return the file to compute with: a copy, made if need be, where that is worth it, else the model.

    What stands in the way of a copy, such as a full disk, is no error: the original then serves.

    :param trial: compares a model with its copy of a type; None where there is no time for it: then a copy serves that
        was found worth it before, and that of a type without fast kernels
    """
    weights, count = _weights(path)
    for kind in _kinds(weights, count, path.stat().st_size):
        known = known_trial(file_sha256(path), kind)
        wanted = weights in SLOW_TYPES if known is None else known.worth_it
        if not wanted and (known is not None or trial is None):
            continue
        copy = _whole(path, kind) or _made(path, kind, count)
        if copy is None:
            continue
        if known is None and trial is not None:
            known = trial(path, copy, kind)
            wanted = wanted if known is None else known.worth_it
        if wanted:
            return copy
        copy.unlink(missing_ok=True)
    return path


def found_copy(path: Path) -> Path | None:
    """Return a model's copy where there is one that is whole."""
    return next((copy for kind in _BYTES if (copy := _whole(path, kind)) is not None), None)


def copy_bytes(path: Path) -> int:
    """Return how many bytes the copy takes that a model may be computed with on a processor; 0 where it has none."""
    weights, count = _weights(path)
    kind = next(_kinds(weights, count, path.stat().st_size), None)
    return 0 if kind is None else int(_BYTES[kind] * count)


def _kinds(weights: str, count: int, size: int) -> Iterator[str]:
    """Yield the types of copies that a model may have, the best first."""
    if not weights or weights in _EXACT:
        return
    if count > _TINY and count * _BYTES["f16"] <= _EXACT_SIZE:
        yield "f16"
    if weights in SLOW_TYPES or (weights in UNSURE_TYPES and size <= _LARGE):
        yield "q8_0"


def _made(path: Path, kind: str, count: int) -> Path | None:
    copy = _place(path, kind)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        _check_room(copy, int(_BYTES[kind] * count))
        from selfguide_lite.gguf.quantize import quantize

        with atomic_write(copy) as part:
            quantize(path, part, kind, again=True)
    except (OSError, SelfguideError) as error:
        _LOG.warning("no working copy of %s: %s", path, error)
        return None
    return copy


def _whole(path: Path, kind: str) -> Path | None:
    from selfguide_lite.gguf.check import check_model

    copy = _place(path, kind)
    if not copy.is_file():
        return None
    try:
        check_model(copy)
    except SelfguideError:
        return None
    return copy


def _place(path: Path, kind: str) -> Path:
    return copies_dir() / f"{file_sha256(path)}-{kind}.gguf"


def _check_room(copy: Path, needed: int) -> None:
    if shutil.disk_usage(copy.parent).free < needed:
        raise SelfguideError(f"{copy.parent}: the disk has no room for it")
    if free_memory() * _MEMORY_SHARE < needed:
        raise SelfguideError("there is too little memory for it")


def _weights(path: Path) -> tuple[str, int]:
    """Return the type that most weights of a model's blocks have, and how many weights it has in all.

    The type is empty for a model that no copy can be made of.
    """
    from selfguide_lite.gguf.reader import GgufFile

    sha256, known = file_sha256(path), read_json(_CACHE)
    found = known.get(sha256)
    if isinstance(found, list) and len(found) == 2:
        return str(found[0]), int(found[1])
    count = 0
    try:
        with GgufFile(path) as gguf:
            elements: Counter[str] = Counter()
            for name, info in gguf.tensors.items():
                count += info.elements
                if name.startswith("blk.") and len(info.shape) == 2:
                    elements[info.kind.name] += info.elements
            whole = not gguf.metadata.get("split.count", 0) > 1
    except SelfguideError:  # of a type newer than this reader: llama.cpp may know it
        return "", 0
    kind = max(elements, key=lambda one: elements[one], default="") if whole else ""
    known[sha256] = [kind, count]
    write_json(_CACHE, known)
    return kind, count
