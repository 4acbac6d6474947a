"""What this machine has."""

import os
from pathlib import Path


def cores() -> int:
    """Return how many processor cores this process may use, hyper-threads not counted; `SELFGUIDE_THREADS` decides.

    llama.cpp's threads wait for each other busily: on a machine that others use as well, one thread too many makes
    every step twenty times slower.
    """
    import psutil

    given = os.environ.get("SELFGUIDE_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    count = min(allowed, psutil.cpu_count(logical=False) or allowed)
    try:  # a container's share of the processor
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return max(1, count)
