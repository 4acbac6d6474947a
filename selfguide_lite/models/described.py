"""What a job says of its model before it begins: name, size, and where it comes from."""

import math
import os
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.text import size
from selfguide_lite.gguf.reader import GgufFile


def describe_model(path: Path, given: Path | str | None) -> str:
    """Return a line on a model: `model: NAME (ARCHITECTURE, 134.5 million parameters, 138.1 MiB), from -m: PATH`.

    :param path: the GGUF file
    :param given: as the caller named it; None where nobody did, so that it is the variable's or the default
    :raises SelfguideError: where the file is no GGUF or damaged
    """
    try:
        with GgufFile(path) as gguf:
            count = sum(math.prod(tensor.shape) for tensor in gguf.tensors.values())
            what = f"{gguf.architecture}, {count / 1e6:,.1f} million parameters, "
    except SelfguideError as error:
        if "GGMLQuantizationType" not in str(error):  # of a type newer than this reader: llama.cpp may know it
            raise
        what = ""
    variable = os.environ.get("SELFGUIDE_MODEL")
    if variable and (given is None or str(given) == variable):
        origin = "from $SELFGUIDE_MODEL"
    else:
        origin = "the default model" if given is None else "given with -m"
    return f"model: {path.name} ({what}{size(path.stat().st_size)}), {origin}: {path}"
