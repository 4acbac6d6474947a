"""The card that this process trains on: which one it is, what it computes in, and what is said when its memory ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from selfguide_lite.finetune.launch import local_rank, world_size
from selfguide_lite.finetune.memory import OutOfMemory

Number = TypeVar("Number", bound=int)
# what torch, cuBLAS and the driver say; only the first has an exception of its own
_OUT = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def take_card() -> int:
    """Make this process's own card the current one, before anything is asked of it or laid on it.

    Otherwise all processes of a launch ask for the free memory of the first card, and open a context on it.

    :return: its number
    """
    import torch

    number: int = local_rank() % max(torch.cuda.device_count(), 1)
    torch.cuda.set_device(number)
    return number


def least(value: Number) -> Number:
    """Return the smallest of the values that the processes of a launch have, which all call this."""
    if world_size() == 1:
        return value
    import torch
    from torch import distributed

    on_card = distributed.is_nccl_available()
    if not distributed.is_initialized():  # training goes on with this group
        distributed.init_process_group("nccl" if on_card else "gloo")
    shared = torch.tensor(value, device="cuda" if on_card else "cpu")
    distributed.all_reduce(shared, op=distributed.ReduceOp.MIN)
    return cast(Number, int(shared))


def card_dtype() -> Any:
    """Return bfloat16, or float16 where the card has no bfloat16 of its own: torch would emulate it, slowly."""
    import torch

    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the card's memory was not enough."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT)
    )


@contextmanager
def memory_watched() -> Iterator[None]:
    """Turn a card's lack of memory in a training's steps into an error that says what to do.

    :raises OutOfMemory: smaller batches may do
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            "the card's memory was not enough for this training; lower --batch-size or --max-seq-length, "
            "or load the base in 4 bits with --bits 4"
        ) from error
