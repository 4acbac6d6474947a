"""Which of several processes of one launch this is. Knows nothing of what they train."""

import os


def is_main_process() -> bool:
    """Whether this process is the one that writes, under `torchrun` or `accelerate launch` as well as alone."""
    return int(os.environ.get("RANK", "0")) == 0


def world_size() -> int:
    """Number of processes that train together."""
    return max(int(os.environ.get("WORLD_SIZE", "1")), 1)


def local_rank() -> int:
    """Return which of this machine's processes this is: each has the card of its number."""
    return int(os.environ.get("LOCAL_RANK", "0"))
