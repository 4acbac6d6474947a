"""Looks at what decides a set-up: compiler, NVIDIA card, CUDA, pip and uv, and what is installed already."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from selfguide_lite.core.machine import cores, nvcc, output_of
from selfguide_lite.llm.build_check import Build, installed_build, processor
from selfguide_lite.models import DEFAULT, KNOWN
from selfguide_lite.setup.lock import read

Device = Literal["auto", "cpu", "cuda"]
Cuda = tuple[int, int]
NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine has.

    :param python: the interpreter of the environment that is set up
    :param processor: a short hash of the processor and its instructions
    :param compiler: version line of the C++ compiler; empty: none
    :param knows_amx: whether the compiler has options that turn AMX off
    :param card: whether there is an NVIDIA card, and it is to be used
    :param driver: the newest CUDA that the card's driver runs; None where that is not known
    :param nvcc: version line of the CUDA toolkit's compiler; empty: none
    :param pip: whether the environment has pip
    :param uv: path of the program uv; empty: none
    :param ensurepip: whether Python can make an environment with pip
    :param cores: that this process may use
    :param tag: what built packages of this Python and system are named by, such as `cp311-linux-x86_64`
    """

    python: str
    processor: str
    compiler: str = ""
    knows_amx: bool = False
    card: bool = False
    driver: Cuda | None = None
    nvcc: str = ""
    pip: bool = False
    uv: str = ""
    ensurepip: bool = False
    cores: int = 1
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Installed:
    """What is installed in the environment.

    :param build: of llama.cpp; None where there is none
    :param versions: of the distributions that constraints.txt names, by normalized name
    :param model: whether the default model is on this machine
    :param wheels: names of the builds of llama.cpp that were kept
    :param tools: whether the environment with pip and what builds llama.cpp is there, as it should be
    """

    build: Build | None = None
    versions: dict[str, str] = field(default_factory=dict)
    model: bool = False
    wheels: frozenset[str] = frozenset()
    tools: bool = False


def look(device: Device = "auto") -> Machine:
    """Look at this machine.

    :param device: `cpu` ignores a card, `cuda` takes it for granted that there is one
    """
    there, driver = _card() if device != "cpu" else (False, None)
    return Machine(
        python=sys.executable,
        processor=processor(),
        compiler=_first_line(_compiler(), "--version"),
        knows_amx=_knows(NO_AMX),
        card=there or device == "cuda",
        driver=driver,
        nvcc=" ".join(output_of(nvcc(), "--version").split()),
        pip=importlib.util.find_spec("pip") is not None,
        uv=shutil.which("uv") or "",
        ensurepip=_has_ensurepip(),
        cores=cores(),
        tag=_python_tag(),
    )


def look_at_installed() -> Installed:
    """Look at what is installed. llama.cpp is tried in a process of its own where this build was not tried before."""
    importlib.invalidate_caches()
    found = {pin.name: version for pin in read() if (version := _version(pin.name)) is not None}
    return Installed(installed_build(), found, KNOWN[DEFAULT].path is not None)


def nvcc_folder() -> str:
    """Return the folder of nvcc, for the search path; empty where there is none."""
    found = nvcc()
    return str(Path(found).parent) if found else ""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _card() -> tuple[bool, Cuda | None]:
    """Return whether there is an NVIDIA card, and the newest CUDA that its driver runs."""
    if "GPU" not in output_of("nvidia-smi", "-L"):
        return False, None
    return True, driver_cuda(output_of("nvidia-smi"))


def driver_cuda(told: str) -> Cuda | None:
    """Read the newest CUDA that a driver runs out of what nvidia-smi prints."""
    found = re.search(r"CUDA(?: \w+)? Version *: *(\d+)\.(\d+)", told)
    return (int(found[1]), int(found[2])) if found else None


def _compiler() -> str:
    names = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), "")


def _knows(options: str) -> bool:
    """Whether the C compiler takes options."""
    compiler = shutil.which(os.environ.get("CC") or "cc") or ""
    if not compiler:
        return False
    words = [compiler, *options.split(), "-x", "c", "-c", "-o", os.devnull, "-"]
    return subprocess.run(words, input="int x;", text=True, capture_output=True, check=False).returncode == 0


def _has_ensurepip() -> bool:
    """Whether this Python can bring pip into an environment; Debian keeps the module in another package."""
    return importlib.util.find_spec("ensurepip") is not None and importlib.util.find_spec("venv") is not None


def _first_line(program: str, *words: str) -> str:
    return next(iter(output_of(program, *words).splitlines()), "")


def _python_tag() -> str:
    """Return what built packages of this Python and machine are named by, such as `cp311-linux-x86_64`."""
    return f"cp{sys.version_info.major}{sys.version_info.minor}-{sysconfig.get_platform()}-{platform.libc_ver()[1]}"
