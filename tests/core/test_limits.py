"""Limits of control groups: read wherever a container may find them, and obeyed in a real group."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfguide_lite.core import limits, machine

MIB = 2**20


class Groups:
    """A kernel's files of groups, as a container sees them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.mounts, self.own = folder / "cgroup", folder / "own"
        monkeypatch.setattr(limits, "_MOUNTS", self.mounts)
        monkeypatch.setattr(limits, "_OWN", self.own)

    def write(self, group: str, **files: object) -> None:
        """Make a group with files of these contents; `__` in a name is a dot."""
        folder = self.mounts / group
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in {"cgroup__procs": "", **files}.items():
            (folder / name.replace("__", ".")).write_text(f"{value}\n", encoding="utf-8")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    return Groups(tmp_path, monkeypatch)


def test_without_groups_there_is_the_whole_machine(groups: Groups) -> None:
    assert limits.free_memory() > 100 * MIB and limits.cpu_share() is None
    groups.own.write_text("no group at all\n0:\n\n7:x\n", encoding="utf-8")
    groups.write("", memory__max="what", memory__current="?", cpu__max="max 100000")
    assert limits.free_memory() > 100 * MIB and limits.cpu_share() is None


def test_version_2(groups: Groups) -> None:
    groups.own.write_text("0::/\n", encoding="utf-8")
    stat = f"anon 1\ninactive_file {6 * MIB}\nactive_file 2"
    groups.write("", memory__max=64 * MIB, memory__current=50 * MIB, memory__stat=stat, cpu__max="150000 100000")
    assert limits.free_memory() == 20 * MIB and limits.cpu_share() == 1.5
    groups.write("", memory__max="max", cpu__max="max 100000")
    assert limits.free_memory() > 100 * MIB and limits.cpu_share() is None


def test_the_tightest_limit_between_here_and_the_root_counts(groups: Groups) -> None:
    groups.own.write_text("0::/user.slice/job.scope\n", encoding="utf-8")
    groups.write("")
    groups.write("user.slice", memory__max=40 * MIB, memory__current=30 * MIB, cpu__max="100000 100000")
    groups.write("user.slice/job.scope", memory__max=90 * MIB, memory__current=20 * MIB, cpu__max="50000 100000")
    assert limits.free_memory() == 10 * MIB and limits.cpu_share() == 0.5
    groups.write("user.slice", memory__max=20 * MIB)
    assert limits.free_memory() == 0


@pytest.mark.parametrize("folder", ["memory", "memory/docker/abc"])
def test_version_1_also_where_the_path_is_one_outside_of_the_container(groups: Groups, folder: str) -> None:
    groups.own.write_text("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n", encoding="utf-8")
    groups.write("memory")
    groups.write(
        folder,
        memory__limit_in_bytes=64 * MIB,
        memory__usage_in_bytes=50 * MIB,
        memory__stat=f"cache 1\ntotal_inactive_file {2 * MIB}",
    )
    groups.write("cpu,cpuacct", cpu__cfs_quota_us=200000, cpu__cfs_period_us=100000)
    assert limits.free_memory() == 16 * MIB and limits.cpu_share() == 2.0
    groups.write("cpu,cpuacct", cpu__cfs_quota_us=-1)
    assert limits.cpu_share() is None


def test_cores_are_those_of_the_group_and_one_at_least(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SELFGUIDE_THREADS", raising=False)
    everything = machine.cores()
    groups.own.write_text("0::/\n", encoding="utf-8")
    groups.write("", cpu__max="20000 100000")
    assert machine.cores() == 1 <= everything
    groups.write("", cpu__max="99000000 100000")
    assert machine.cores() == everything


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A group of the kernel's that may have 300 MiB."""
    root = Path("/sys/fs/cgroup")
    version_1 = (root / "memory" / "cgroup.procs").exists()
    group = (root / "memory" if version_1 else root) / f"selfguide-{os.getpid()}"
    limit = "memory.limit_in_bytes" if version_1 else "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text(str(300 * MIB), encoding="utf-8")
    except OSError as error:
        pytest.skip(f"no group can be made here: {error}")
    yield group
    group.rmdir()


def test_in_a_real_group(real_group: Path) -> None:
    script = "from selfguide_lite.core.limits import free_memory; print(free_memory())"
    done = subprocess.run(
        ["sh", "-c", 'echo $$ > "$1/cgroup.procs" && exec "$2" -c "$3"', "sh", real_group, sys.executable, script],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 100 * MIB < int(done.stdout) <= 300 * MIB
