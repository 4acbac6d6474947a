"""Fetches sources and compiler, configures, compiles, and reads the kernels out of the library."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.setup import toolkit
from selfguide_lite.setup.carry_out import places
from selfguide_lite.setup.lock import Pin, of_sets, version_of
from selfguide_lite.setup.machine import NO_AMX, look
from selfguide_lite.setup.plan import LLAMA

_TARGETS = ("ggml-cuda", "llama")
_FLASH_ATTENTION = {
    "off": ("-DGGML_CUDA_FA=off", "-DGGML_CUDA_FA_QUANTS=f16-f16"),
    "f16": ("-DGGML_CUDA_FA=on", "-DGGML_CUDA_FA_QUANTS=f16-f16"),
    "default": (),
}
# nvcc makes a host function with variables of its own for each kernel, whose name has the kernel's in it
_STUB = re.compile(r"L(\d+)(__device_stub_\w+)")


@dataclass(frozen=True, slots=True)
class Check:
    """One build.

    :param folder: for all that is fetched and made
    :param architecture: such as `90`; CMake's other forms (`75-real`, `86;89`) do as well
    :param flash_attention: a key of `_FLASH_ATTENTION`
    """

    folder: Path
    architecture: str
    flash_attention: str

    @property
    def build(self) -> Path:
        """The folder of the build."""
        return self.folder / "build"

    @property
    def source(self) -> Path:
        """The folder of llama-cpp-python's sources."""
        return self.folder / "source"

    @property
    def toolkit(self) -> Path:
        """The folder of NVIDIA's packages."""
        return self.folder / "toolkit"

    def configuration(self) -> tuple[str, ...]:
        """Return CMake's options: set-up's on a card, but the architecture is named."""
        root = toolkit.root(self.toolkit)
        flags = ["-DLLAVA_BUILD=OFF", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_CUDA=on", toolkit.WITHOUT_DRIVER]
        if look("cpu").knows_amx:
            flags += [f"-DCMAKE_C_FLAGS={NO_AMX}", f"-DCMAKE_CXX_FLAGS={NO_AMX}"]
        flags += [f"-DCMAKE_CUDA_COMPILER={root / 'bin' / 'nvcc'}", f"-DCUDAToolkit_ROOT={root}"]
        flags += [f"-DCMAKE_CUDA_ARCHITECTURES={self.architecture}", "-DGGML_CUDA_NCCL=OFF"]
        return (*flags, *_FLASH_ATTENTION[self.flash_attention])

    def compile(self, jobs: int) -> None:
        """Compile what is not compiled yet, at the lowest priority."""
        ninja = ("nice", "-n", "19", "ninja", "-C", str(self.build), f"-j{jobs}", *_TARGETS)
        _run(ninja, toolkit.environment(self.toolkit))


@dataclass(frozen=True, slots=True)
class Built:
    """What came of it.

    :param minutes: of the compilers, added up over all files
    :param megabytes: of the library with the kernels
    :param kernels: their names
    """

    architecture: str
    flash_attention: str
    minutes: float
    files: int
    megabytes: float
    needs: tuple[str, ...]
    searched: tuple[str, ...]
    packages: tuple[str, ...]
    kernels: tuple[str, ...]


def prepare(check: Check, say: Callable[[str], None]) -> None:
    """Fetch the sources and NVIDIA's packages and configure, each where it was not done.

    :raises SelfguideError: where a step fails
    """
    check.folder.mkdir(parents=True, exist_ok=True)
    if not (check.source / "CMakeLists.txt").is_file():
        say(f"getting the sources of {LLAMA} {version_of(LLAMA)}")
        own = tuple(pin for pin in of_sets("llama") if pin.name == LLAMA)
        _pip(check, own, "download", "--no-build-isolation", "--no-binary", LLAMA, "--dest", str(check.folder))
        _unpack(check)
    if not (toolkit.root(check.toolkit) / "lib64").exists():
        say(f"getting {', '.join(f'{pin.name} {pin.version}' for pin in toolkit.pins())}")
        _pip(check, toolkit.pins(), "install", "--target", str(check.toolkit), "--upgrade")
        toolkit.complete(check.toolkit)
    if not (check.build / "build.ninja").is_file():
        say(f"configuring for architecture {check.architecture}, flash attention {check.flash_attention}")
        words = ("cmake", "-S", str(check.source), "-B", str(check.build), "-G", "Ninja", *check.configuration())
        _run(words, toolkit.environment(check.toolkit))


def look_at(check: Check) -> Built:
    """Read size, time and kernels of what was built, and write the kernels' names into kernels.txt.

    :raises SelfguideError: where the library has no kernels for the architecture
    """
    library = (check.build / "bin" / "libggml-cuda.so").resolve(strict=True)
    kernels = kernels_in(_output("nm", str(library)))
    sections = _output("readelf", "-S", "-W", str(library))
    if not kernels or ".nv_fatbin" not in sections:
        raise SelfguideError(f"{library}: there are no CUDA kernels in it")
    (check.folder / "kernels.txt").write_text("\n".join(kernels) + "\n", encoding="utf-8")
    dynamic = _output("readelf", "-d", "-W", str(library))
    spent = compile_times((check.build / ".ninja_log").read_text(encoding="utf-8"))
    return Built(
        check.architecture,
        check.flash_attention,
        round(sum(spent.values()) / 60, 1),
        len(spent),
        round(library.stat().st_size / 1e6, 1),
        tuple(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic)),
        tuple(re.findall(r"\(R(?:UN)?PATH\).*\[(.+)\]", dynamic)),
        tuple(f"{pin.name}=={pin.version}" for pin in toolkit.pins()),
        kernels,
    )


