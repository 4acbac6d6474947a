"""NVIDIA's compiler from its Python packages: a CUDA toolkit for machines that have none.

The packages leave out three things that CMake and the linker look for: the names of the libraries without a version
(`libcublas.so`), the folder `lib64`, and the driver's stub `libcuda.so`. The first two are made as links here; without
the third llama.cpp is built without the driver's virtual memory.
"""

import sys
from pathlib import Path

from selfguide_lite.setup.lock import Pin, of_sets, version_of

NVCC = "nvidia-cuda-nvcc"
# llama.cpp's option for a build that is not linked with libcuda
WITHOUT_DRIVER = "-DGGML_CUDA_NO_VMM=on"
_LIBRARIES = ("cudart", "cublas", "cublasLt")


def pins() -> tuple[Pin, ...]:
    """Return the packages that make a toolkit."""
    return of_sets("toolkit")


def release() -> tuple[int, int]:
    """Return the CUDA release of the packages, which a card's driver must be able to run."""
    major, minor = version_of(NVCC).split(".")[:2]
    return int(major), int(minor)


def root(folder: Path) -> Path:
    """Return where the toolkit lies in the folder into which its packages were installed."""
    return folder / "nvidia" / f"cu{release()[0]}"


def environment(folder: Path) -> dict[str, str]:
    """Return what the compilers' environment needs, so that the library finds CUDA's where they lie."""
    return {"LDFLAGS": f"-Wl,-rpath,{root(folder) / 'lib'}"}


def complete(folder: Path) -> None:
    """Make the links that the packages leave out. Doing it again changes nothing.

    :raises FileNotFoundError: where a library is not there
    """
    base = root(folder)
    lib = base / "lib"
    for name in _LIBRARIES:
        found = next(iter(sorted(lib.glob(f"lib{name}.so.*"))), None)
        if found is None:
            raise FileNotFoundError(f"{lib}: no lib{name}.so: are {', '.join(pin.name for pin in pins())} installed?")
        _link(lib / f"lib{name}.so", found.name)
    _link(base / "lib64", "lib")


def _link(path: Path, target: str) -> None:
    if not path.exists():
        path.symlink_to(target)


if __name__ == "__main__":
    complete(Path(sys.argv[1]))
