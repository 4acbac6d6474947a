"""How much of a machine is used: fast cores, threads and priority that were asked for, a pause for the battery.

The system's own files are made in a folder; what reads them is the real code, psutil's too.
"""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from robust_runs import environment

from selfguide_lite.core import battery, machine
from selfguide_lite.core.progress import NullListener
from selfguide_lite.report.pausing import Pausing


def write(folder: Path, **files: object) -> None:
    """Make files of these contents; `__` in a name is a folder's slash."""
    for name, value in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n", encoding="ascii")


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_DEVICES", tmp_path)
    return tmp_path


def siblings(folder: Path, **groups: str) -> None:
    """Say which processors share a core: `c0="0-1"`."""
    for number, listed in groups.items():
        write(folder, **{f"system__cpu__cpu{number.removeprefix('c')}__topology__thread_siblings_list": listed})


def test_an_intel_hybrid_has_its_performance_cores_counted_once_each(devices: Path) -> None:
    write(devices, cpu_core__cpus="0-3", cpu_atom__cpus="4-7")
    siblings(devices, c0="0-1", c1="0-1", c2="2-3", c3="2-3", **{f"c{n}": str(n) for n in range(4, 8)})
    assert machine.fast_cores(set(range(8))) == {0, 2}
    assert machine.fast_cores({1, 4, 5}) == {1}
    assert machine.fast_cores({4, 5}) == {4, 5}  # nothing else is allowed


def test_cores_of_an_arm_processor_are_told_apart_by_capacity(devices: Path) -> None:
    for number, capacity in enumerate((400, 400, 1024, 1000)):
        write(devices, **{f"system__cpu__cpu{number}__cpu_capacity": capacity})
    assert machine.fast_cores({0, 1, 2, 3}) == {2, 3}


def test_where_the_system_says_nothing_all_count(devices: Path) -> None:
    assert machine.fast_cores({0, 3}) == {0, 3}
    write(devices, cpu_core__cpus="x-,y")
    assert machine.fast_cores({0, 3}) == {0, 3}


@pytest.fixture
def supply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A battery at 15 % that is not charging."""
    if not sys.platform.startswith("linux"):
        pytest.skip("psutil reads files on Linux alone")
    monkeypatch.setattr(psutil._pslinux, "POWER_SUPPLY_PATH", str(tmp_path))
    monkeypatch.setattr(battery, "_EVERY", 0.0)
    charge(tmp_path, 15, "Discharging", online=0)
    return tmp_path


def charge(folder: Path, percent: int, status: str, online: int) -> None:
    write(folder, BAT0__capacity=percent, BAT0__energy_now=percent, BAT0__energy_full=100, BAT0__status=status)
    write(folder, AC0__online=online)


def test_work_waits_for_the_charger_and_says_so_once(supply: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            charge(supply, 16, "Charging", online=1)

    monkeypatch.setattr(battery.time, "sleep", nap)
    Pausing(NullListener(), battery.BatteryGuard(said.append)).advance("generate", 1)
    assert len(naps) == 3 and len(said) == 2
    assert "the battery is at 15 % and not charging" in said[0] and said[1].startswith("going on")


@pytest.mark.parametrize(
    ("policy", "level", "percent", "waits"),
    [("pause", "20", 20, False), ("pause", "50", 49, True), ("run", "50", 5, False), ("pause", "?", 19, True)],
)
def test_policy_and_level(
    supply: Path, monkeypatch: pytest.MonkeyPatch, policy: str, level: str, percent: int, waits: bool
) -> None:
    monkeypatch.setenv(battery.POLICY_VARIABLE, policy)
    monkeypatch.setenv(battery.LEVEL_VARIABLE, level)
    charge(supply, percent, "Discharging", online=0)
    monkeypatch.setattr(battery.time, "sleep", lambda seconds: charge(supply, 99, "Full", online=1))
    said: list[str] = []
    battery.BatteryGuard(said.append).wait_while_low()
    assert bool(said) == waits


@pytest.mark.slow
def test_options_reach_the_command_and_what_it_starts() -> None:
    """A command that ends with an error after its options were handed on."""
    script = """
import os, sys
from selfguide_lite.cli import main
from selfguide_lite.cli import train
import selfguide_lite.core.paths
def told(*_, **__):
    from selfguide_lite.core.machine import cores
    print(os.nice(0), cores(), os.environ["SELFGUIDE_ON_BATTERY"], os.environ["SELFGUIDE_BATTERY_LEVEL"])
    sys.exit()
train.find_db = told
main("train -d x.db --threads 3 --nice 2 --on-battery run --battery-level 30".split())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment())
    assert done.stdout.split() == [str(os.nice(0) + 2), "3", "run", "30"], done.stderr
