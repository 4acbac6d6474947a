"""What a training will need, from the model's shape alone: a lack of memory is said before anything is loaded."""

import ctypes
import gc
import sys
from contextlib import suppress
from dataclasses import dataclass

from selfguide_lite.core import limits
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.finetune.options import Bits, TrainOptions
from selfguide_lite.finetune.precision import half_on_cpu

_GIB = 2**30
_CUDA_OVERHEAD = int(0.9 * _GIB)  # context, kernels, the allocator's own gaps
_CPU_OVERHEAD = int(0.8 * _GIB)  # the libraries
_CHUNK_TOKENS = 1024  # logits are made for so many tokens at a time


class OutOfMemory(SelfguideError):
    """A card's memory was not enough for a step of a training; smaller batches may do."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a decoder.

    :param parameters: all of them, embeddings included
    :param tied: whether the output matrix is the embedding
    """

    parameters: int
    layers: int
    width: int
    feed_forward: int
    attention: int
    kv: int
    vocabulary: int
    tied: bool

    @property
    def embeddings(self) -> int:
        """Numbers in the embedding and output matrices, which are never loaded in 4 or 8 bits."""
        return self.vocabulary * self.width * (1 if self.tied else 2)


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a training needs at its peak, part by part."""

    weights: int
    lora: int
    activations: int
    logits: int
    overhead: int

    @property
    def total(self) -> int:
        """Their sum."""
        return self.weights + self.lora + self.activations + self.logits + self.overhead


def training_memory(
    options: TrainOptions, shape: Shape, length: int, *, bits: Bits, gradient_checkpointing: bool, cuda: bool
) -> Need:
    """Return the bytes needed at the peak, by parts.

    Weights: 4-bit ones take 4.127 bits with their scales (blocks of 64, scales quantized again: Dettmers et al. 2023,
    QLoRA), the embeddings 16 bits.
    LoRA: weight, gradient and two moments of AdamW in 32 bits. Activations in the training's precision; with
    checkpointing each layer keeps its input alone and one layer at a time is computed again.

    :param length: tokens of the longest row
    """
    value = 2 if cuda or half_on_cpu(shape.parameters) else 4
    body = shape.parameters - shape.embeddings
    per_weight = {4: 4.127 / 8, 8: 1.0 + 4 / 64, 16: float(value)}[bits]
    weights = int(body * per_weight) + shape.embeddings * value
    sides = {
        "q_proj": shape.width + shape.attention,
        "k_proj": shape.width + shape.kv,
        "v_proj": shape.width + shape.kv,
        "o_proj": shape.width + shape.attention,
        "gate_proj": shape.width + shape.feed_forward,
        "up_proj": shape.width + shape.feed_forward,
        "down_proj": shape.width + shape.feed_forward,
        "qkv_proj": shape.width + shape.attention + 2 * shape.kv,
        "gate_up_proj": shape.width + 2 * shape.feed_forward,
    }
    lora = shape.layers * options.rank * sum(sides.get(name, 0) for name in options.target_modules) * 16
    tokens = options.batch_size * length
    layer = tokens * value * (8 * shape.width + 3 * shape.attention + 4 * shape.kv + 5 * shape.feed_forward)
    kept = tokens * value * shape.width if gradient_checkpointing else layer
    activations = shape.layers * kept + (2 * layer if gradient_checkpointing else layer)
    if bits < 16:  # one layer's largest matrix is unpacked at a time
        activations += shape.width * shape.feed_forward * value
    logits = min(tokens, _CHUNK_TOKENS) * shape.vocabulary * (4 + 4 + value)
    return Need(weights, lora, activations, logits, _CUDA_OVERHEAD if cuda else _CPU_OVERHEAD)


def free_memory(cuda: bool) -> int:
    """Return the bytes that are free on the card or the machine."""
    if cuda:
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return limits.free_memory()


def used_memory(cuda: bool) -> int:
    """Return the most bytes that were allocated on the card so far, or the bytes of this process."""
    if cuda:
        import torch

        return int(torch.cuda.max_memory_allocated())
    import psutil

    return int(psutil.Process().memory_info().rss)


def release_memory() -> None:
    """Give back to the machine and the card what is not in use any more."""
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(AttributeError, OSError):  # glibc alone has this
        ctypes.CDLL(None).malloc_trim(0)


def choose_bits(options: TrainOptions, shape: Shape, length: int) -> Bits:
    """Return the bits for the base's weights on a card: those given, else 16 where they fit, else 4."""
    if options.bits is not None:
        return options.bits
    need = training_memory(options, shape, length, bits=16, gradient_checkpointing=True, cuda=True)
    return 16 if need.total < 0.9 * free_memory(cuda=True) else 4


def check_memory(
    options: TrainOptions, shape: Shape, length: int, *, bits: Bits, gradient_checkpointing: bool, cuda: bool
) -> Need:
    """Refuse a training that cannot fit.

    :raises SelfguideError: how much is missing, and which option lowers it
    """
    need = training_memory(options, shape, length, bits=bits, gradient_checkpointing=gradient_checkpointing, cuda=cuda)
    free = free_memory(cuda)
    if need.total > free:
        where = "the card" if cuda else "this machine"
        raise SelfguideError(
            f"training needs about {need.total / _GIB:.1f} GiB and {where} has {free / _GIB:.1f} GiB free, "
            f"{(need.total - free) / _GIB:.1f} GiB too little; "
            + _advice(options, need, bits, gradient_checkpointing, cuda)
        )
    return need


def _advice(options: TrainOptions, need: Need, bits: Bits, gradient_checkpointing: bool, cuda: bool) -> str:
    if cuda and bits > 4 and need.weights > need.activations:
        return "load the base in 4 bits with --bits 4"
    if need.weights > need.activations:
        return "free memory, or take a smaller model" + ("" if cuda else ", or a machine with an NVIDIA card")
    if options.batch_size > 1:
        return f"lower --batch-size {options.batch_size} and raise --gradient-accumulation-steps instead"
    if not gradient_checkpointing:
        return "turn on --gradient-checkpointing"
    return f"lower --max-seq-length {options.max_seq_length}"
