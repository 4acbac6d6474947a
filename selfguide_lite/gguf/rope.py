"""The rotary embedding of a GGUF as transformers' `rope_parameters`. What does not fit exactly is refused."""

import math
from typing import Any

import numpy as np

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.geometry import Geometry
from selfguide_lite.gguf.reader import FloatArray, GgufFile

FREQUENCIES = "rope_freqs.weight"
LONG, SHORT = "rope_factors_long.weight", "rope_factors_short.weight"
ROPE_TENSORS = (FREQUENCIES, LONG, SHORT)


def plain_rope(base: float) -> dict[str, Any]:
    """Return the settings of a rotary embedding that is not scaled."""
    return {"rope_type": "default", "rope_theta": base}


def rope_parameters(gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
    """Return the settings of a model's rotary embedding.

    :raises SelfguideError: for a scaling that transformers computes in another way, or not at all
    """
    plain = plain_rope(shape.rope_base)
    kind = gguf.get("rope.scaling.type", "linear")  # llama.cpp's own default; without a factor it changes nothing
    factor = float(gguf.get("rope.scaling.factor", gguf.get("rope.scale_linear", 0.0)) or 1.0)
    if kind == "none":
        factor = 1.0
    scaled = plain
    reads: tuple[str, ...] = ()
    if kind == "yarn":
        scaled = plain | _yarn(gguf, shape, factor)
    elif LONG in gguf.tensors and factor == 1.0:
        scaled, reads = plain | _longrope(gguf, shape), (LONG, SHORT)
    elif kind not in ("none", "linear"):
        raise SelfguideError(f"{gguf.path}: its rotary embedding is scaled by {kind!r}, which cannot be finetuned here")
    elif factor != 1.0:
        scaled = plain | {"rope_type": "linear", "factor": factor}
    elif FREQUENCIES in gguf.tensors:
        scaled, reads = plain | _llama3(gguf, shape), (FREQUENCIES,)
    _check_all_read(gguf, scaled, reads)
    return scaled


def _check_all_read(gguf: GgufFile, scaled: dict[str, Any], reads: tuple[str, ...]) -> None:
    """Refuse what llama.cpp multiplies into a scaling and transformers does not."""
    for name in ROPE_TENSORS:
        if name in gguf.tensors and name not in reads:
            raise SelfguideError(
                f"{gguf.path}: tensor {name} stretches a rotary embedding that is scaled in another way too "
                f"({scaled['rope_type']}), so it cannot be finetuned here"
            )
    factor = float(gguf.get("rope.scaling.attn_factor", 1.0))
    if factor != 1.0 and "attention_factor" not in scaled:
        raise SelfguideError(
            f"{gguf.path}: its rotary embedding is multiplied by {factor:g} (rope.scaling.attn_factor) "
            f"under the scaling {scaled['rope_type']}, so it cannot be finetuned here"
        )


def original_context(gguf: GgufFile) -> int | None:
    """Return the length of text from which on a model with LongRoPE takes its long factors; None for other models."""
    if LONG not in gguf.tensors:
        return None
    return int(gguf.get("rope.scaling.original_context_length", gguf.get("context_length", 0))) or None


def _yarn(gguf: GgufFile, shape: Geometry, factor: float) -> dict[str, Any]:
    """YaRN (arXiv 2309.00071): low frequencies are interpolated, high ones are not."""
    original = int(gguf.get("rope.scaling.original_context_length", shape.context))
    return {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": original,
        "beta_fast": float(gguf.get("rope.scaling.yarn_beta_fast", 32.0)),
        "beta_slow": float(gguf.get("rope.scaling.yarn_beta_slow", 1.0)),
        "attention_factor": yarn_attention(factor) * float(gguf.get("rope.scaling.attn_factor", 1.0)),
    }


def yarn_attention(factor: float, multiplier: float = 1.0) -> float:
    """Return what YaRN multiplies queries and keys by (arXiv 2309.00071, equation 22).

    :param factor: of the context's length
    :param multiplier: of the factor's logarithm
    """
    return 0.1 * multiplier * math.log(factor) + 1.0


def _longrope(gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
    """LongRoPE (arXiv 2402.13753): one list of factors up to the original context, another beyond."""
    original = int(gguf.get("rope.scaling.original_context_length", shape.context))
    long, short = (gguf.tensor(name).ravel().tolist() for name in (LONG, SHORT))
    if len(long) != shape.rotated // 2 or len(short) != len(long):
        raise SelfguideError(f"{gguf.path}: its rotary factors do not fit its heads; get the file again")
    return {
        "rope_type": "longrope",
        "long_factor": long,
        "short_factor": short,
        "factor": shape.context / original,
        "original_max_position_embeddings": original,
        "attention_factor": float(gguf.get("rope.scaling.attn_factor", 1.0)),
    }


def _llama3(gguf: GgufFile, shape: Geometry) -> dict[str, Any]:
    """The stretch of Llama 3 is known by its frequencies, which must fit exactly."""
    given = gguf.tensor(FREQUENCIES).ravel()
    stretched = {
        "rope_type": "llama3",
        "factor": float(given.max()),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    if given.size != shape.head_dim // 2 or not np.allclose(given, llama3_factors(shape, stretched), rtol=1e-4):
        raise SelfguideError(f"{gguf.path}: its rotary frequencies are not those of Llama 3, so it cannot be finetuned")
    return stretched


def llama3_factors(shape: Geometry, rope: dict[str, Any]) -> FloatArray:
    """Divisors of the rotary frequencies that Llama 3.1 stretches for long contexts (its model card's rule)."""
    factors = np.ones(shape.head_dim // 2, dtype=np.float32)
    original, factor = rope["original_max_position_embeddings"], rope["factor"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    for pair in range(shape.head_dim // 2):
        wavelength = 2 * math.pi * shape.rope_base ** (2 * pair / shape.head_dim)
        if wavelength > original / low:
            factors[pair] = factor
        elif wavelength >= original / high:
            smooth = (original / wavelength - low) / (high - low)
            factors[pair] = 1 / ((1 - smooth) / factor + smooth)
    return factors
