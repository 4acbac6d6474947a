"""Reads constraints.txt: which versions are installed, with the hashes of their files, divided into sets.

Needs nothing but Python: .ci/setup runs it in an environment that is empty.
"""

import platform
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from selfguide_lite.core.resources import resource

FILE = "constraints.txt"
TORCH = "torch"
SETS = {
    "base": "what the package always needs",
    "llama": "llama.cpp, and what its Python package needs",
    "build": "what builds llama.cpp, in an environment of its own",
    "train": "what finetuning needs",
    "cuda": "what it needs besides on an NVIDIA card",
    "cuda13": "the same, built against the CUDA of torch's usual build",
    "toolkit": "NVIDIA's compiler and what llama.cpp is linked with, where a card's machine has no CUDA toolkit",
    "torch": "without hashes, since its build depends on the machine",
    "model": "the package with the default model",
    "dev": "what the extras, tests and linters need",
}
_ENTRY = re.compile(
    r"^# sets: ([a-z0-9 ]+)\n"
    r"([a-z0-9.-]+)==([^ ;\\\n]+)(?: ; platform_machine == '(\w+)')?(?: \\)?\n"
    r"((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)*)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Pin:
    """A package at the version that is installed.

    :param name: normalized, such as `llama-cpp-python`
    :param sets: keys of `SETS`
    :param machine: the only kind of processor that it is for, such as `x86_64`; empty: all
    :param hashes: of its files, such as `sha256:...`; none for torch
    """

    name: str
    version: str
    sets: tuple[str, ...]
    machine: str = ""
    hashes: tuple[str, ...] = ()

    def requirement(self) -> str:
        """Return it as a line of a requirements file, with its hashes."""
        marker = f" ; platform_machine == '{self.machine}'" if self.machine else ""
        return " \\\n    ".join((f"{self.name}=={self.version}{marker}", *(f"--hash={one}" for one in self.hashes)))


def normal(name: str) -> str:
    """Return a distribution's name in its normalized form."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def read() -> tuple[Pin, ...]:
    """Return all pins of constraints.txt, by name."""
    text = resource(FILE).read_text(encoding="utf-8")
    return tuple(
        Pin(name, version, tuple(sets.split()), machine, tuple(re.findall(r"sha256:[0-9a-f]+", hashes)))
        for sets, name, version, machine, hashes in _ENTRY.findall(text)
    )


def of_sets(*names: str) -> tuple[Pin, ...]:
    """Return the pins of some sets that are for this kind of processor."""
    return tuple(pin for pin in read() if set(pin.sets) & set(names) and pin.machine in ("", platform.machine()))


def version_of(name: str) -> str:
    """Return the version at which a package is installed.

    :raises KeyError: where constraints.txt does not have it
    """
    return {pin.name: pin.version for pin in read()}[name]


def unmet(pins: Iterable[Pin], installed: Callable[[str], str | None]) -> tuple[Pin, ...]:
    """Return the pins whose package is missing or has another version.

    :param installed: gives the version of a distribution, None where it is missing
    """
    return tuple(pin for pin in pins if installed(pin.name) != pin.version)


if __name__ == "__main__":
    print("\n".join(pin.requirement() for pin in of_sets(*sys.argv[1:])))
