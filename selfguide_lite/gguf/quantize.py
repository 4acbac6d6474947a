"""Quantizes a GGUF model with llama.cpp's own quantizer."""

import ctypes
import os
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

_messages: list[str] = []


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: object) -> None:
    if level == 4:  # GGML_LOG_LEVEL_ERROR
        _messages.append(text.decode("utf-8", "replace").strip())


def quantize(source: Path, out: Path, kind: str, *, again: bool = False) -> None:
    """Quantize a model whose matrices are in 32 or 16 bits.

    :param kind: a key of `FILE_TYPES`
    :param again: whether matrices that are quantized already are turned into the other type
    :raises SelfguideError: where llama.cpp cannot do it
    """
    _messages.clear()
    llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = FILE_TYPES[kind]
    params.nthread = max(1, (os.cpu_count() or 2) // 2)
    params.allow_requantize = again
    params.max_buf_size = _BUFFER_BYTES
    status = llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(out), ctypes.byref(params))
    if status != 0:
        why = "; ".join(_messages[-2:]) or f"status {status}"
        raise SelfguideError(f"{out}: llama.cpp could not quantize the model to {kind}: {why}")
