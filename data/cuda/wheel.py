"""Packs llama.cpp's built libraries as a wheel with each library once. Needs Python alone, and uses `strip`.

The usual wheel holds every library under three names, as three copies: with CUDA's kernels 160 MB in place of 54. What
is loaded are `libllama.so` and `libggml.so`, by Python, and what they need, by the name with the first number.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

_LOADED = re.compile(r"lib(llama|ggml)\.so|lib[\w-]+\.so\.\d+")
_NAME = "llama_cpp_python"
_METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
_NEEDS = ("typing-extensions>=4.5.0", "numpy>=1.20.0", "diskcache>=5.6.1", "jinja2>=2.11.3")
_WHEEL = "Wheel-Version: 1.0\nGenerator: selfguide-lite\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n"


def pack(package: Path, libraries: Path, version: str, out: Path) -> Path:
    """Write a wheel of llama-cpp-python and return its path.

    :param package: the folder `llama_cpp` of its sources or of an unpacked wheel
    :param libraries: a folder with the built libraries
    :param out: the folder for the wheel
    :raises FileNotFoundError: where `libllama.so` is not among the libraries
    """
    (libraries / "libllama.so").resolve(strict=True)
    out.mkdir(parents=True, exist_ok=True)
    wheel, info = out / f"{_NAME}-{version}-py3-none-linux_x86_64.whl", f"{_NAME}-{version}.dist-info"
    record = []
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as packed:

        def add(name: str, data: bytes) -> None:
            packed.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(data)}\n")

        for file in sorted(package.rglob("*.py")):
            add(f"llama_cpp/{file.relative_to(package).as_posix()}", file.read_bytes())
        for file in sorted(libraries.glob("*.so*")):
            if _LOADED.fullmatch(file.name):
                add(f"llama_cpp/lib/{file.name}", _stripped(file, Path(scratch)))
        needs = "".join(f"Requires-Dist: {need}\n" for need in _NEEDS)
        add(f"{info}/METADATA", _METADATA.format(name=_NAME, version=version, needs=needs).encode())
        add(f"{info}/WHEEL", _WHEEL.encode())
        packed.writestr(f"{info}/RECORD", "".join([*record, f"{info}/RECORD,,\n"]))
    return wheel


def repack(wheel: Path, out: Path) -> Path:
    """Write a built wheel of llama-cpp-python anew with each library once, and return its path."""
    version = wheel.name.split("-")[1]
    with tempfile.TemporaryDirectory() as unpacked:
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(unpacked)
        package = Path(unpacked) / "llama_cpp"
        return pack(package, package / "lib", version, out)


def _stripped(library: Path, scratch: Path) -> bytes:
    """Return a library without the symbols that only a debugger reads."""
    copy = scratch / "library.so"
    shutil.copyfile(library, copy)
    if shutil.which("strip"):
        subprocess.run(["strip", "--strip-unneeded", str(copy)], check=True)
    return copy.read_bytes()
