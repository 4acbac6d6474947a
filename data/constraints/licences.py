"""Records the licence of every package in constraints.txt, as the packages themselves state it.

pip reads their metadata without installing them. `make docs` makes a table of it.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from selfguide_lite.setup.lock import SETS, TORCH, Pin, read

_FILE = Path(__file__).with_name("licences.json")
_BUILT = ("llama-cpp-python",)  # pip would have to build it to read its metadata
_LONGEST = 60
# What these packages say, whose metadata says nothing
_STATED = {
    "cuda-toolkit": "not stated; a list of NVIDIA's packages, each with its own licence",
    "cut-cross-entropy": "Apple's licence for sample code, in the package",
    "hf-transfer": "Apache-2.0, the text in the package",
    "torchao": "BSD-3-Clause, the text in the package",
}


def record_licences() -> None:
    """Write licences.json: the licence of each pin, by name."""
    found: dict[str, str] = {}
    asked = [pin for pin in read() if pin.name not in _BUILT and pin.name != TORCH]
    for item in _report(asked):
        found[_normal(item["name"])] = _stated(item)
    for name in (*_BUILT, TORCH):
        found[name] = _stated(importlib.metadata.metadata(name).json)
    pins = {pin.name: f"{pin.version}: {found.get(pin.name) or _STATED.get(pin.name, '')}" for pin in read()}
    _FILE.write_text(json.dumps(pins, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _report(pins: Iterable[Pin]) -> list[Mapping[str, Any]]:
    """Return the metadata of packages, from the package index."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text("\n".join(pin.requirement() for pin in pins), encoding="utf-8")
        words = ("--dry-run", "--ignore-installed", "--no-deps", "--require-hashes", "--quiet", "--report", "-")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", *words, "--requirement", str(wanted)],
            stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    return [one["metadata"] for one in json.loads(done.stdout)["install"]]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _stated(metadata: Mapping[str, Any]) -> str:
    """Return a licence as the metadata states it: an SPDX expression, a classifier, else a short text."""
    if expression := metadata.get("license_expression"):
        return str(expression)
    classifiers = [one for one in metadata.get("classifier", []) if one.startswith("License :: ")]
    told = [one.rpartition(" :: ")[2] for one in classifiers if not one.endswith("OSI Approved")]
    text = next(iter(str(metadata.get("license", "")).strip().splitlines()), "")
    if told and not (text and len(text) <= _LONGEST and told == ["Other/Proprietary License"]):
        return ", ".join(told)
    return text[:_LONGEST]


def licences_table() -> str:
    """Return a table of all packages with version, licence and what they are needed for."""
    stated: dict[str, str] = json.loads(_FILE.read_text(encoding="utf-8"))
    lines = ["| package | version | licence | sets |", "| --- | --- | --- | --- |"]
    for pin in read():
        version, _, licence = stated.get(pin.name, ": ").partition(": ")
        assert version == pin.version, f"{pin.name}: run `make constraints`"
        lines.append(f"| {pin.name} | {version} | {licence.replace('|', '/')} | {', '.join(pin.sets)} |")
    return "\n".join(lines)


def sets_table() -> str:
    """Return a table of the sets of constraints.txt."""
    lines = ["| set | what it is | packages |", "| --- | --- | --- |"]
    for name, meaning in SETS.items():
        lines.append(f"| `{name}` | {meaning} | {sum(name in pin.sets for pin in read())} |")
    return "\n".join(lines)
