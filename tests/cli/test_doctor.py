"""The command doctor: what is fit, what is not, and a crash distinguished from a bad file."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from selfguide_lite import doctor
from selfguide_lite.cli import main
from selfguide_lite.core.resources import resource
from selfguide_lite.llm.llama import Tuning
from selfguide_lite.llm.native import Model
from selfguide_lite.llm.tuning import Measured, keep


def checks(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = CliRunner().invoke(main, ["doctor", "--json", *arguments])
    return done.exit_code, {check["name"]: check for check in json.loads(done.output)["checks"]}


@pytest.mark.slow
def test_this_machine_is_fit() -> None:
    status, found = checks()
    assert status == 0, found
    assert found["llama.cpp"]["status"] == found["SQLite"]["status"] == "green"
    assert "tokens decoded" in found["model"]["value"]
    assert found["model"]["status"] == "yellow" and "model of the tests" in found["model"]["advice"]
    assert {"Python", "CPU features", "GPU", "memory", "disk", "compiler", "cache", "terminal"} <= set(found)
    assert all(check["advice"] for check in found.values() if check["status"] != "green")
    assert "tiny-vicuna.gguf needs about" in found["memory"]["value"] and "to be finetuned" in found["memory"]["value"]
    assert "a run with tiny-vicuna.gguf takes up to" in found["disk"]["value"]


@pytest.mark.slow
def test_the_measured_settings_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFGUIDE_CACHE", str(tmp_path / "cache"))
    assert "not measured yet" in checks()[1]["engine"]["value"]
    path = resource("data/tiny_vicuna/tiny-vicuna.gguf")
    model = Model(path)
    keep(path, model, [Measured(Tuning(workers=3, threads=2, parallel=24, parallel_own=4), 100.0, 50.0, 2.0)])
    model.close()
    told = "3 workers, each with 2 threads, 24 sequences (4 where little is shared); flash attention off (measured)"
    assert checks()[1]["engine"]["value"] == told


def test_a_bad_file_is_told_apart_from_a_crash(tmp_path: Path) -> None:
    bad = tmp_path / "cut.gguf"
    bad.write_bytes(resource("data/tiny_vicuna/tiny-vicuna.gguf").read_bytes()[:200_000])
    told = {check.name: check for check in doctor._llama(bad)}
    assert told["llama.cpp"].status == "green" and told["model"].status == "red"
    assert "damaged" in told["model"].advice or "get the file again" in told["model"].advice


def test_a_crash_at_the_first_decode_tells_how_to_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real child that dies by the signal that AMX builds die by, once the model is loaded."""
    # Python runs sitecustomize at its start: here it makes the engine's decode a segmentation fault.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if 'selfguide_lite.doctor' in sys.orig_argv:\n"
        "    from selfguide_lite.llm.llama import LlamaEngine\n"
        "    LlamaEngine.complete = lambda *_: os.kill(os.getpid(), signal.SIGSEGV)\n",
        encoding="utf-8",
    )
    root = Path(doctor.__file__).resolve().parents[1]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(root))))
    told = {check.name: check for check in doctor._llama(resource("data/tiny_vicuna/tiny-vicuna.gguf"))}
    assert told["model"].status == "red" and signal.Signals.SIGSEGV.name in told["model"].value
    assert "`selfguide setup`" in told["model"].advice


def test_a_missing_model_is_red_with_advice(tmp_path: Path) -> None:
    model = next(check for check in doctor.examine(tmp_path / "none.gguf") if check.name == "model")
    assert model.status == "red" and "no such model file" in model.value and "-m" in model.advice


def test_what_the_machine_lacks_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of NVIDIA's and a compiler that stand on the path, or do not."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor._compiler().status == "yellow" and "apt install" in doctor._compiler().advice
    for name, said in (("cc", "cc 13.2"), ("nvidia-smi", "Card A, 8192 MiB, 550.1"), ("nvcc", "cuda, release 12.4, x")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)
        if name == "nvidia-smi":
            lacks = doctor._cards(offload=False)
    assert doctor._compiler() == doctor.Check("compiler", "green", "cc 13.2")
    assert lacks.status == "yellow" and "driver 550.1" in lacks.value and "selfguide setup" in lacks.advice
    used = doctor._cards(offload=True)
    assert used.status == "green" and used.value == "Card A, 8192 MiB, driver 550.1, CUDA toolkit 12.4, used"
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    full = doctor._disk(resource("data/tiny_vicuna/tiny-vicuna.gguf"))
    assert full.status == "yellow" and "SELFGUIDE_CACHE" in full.advice


def test_a_terminal_without_unicode_and_colour_ends_no_command(tmp_path: Path) -> None:
    """A text with signs that the terminal lacks is shown with ? in their place."""
    task = tmp_path / "task.yaml"
    task.write_text("name: x\nkind: 好\n", encoding="utf-8")
    env = {**os.environ, "PYTHONIOENCODING": "latin-1", "TERM": "dumb", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "selfguide_lite", "check", str(task)]
    done = subprocess.run(command, capture_output=True, env=env, check=False)
    assert done.returncode == 1 and b"no kind of task '?'" in done.stdout and b"\x1b" not in done.stdout, done
    assert done.stderr == b""
