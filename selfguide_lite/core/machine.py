"""What this machine has."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Nvidia:
    """What there is of NVIDIA's.

    :param present: whether the system has a device of its kind, with or without a driver that works
    :param cards: name and memory of each
    :param driver: its version; None where none works
    :param toolkit: version of nvcc; None where there is none
    """

    present: bool
    cards: tuple[str, ...] = ()
    driver: str | None = None
    toolkit: str | None = None


def nvidia() -> Nvidia:
    """Ask NVIDIA's own programs what there is."""
    present = Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia").exists()
    told = _said("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    rows = [line.rpartition(",") for line in (told or "").splitlines() if "," in line]
    if not rows:
        return Nvidia(present)
    nvcc = shutil.which("nvcc") or next(iter(map(str, Path("/usr/local").glob("cuda*/bin/nvcc"))), None)
    version = re.search(r"release ([\d.]+)", _said(nvcc, "--version") or "") if nvcc else None
    cards = tuple(card.strip() for card, _, _ in rows)
    return Nvidia(True, cards, rows[0][2].strip(), version[1] if version else None)


def compiler() -> str | None:
    """Return the first line in which a C compiler names itself; None where there is none that runs."""
    for name in ("cc", "gcc", "clang"):
        if told := _said(name, "--version"):
            return told.splitlines()[0]
    return None


def _said(*command: str) -> str | None:
    """Return what a program prints; None where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else None


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
