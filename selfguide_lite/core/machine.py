"""What this machine has."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from selfguide_lite.core.limits import cpu_share

_SECONDS = 60


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
    told = output_of("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    rows = [line.rpartition(",") for line in told.splitlines() if "," in line]
    if not rows:
        return Nvidia(present)
    version = re.search(r"release ([\d.]+)", output_of(nvcc(), "--version"))
    cards = tuple(card.strip() for card, _, _ in rows)
    return Nvidia(True, cards, rows[0][2].strip(), version[1] if version else None)


def compiler() -> str | None:
    """Return the first line in which a C compiler names itself; None where there is none that runs."""
    for name in ("cc", "gcc", "clang"):
        if told := output_of(name, "--version").strip():
            return told.splitlines()[0]
    return None


def nvcc() -> str:
    """Return the path of the CUDA toolkit's compiler; empty where there is none."""
    usual = sorted(map(str, Path("/usr/local").glob("cuda*/bin/nvcc")))
    return shutil.which("nvcc") or next(iter(usual), "")


def output_of(program: str, *words: str) -> str:
    """Return what a program prints; nothing where there is none or it fails."""
    if not program:
        return ""
    try:
        done = subprocess.run(
            [program, *words], capture_output=True, text=True, timeout=_SECONDS, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


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
    share = cpu_share()
    if share is not None:
        count = min(count, int(share))
    return max(1, count)
