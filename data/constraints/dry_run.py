"""Does what set-up installs for finetuning resolve? `python -m data.constraints.dry_run` tries each Python and driver.

uv resolves the pins for Linux on x86-64 and installs nothing; it needs the package index and uv. A set of pins resolves
where uv finds one version for each package, and is whole where it adds none: set-up installs it without dependencies.
With a driver for CUDA 12, torch and what is built against its CUDA come from torch's own index, which is not asked.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from selfguide_lite.setup.lock import TORCH, Pin, normal, of_sets, version_of

RECORD = Path(__file__).with_name("dry_run.json")
PYTHONS = ("3.11", "3.12", "3.13")
DRIVERS = {12: ("train", "cuda"), 13: ("train", "cuda", "cuda13")}
_PLATFORM = "x86_64-manylinux_2_28"


def pins_sha256() -> str:
    """Return a hash of all pins that were resolved: with others the record is stale."""
    told = [f"{pin.name}=={pin.version}" for pin in of_sets("train", "cuda", "cuda13", "torch")]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def resolve_for(python: str, driver: int) -> dict[str, str | int | list[str]]:
    """Return how the pins for one Python and one driver resolve."""
    pins = of_sets(*DRIVERS[driver])
    wanted = [f"{pin.name}=={pin.version}" for pin in pins]
    # what torch's own index brings, which must not be looked for on the usual one
    left_out = [] if driver >= 13 else [TORCH, *(pin.name for pin in of_sets("cuda13"))]
    if not left_out:
        wanted.append(f"{TORCH}=={version_of(TORCH)}")
    with tempfile.TemporaryDirectory() as folder:
        file, overrides = Path(folder, "wanted.in"), Path(folder, "overrides.txt")
        file.write_text("\n".join(wanted), encoding="utf-8")
        overrides.write_text("".join(f"{name} ; sys_platform == 'win32'\n" for name in left_out), encoding="utf-8")
        words = ("--quiet", "--no-config", "--no-header", "--no-annotate", "--python-version", python)
        done = subprocess.run(
            ["uv", "pip", "compile", *words, "--python-platform", _PLATFORM, "--override", str(overrides), str(file)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        return {"python": python, "driver": driver, "problem": done.stderr.strip().splitlines()[0]}
    return {"python": python, "driver": driver, "packages": len(pins), "added": added(done.stdout, pins)}


def added(told: str, pins: tuple[Pin, ...]) -> list[str]:
    """Return the packages of a resolution that are no pins, or other versions than theirs.

    :param told: what uv prints, a package a line
    """
    pinned = {pin.name: pin.version for pin in pins} | {TORCH: version_of(TORCH)}
    found = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", told, re.MULTILINE))
    return sorted(f"{name}=={version}" for name, version in found.items() if pinned.get(normal(name)) != version)


def main() -> None:
    """Resolve all, write the record, print it; exit status 1 where a set does not resolve or is not whole."""
    found = [resolve_for(python, driver) for driver in DRIVERS for python in PYTHONS]
    version = subprocess.run(["uv", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    record = {"uv": version, "platform": _PLATFORM, "pins_sha256": pins_sha256(), "resolved": found}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(RECORD.read_text())
    sys.exit(any(row.get("problem") or row["added"] for row in found))


if __name__ == "__main__":
    main()
