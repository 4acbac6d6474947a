"""What a container or a service may use of the machine: limits of control groups, version 1 and 2, and `ulimit -v`.

See the kernel's documentation, admin-guide/cgroup-v2 and cgroup-v1. A limit counts wherever it stands between the
group of this process and the root.
"""

import resource
from collections.abc import Iterator
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError

_MOUNTS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_LEAST = 256 * 2**20  # bytes of address space
# By version: the files of limit and use, and the line of `memory.stat` with what is cached of files.
_MEMORY = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


def free_memory() -> int:
    """Return the bytes of memory that this process can still get, of the machine's and of its group's."""
    import psutil

    return min([int(psutil.virtual_memory().available), *(max(0, free) for free in _free_of_groups())])


def require_address_space(size: int) -> None:
    """Raise `MemoryError` where `ulimit -v` leaves less than so many bytes.

    To be called before a library is loaded that asks for its buffers without end where it does not get them, as
    OpenBLAS does.
    """
    most, used = _most_address_space(), kernel_text(Path("/proc/self/statm")).partition(" ")[0]
    if most is not None and used.isdecimal() and most - int(used) * resource.getpagesize() < size:
        raise MemoryError(f"ulimit -v leaves less than {size // 2**20} MiB")


def refuse_little_address_space() -> None:
    """Refuse to begin where `ulimit -v` has not even room for Python's packages, which then fail in any way.

    :raises SelfguideError: with the limit
    """
    most = _most_address_space()
    if most is not None and most < _LEAST:
        raise SelfguideError(
            f"this shell allows {most // 2**20} MiB of address space (ulimit -v), and no command does with less than "
            f"{_LEAST // 2**20}; raise it, or lift it with `ulimit -v unlimited`"
        )


def _most_address_space() -> int | None:
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if most == resource.RLIM_INFINITY else most


def cpu_share() -> float | None:
    """Return how many processor cores the group may keep busy; None where nothing limits it."""
    shares = []
    for version, group in _groups("cpu"):
        if version == 2:
            quota, _, period = kernel_text(group / "cpu.max").partition(" ")
        else:
            quota, period = kernel_text(group / "cpu.cfs_quota_us"), kernel_text(group / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            shares.append(int(quota) / int(period))
    return min(shares, default=None)


def _free_of_groups() -> Iterator[int]:
    """Yield what each limit leaves; what a group has cached of files it gives back."""
    for version, group in _groups("memory"):
        most, in_use, inactive = _MEMORY[version]
        limit, used = kernel_text(group / most), kernel_text(group / in_use)
        stat = dict(line.split(" ", 1) for line in kernel_text(group / "memory.stat").splitlines() if " " in line)
        cached = stat.get(inactive, "0")
        if limit.isdecimal() and used.isdecimal() and cached.isdecimal():
            yield int(limit) - int(used) + int(cached)


def _groups(controller: str) -> Iterator[tuple[int, Path]]:
    """Yield the version and the folder of this process's groups, from its own up to the root that is seen here.

    In a container the path is often one outside of it, and only the root is there.
    """
    for line in kernel_text(_OWN).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        if controllers:
            version, mounts = 1, [_MOUNTS / controllers, _MOUNTS / controller]
        elif number == "0":
            version, mounts = 2, [_MOUNTS, _MOUNTS / "unified"]
        else:
            continue
        root = next((mount for mount in mounts if (mount / "cgroup.procs").exists()), None)
        if root is None:
            continue
        own = Path(path.strip().lstrip("/"))
        yield from ((version, root / part) for part in (own, *own.parents) if (root / part).is_dir())


def kernel_text(path: Path) -> str:
    """Return what a file of the kernel's says, or nothing."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
