"""A copy of a model in a type that this processor reads fast, used in the model's place.

llama.cpp has no fast processor kernels for Q4_1 and Q5_1: SmolLM2-135M in Q4_1 reads 269 tokens a second where its own
Q8_0 copy reads 418. The copy is made once, in seconds, and kept in the cache. Data, adapters and trainings refer to the
original; the copy holds the same weights, rounded once more in steps far smaller than the original's.
"""

import logging
import shutil
from collections import Counter
from pathlib import Path

from selfguide_lite.cache import cache_dir
from selfguide_lite.errors import SelfguideError
from selfguide_lite.files import atomic_write
from selfguide_lite.llm.hashing import file_sha256

SLOW_TYPES = frozenset({"Q4_1", "Q5_1"})
_KIND = "q8_0"
_GROWTH = 2.2  # the copy's size over the original's, at most
_LOG = logging.getLogger(__name__)


def copies_dir() -> Path:
    """Return the folder of the copies, named by their originals' SHA-256."""
    return cache_dir() / "working"


def working_copy(path: Path) -> Path:
    """Return the file to compute with: the copy, made if need be, where the model's type is slow, else the model.

    What stands in the way of a copy, such as a full disk, is no error: the original then serves.
    """
    if not _is_slow(path):
        return path
    copy = copies_dir() / f"{file_sha256(path)}-{_KIND}.gguf"
    if copy.is_file():
        return copy
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(copy.parent).free < _GROWTH * path.stat().st_size:
            return path
        from selfguide_lite.gguf.quantize import quantize

        with atomic_write(copy) as part:
            quantize(path, part, _KIND, again=True)
    except (OSError, SelfguideError) as error:
        _LOG.warning("no working copy of %s: %s", path, error)
        return path
    return copy


def _is_slow(path: Path) -> bool:
    from selfguide_lite.gguf.reader import GgufFile

    try:
        with GgufFile(path) as gguf:
            elements: Counter[str] = Counter()
            for name, info in gguf.tensors.items():
                if name.startswith("blk.") and len(info.shape) == 2:
                    elements[info.kind.name] += info.elements
    except SelfguideError:
        return False
    return bool(elements) and elements.most_common(1)[0][0] in SLOW_TYPES