def kernels_in(symbols: str) -> tuple[str, ...]:
    """Return the names of the CUDA kernels among the symbols of a library.

    :param symbols: what `nm` prints
    """
    stubs = {stub[: int(length)] for length, stub in _STUB.findall(symbols)}
    mangled = "\n".join(sorted(stub.removeprefix("__device_stub_") for stub in stubs))
    return tuple(sorted(set(_output("c++filt", told=mangled).split("\n")) - {""}))


def compile_times(log: str) -> dict[str, float]:
    """Return the seconds of each file's last compilation from ninja's log.

    :param log: its lines: begin and end in milliseconds, a time stamp, the file, a hash
    """
    rows = (line.split("\t") for line in log.splitlines() if not line.startswith("#"))
    return {row[3]: (int(row[1]) - int(row[0])) / 1000 for row in rows if row[3].endswith(".o")}


def _unpack(check: Check) -> None:
    (archive,) = check.folder.glob("llama_cpp_python-*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(check.folder, filter="data")
    shutil.move(check.folder / archive.name.removesuffix(".tar.gz"), check.source)
    archive.unlink()


def _pip(check: Check, pins: tuple[Pin, ...], *words: str) -> None:
    """Have pip fetch packages, each file checked against its hash."""
    wanted = check.folder / "wanted.txt"
    wanted.write_text("".join(f"{pin.requirement()}\n" for pin in pins), encoding="utf-8")
    python = places().python if Path(places().python).exists() else sys.executable
    _run((python, "-m", "pip", *words, "--no-deps", "--require-hashes", "--requirement", str(wanted)), {})


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program: CMake and ninja are those with which set-up builds."""
    path = f"{Path(places().python).parent}:{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, **more}


def _run(words: tuple[str, ...], more: Mapping[str, str]) -> None:
    done = subprocess.run(words, env=_environment(more), check=False)
    if done.returncode:
        raise SelfguideError(f"{words[0]} failed with status {done.returncode}; its output is above")


def _output(*words: str, told: str = "") -> str:
    return subprocess.run(words, input=told, stdout=subprocess.PIPE, text=True, check=True, errors="replace").stdout
