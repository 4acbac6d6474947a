"""What this machine has."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from selfguide_lite.core.limits import cpu_share, kernel_text

_SECONDS = 60
_DEVICES = Path("/sys/devices")
_NEARLY = 0.8  # of the fastest core's capacity: cores of one kind differ by less


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
    """Return how many processor cores this process may use; `SELFGUIDE_THREADS` decides.

    Neither hyper-threads nor efficiency cores count: where both kinds work on one product, the fast wait for the slow.

    llama.cpp's threads wait for each other busily: on a machine that others use as well, one thread too many makes
    every step twenty times slower.
    """
    import psutil

    given = os.environ.get("SELFGUIDE_THREADS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        fast = fast_cores(allowed)
        count = min(len(fast), psutil.cpu_count(logical=False) or len(allowed))
    else:
        fast_ones = output_of("sysctl", "-n", "hw.perflevel0.physicalcpu").strip()  # Apple's
        count = int(fast_ones) if fast_ones.isdecimal() else psutil.cpu_count(logical=False) or os.cpu_count() or 1
    share = cpu_share()
    if share is not None:
        count = min(count, int(share))
    return max(1, count)


def fast_cores(allowed: set[int]) -> set[int]:
    """Return one processor of each core that is made for speed, of those that are allowed; Linux alone says which.

    Intel's hybrids list their performance cores, and other machines give each a capacity.

    :param allowed: numbers of processors; returned as they are where the system says nothing
    """
    fast = _numbers(kernel_text(_DEVICES / "cpu_core/cpus"))
    if not fast:
        capacities = {number: kernel_text(_DEVICES / f"system/cpu/cpu{number}/cpu_capacity") for number in allowed}
        known = {number: int(text) for number, text in capacities.items() if text.isdecimal()}
        fast = {number for number, capacity in known.items() if capacity >= _NEARLY * max(known.values())}
    usable = (allowed & fast) or allowed
    first: dict[str, int] = {}
    for number in sorted(usable):
        siblings = kernel_text(_DEVICES / f"system/cpu/cpu{number}/topology/thread_siblings_list")
        first.setdefault(siblings or str(number), number)
    return set(first.values())


def _numbers(listed: str) -> set[int]:
    """Read the kernel's lists, such as `0-3,8`."""
    found: set[int] = set()
    for part in listed.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            found |= set(range(int(first), int(last if last.isdecimal() else first) + 1))
    return found
