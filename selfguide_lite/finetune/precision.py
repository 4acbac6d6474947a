"""Which number format a training on a CPU computes in. Knows nothing of torch."""

from functools import cache
from pathlib import Path

LARGE = 400_000_000  # parameters from which on memory matters more than speed
_WORTH = 30_000_000  # a smaller model trains in a minute either way, and tests compare it to the last digit
_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # x86-64 and, the last, 64-bit Arm


def half_on_cpu(parameters: int) -> bool:
    """Return whether a CPU holds the base in bfloat16: a large one always, a middling one where that is faster.

    Where the processor multiplies bfloat16 itself, matrices are multiplied 2.3 times as fast as in 32 bits (measured on
    an AMD EPYC with two cores). The LoRA's own weights stay in 32 bits.
    """
    return parameters >= LARGE or (parameters >= _WORTH and _multiplies_bfloat16())


@cache
def _multiplies_bfloat16() -> bool:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next(
        (line.split(":", 1)[1].split() for line in lines if line.lower().startswith(("flags", "features"))), []
    )
    return any(flag in flags for flag in _FLAGS)
