"""Packs what a machine with a card and without a network lacks: `make gpu-kit`, used by check.sh.

Wheels for its Python, llama.cpp's sources without what is not compiled, and with `--model` the default model. The files
are laid into folders of at most 60 MiB, each with the hashes of what is in it; a larger file is cut and joined again.
"""

import argparse
import io
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from parts import lay_out

from selfguide_lite.models import DEFAULT, KNOWN
from selfguide_lite.setup.carry_out import places
from selfguide_lite.setup.lock import Pin, of_sets, version_of
from selfguide_lite.setup.plan import LLAMA

SETS = ("base", "llama", "build", "train", "cuda")
# what such a machine brings itself; torch's build for the card is never carried
THERE = "torch transformers accelerate peft numpy safetensors tokenizers huggingface-hub setuptools pip cmake ninja"
_ONLY_SOURCE = ("rouge-score",)  # it has no wheel: one is made, of Python alone
# of llama.cpp's sources, what its libraries are compiled from
_COMPILED = ("CMakeLists.txt", "LICENSE", "cmake", "common", "ggml", "include", "src", "vendor", "scripts")
_OF_PYTHON = ("CMakeLists.txt", "LICENSE.md", "README.md", "pyproject.toml", "llama_cpp")


def pins_to_carry(there: Iterable[str]) -> tuple[Pin, ...]:
    """Return the packages of which wheels are carried."""
    left_out = {*there, LLAMA}
    return tuple(pin for pin in of_sets(*SETS) if pin.name not in left_out)


def slim_sources(archive: Path, out: Path) -> None:
    """Write llama-cpp-python's sources without tests, models, tools and documents."""
    with tarfile.open(archive) as whole, tarfile.open(out, "w:xz", preset=6) as slim:
        for member in whole:
            _, _, path = member.name.partition("/")
            inner = path.removeprefix("vendor/llama.cpp/")
            kept = _COMPILED if inner != path else _OF_PYTHON
            if member.isfile() and inner.split("/")[0] in kept:
                slim.addfile(member, whole.extractfile(member))


def slim_bitsandbytes(wheel: Path, cuda: str) -> None:
    """Leave one of a wheel's libraries for CUDA in it, such as that of `130`."""
    kept = io.BytesIO()
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as slim:
        for name in whole.namelist():
            of_cuda = "libbitsandbytes_" in name
            if not of_cuda or f"_cuda{cuda}" in name or "_cpu" in name:
                slim.writestr(name, whole.read(name))
    wheel.write_bytes(kept.getvalue())


def _fetch(out: Path, python: str, there: Iterable[str]) -> None:
    wanted, built = out / "wanted.txt", out / "built.txt"
    pins = pins_to_carry(there)
    for file, of_source in ((wanted, False), (built, True)):
        held = (pin.requirement() for pin in pins if (pin.name in _ONLY_SOURCE) == of_source)
        file.write_text("\n".join(held) + "\n", encoding="utf-8")
    # the environment of set-up that builds llama.cpp: what its sources ask for is there
    builder = [places().python, "-m", "pip"]
    pip = [*builder, "download", "--quiet", "--no-deps", "--dest", str(out)]
    wheels = [*builder, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out)]
    subprocess.run([*wheels, "--require-hashes", "--requirement", str(built)], check=True)
    platforms = [word for tag in ("2_28", "2_27", "2_24", "2_17", "2014") for word in ("--platform", _platform(tag))]
    binary = ("--only-binary", ":all:", "--python-version", python, *platforms)
    subprocess.run([*pip, *binary, "--require-hashes", "--requirement", str(wanted)], check=True)
    sdist = ("--no-build-isolation", "--no-binary", LLAMA)
    subprocess.run([*pip, *sdist, f"{LLAMA}=={version_of(LLAMA)}"], check=True)
    wanted.unlink()
    built.unlink()


def _platform(tag: str) -> str:
    return f"manylinux{tag}_x86_64" if tag.startswith("20") else f"manylinux_{tag}_x86_64"


def main() -> None:
    """Fetch, slim, lay out, and say what is where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/gpu-kit"))
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--cuda", default="130", help="of which bitsandbytes keeps its library")
    parser.add_argument("--there", default=THERE, help="packages that the machine has")
    parser.add_argument("--model", action="store_true", help="carry the default model too")
    parser.add_argument("--llama", type=Path, help="carry this wheel of llama.cpp, of `python -m data.cuda --wheel`")
    parser.add_argument("--fetched", type=Path, help="a folder of what was fetched before, in place of fetching")
    given = parser.parse_args()
    files = given.out / "files"
    shutil.rmtree(given.out, ignore_errors=True)
    files.mkdir(parents=True)
    if given.fetched:
        shutil.copytree(given.fetched, files, dirs_exist_ok=True)
    else:
        _fetch(files, given.python, given.there.split())
    (sdist,) = files.glob("llama_cpp_python-*.tar.gz")
    slim_sources(sdist, files / f"{sdist.name.removesuffix('.tar.gz')}.tar.xz")
    sdist.unlink()
    if given.llama:
        shutil.copy(given.llama, files)
    for wheel in files.glob("bitsandbytes-*.whl"):
        slim_bitsandbytes(wheel, given.cuda)
    if given.model and (path := KNOWN[DEFAULT].path) is not None:
        shutil.copy(path, files / path.name)
    for folder in lay_out(sorted(files.iterdir()), given.out):
        held = sorted(folder.iterdir())
        print(f"{folder}: {len(held) - 1} files, {sum(file.stat().st_size for file in held) / 2**20:.1f} MiB")
    shutil.rmtree(files)


if __name__ == "__main__":
    main()
