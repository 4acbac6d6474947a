"""The kit for a machine with a card: what is packed comes out whole, and the check runs to its end without a card."""

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from kit import pins_to_carry, slim_bitsandbytes, slim_sources  # noqa: E402
from parts import join, lay_out  # noqa: E402
from pieces import cublas_of_torch  # noqa: E402
from unpack import missing  # noqa: E402

pytestmark = pytest.mark.slow


def test_what_is_laid_out_is_joined_again(tmp_path: Path) -> None:
    files = []
    for name, size in (("large", 2500), ("middle", 700), ("small", 10), ("empty", 0), ("other", 300)):
        path = tmp_path / name
        path.write_bytes(os.urandom(size))
        files.append(path)
    folders = lay_out(files, tmp_path / "kit", largest=1000)
    assert [folder.name for folder in folders] == ["part-1", "part-2", "part-3", "part-4"]
    for folder in folders:
        assert sum(path.stat().st_size for path in folder.iterdir() if path.name != "manifest.json") <= 1000
    assert join(tmp_path / "kit", tmp_path / "out") == []
    assert all((tmp_path / "out" / path.name).read_bytes() == path.read_bytes() for path in files)
    piece = next((tmp_path / "kit").glob("*/large.001"))
    piece.write_bytes(piece.read_bytes()[:-1] + b"?")
    assert join(tmp_path / "kit", tmp_path / "again") == ["large"] and not (tmp_path / "again" / "large").exists()


def test_sources_and_bitsandbytes_are_slimmed(tmp_path: Path) -> None:
    inner = ("ggml/src/ggml.c", "models/big.gguf", "tools/server/server.cpp", "src/llama.cpp", "CMakeLists.txt")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name in (*(f"a-1/vendor/llama.cpp/{one}" for one in inner), "a-1/pyproject.toml", "a-1/docs/x.md"):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
    slim_sources(tmp_path / "a.tar.gz", tmp_path / "a.tar.xz")
    with tarfile.open(tmp_path / "a.tar.xz") as slim:
        assert [name.removeprefix("a-1/") for name in slim.getnames()] == [
            "vendor/llama.cpp/ggml/src/ggml.c",
            "vendor/llama.cpp/src/llama.cpp",
            "vendor/llama.cpp/CMakeLists.txt",
            "pyproject.toml",
        ]
    names = [f"bitsandbytes/libbitsandbytes_{one}.so" for one in ("cuda128", "cuda130", "cpu", "rocm62")]
    with zipfile.ZipFile(tmp_path / "b.whl", "w") as wheel:
        for name in (*names, "bitsandbytes/__init__.py"):
            wheel.writestr(name, name)
    slim_bitsandbytes(tmp_path / "b.whl", "130")
    assert zipfile.ZipFile(tmp_path / "b.whl").namelist() == [names[1], names[2], "bitsandbytes/__init__.py"]


def test_torch_s_cublas_completes_a_toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lib = tmp_path / "site" / "nvidia" / "cu13" / "lib"
    lib.mkdir(parents=True)
    for name in ("libcublas.so.13", "libcublasLt.so.13"):
        (lib / name).write_text(name)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for _ in range(2):
        option, more = cublas_of_torch(tmp_path / "links")
    assert option == f"-DCMAKE_LIBRARY_PATH={tmp_path / 'links'}" and str(lib) in more["LDFLAGS"]
    assert (tmp_path / "links" / "libcublasLt.so").read_text() == "libcublasLt.so.13"


def test_what_is_carried_and_what_is_there() -> None:
    names = {pin.name for pin in pins_to_carry(["torch", "transformers"])}
    assert {"unsloth", "trl", "bitsandbytes", "sqlite-utils", "scikit-build-core"} <= names
    assert not names & {"torch", "transformers", "llama-cpp-python"} and not any("nvidia" in name for name in names)
    wheels = [Path("click-8.0-py3-none-any.whl"), Path("Not_There.At-1-py3-none-any.whl")]
    assert missing(wheels) == wheels[1:]


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a card")
def test_the_check_runs_to_its_end_without_a_card(tmp_path: Path) -> None:
    environment = os.environ | {"OUT": str(tmp_path), "PIECES": "a b d c e", "PYTHON": sys.executable}
    done = subprocess.run([str(HERE / "check.sh")], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    statuses = {piece["name"]: piece["status"] for piece in told["pieces"]}
    assert statuses == {"a": "done", "b": "done", "d": "no card", "c": "no card", "e": "no card"}
    found = told["pieces"][0]["found"]
    assert found["card"] == "none" and found["packages"]["numpy"] != "missing" and found["cores"] == os.cpu_count()
    assert "| d | LoRA on a random 7B in 4 and 16 bits | no card |" in (tmp_path / "check.md").read_text(
        encoding="utf-8"
    )
