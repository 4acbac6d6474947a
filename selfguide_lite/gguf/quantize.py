"""Quantizes a GGUF model with llama.cpp's own quantizer."""

import ctypes
import os
import re
from pathlib import Path

import llama_cpp

from selfguide_lite.core.errors import SelfguideError

# What can be asked for, by the name that llama.cpp's own tools use.
FILE_TYPES: dict[str, int] = {
    "f32": llama_cpp.LLAMA_FTYPE_ALL_F32,
    "f16": llama_cpp.LLAMA_FTYPE_MOSTLY_F16,
    "bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16,
    "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
    "q6_k": llama_cpp.LLAMA_FTYPE_MOSTLY_Q6_K,
    "q5_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_K_M,
    "q5_k_s": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_K_S,
    "q5_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_0,
    "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
    "q4_k_s": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_S,
    "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    "q3_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q3_K_M,
    "q2_k": llama_cpp.LLAMA_FTYPE_MOSTLY_Q2_K,
}
_BUFFER_BYTES = 2**28

_SIZE = re.compile(r"quant size +=\s*([\d.]+) MiB")

_messages: list[str] = []
_sizes: list[float] = []


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: object) -> None:
    said = text.decode("utf-8", "replace").strip()
    if level == 4:  # GGML_LOG_LEVEL_ERROR
        _messages.append(said)
    elif match := _SIZE.search(said):
        _sizes.append(float(match[1]))


def quantize(source: Path, out: Path, kind: str, *, again: bool = False) -> None:
    """Quantize a model whose matrices are in 32 or 16 bits.

    :param kind: a key of `FILE_TYPES`
    :param again: whether matrices that are quantized already are turned into the other type
    :raises SelfguideError: where llama.cpp cannot do it
    """
    _quantize(source, out, kind, again=again)


def quantized_size(source: Path, kind: str) -> int:
    """Return how many bytes the weights of a model would take in another type. Nothing is written.

    llama.cpp takes another type than the one asked for where a matrix has not the right width, so this is not the
    order of the names.

    :raises SelfguideError: where llama.cpp cannot tell
    """
    _quantize(source, source.with_name(f"{source.name}.{kind}"), kind, again=True, pretend=True)
    if not _sizes:
        raise SelfguideError(f"{source}: llama.cpp did not say how large the model would be in {kind}")
    return int(_sizes[-1] * 2**20)


def _quantize(source: Path, out: Path, kind: str, *, again: bool, pretend: bool = False) -> None:
    _messages.clear()
    _sizes.clear()
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = FILE_TYPES[kind]
    params.nthread = max(1, (os.cpu_count() or 2) // 2)
    params.allow_requantize = again
    params.dry_run = pretend
    params.max_buf_size = _BUFFER_BYTES
    status = llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(out), ctypes.byref(params))
    if status != 0:
        why = "; ".join(_messages[-2:]) or f"status {status}"
        raise SelfguideError(f"{out}: llama.cpp could not quantize the model to {kind}: {why}")
