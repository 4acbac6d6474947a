"""The kit for a machine with a card: what is packed comes out whole, and the check runs to its end without a card."""

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from needs import needs

from selfguide_lite.bench.caches import caches
from selfguide_lite.bench.contenders import CONTENDERS
from selfguide_lite.core.resources import resource

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from kit import pins_to_carry, slim_bitsandbytes, slim_sources  # noqa: E402
from parts import join, lay_out  # noqa: E402
from pieces import beside_records, cublas_of_torch, ratios  # noqa: E402
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


@pytest.mark.proof
def test_training_is_measured_beside_plain_peft() -> None:
    """As on a card, with a tiny model and few short rows: the losses are those of plain PEFT."""
    needs("unsloth")
    found: dict[str, Any] = {"peak_tflops_bf16": 1.0}
    lines = "import sys, json, train_card as t; t.ROWS, t.LENGTH, t.BATCH = 6, 24, 2"
    for key, plain in (("16 bits, all GB", "False"), ("16 bits, all GB plain", "True")):
        code = f"{lines}; print(json.dumps(t.train('tiny', 16, 12, {plain})))"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join((str(HERE.parents[1]), str(HERE)))},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found[key] = json.loads(done.stdout.splitlines()[-1])
        assert len(found[key]["losses"]) == 3 and found[key]["estimate_gb"] > 0
    told = ratios(found)
    assert told["16 bits, losses apart"] < 0.01 and told["16 bits, speed over plain"] > 0
    assert {"16 bits, of the peak", "16 bits, memory over plain"} <= set(told) and not any("4 " in key for key in told)


def test_caches_of_all_types_are_measured() -> None:
    found = caches(resource("data/tiny_vicuna/tiny-vicuna.gguf"), at_once=(2, 4), room=300)
    assert list(found) == ["f16", "q8_0", "q4_0"]
    for told in found.values():
        assert told["ended"] == "all tried" and all(told["tokens_per_second"][number] > 0 for number in (2, 4))
    assert found["f16"]["apart"] < 1e-3 < found["q4_0"]["apart"] < 0.5
    assert found["q8_0"]["apart"] < found["q4_0"]["apart"]
    assert "caches" in CONTENDERS


def test_a_gain_is_put_beside_the_records_of_a_processor() -> None:
    assert beside_records("junk-offers", None) == {"status": "no record"}
    assert beside_records("sms-spam", None)["status"] == "no gain here"
    near, far = {"low": 0.05, "high": 0.3}, {"low": 0.6, "high": 0.7}
    assert beside_records("sms-spam", near)["status"] == "the same"
    told = beside_records("sms-spam", far)
    assert told["status"] == "another" and told["records"] > 0 and told["met"] == 0


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
