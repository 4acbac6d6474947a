"""What a context of llama.cpp is made with."""

from dataclasses import dataclass
from typing import Literal

CacheType = Literal["f16", "q8_0", "q4_0"]
MAX_SEQUENCES = 256  # a compile-time limit of llama.cpp


@dataclass(frozen=True, slots=True)
class ContextOptions:
    """How a context computes.

    :param cells: tokens the KV cache holds, all sequences together
    :param batch: tokens of one call at most
    :param flash: flash attention
    :param threads: for single tokens and for prompts
    :param sequences: different sequences at most
    :param cache: how the KV cache holds its numbers; another type than f16 needs flash attention
    """

    cells: int
    batch: int = 512
    flash: bool = False
    threads: int = 0
    sequences: int = MAX_SEQUENCES
    cache: CacheType = "f16"
