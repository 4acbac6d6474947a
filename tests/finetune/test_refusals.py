"""What cannot be trained, exported or asked is refused in one line, through the real command."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from datasets_for_tests import filled
from lacking import run_lacking
from llamas import random_llama, random_lora
from needs import needs

from selfguide_lite.cli import main
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.resources import resource
from selfguide_lite.gguf.adapter import write_adapter

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = resource("data/tiny_vicuna/tiny-vicuna.gguf")

# The machine has less memory than it has.
LITTLE = """
if free := os.environ.get("FREE"):
    import psutil
    told = psutil.virtual_memory()
    psutil.virtual_memory = lambda: told._replace(available=int(free))
"""


def train_elsewhere(tmp_path: Path, *words: object, **machine: str) -> "subprocess.CompletedProcess[str]":
    """Train on a machine that lacks something."""
    db = filled(tmp_path / "colours.db", n=8)
    cache = {"SELFGUIDE_CACHE": str(tmp_path / "cache")}
    return run_lacking(["train", "-d", db, "-m", TINY, *words], tmp_path / "site", ROOT, cache | machine, LITTLE)


def refusal(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize("hidden", ["torch", "unsloth trl"])
def test_without_the_packages(tmp_path: Path, hidden: str) -> None:
    line = refusal(train_elsewhere(tmp_path, HIDDEN=hidden))
    assert all(name in line for name in hidden.split())
    assert "`selfguide setup`" in line


def test_with_too_little_memory(tmp_path: Path) -> None:
    """Said before the weights are even unpacked."""
    needs("unsloth")
    line = refusal(train_elsewhere(tmp_path, "--bits", 4, FREE=str(500 * 2**20)))
    assert "this machine has 0.5 GiB free" in line and "GiB too little" in line and "--batch-size" in line
    assert not (tmp_path / "cache" / "hf").exists()


def asked(*words: object) -> str:
    """Run a command that must be refused and return the line."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 1, done.output
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def test_models_that_cannot_be_trained(tmp_path: Path) -> None:
    db, llama = filled(tmp_path / "colours.db", n=4), random_llama(tmp_path)
    raw, model = llama.read_bytes(), tmp_path / "model.gguf"

    def train_on(content: bytes) -> str:
        model.write_bytes(content)
        line = asked("train", "-d", db, "-m", model)
        assert str(model) in line
        return line

    assert "its architecture is `qwen9`" in train_on(raw.replace(b"llama", b"qwen9"))
    for share in (0.001, 0.3, 0.999):
        assert "damaged or cut short" in train_on(raw[: int(share * len(raw))])
    assert "not a GGUF model file" in train_on(b"no model")
    adapter = write_adapter(random_lora(tmp_path / "lora", llama), llama, tmp_path / "adapter.gguf")
    assert "adapter" in train_on(adapter.read_bytes())


def test_an_adapter_for_another_base(tmp_path: Path) -> None:
    db, llama = filled(tmp_path / "colours.db", n=4), random_llama(tmp_path)
    adapter = write_adapter(random_lora(tmp_path / "lora", llama), llama, tmp_path / "adapter.gguf")
    out = tmp_path / "out.gguf"
    for words in (["predict", "a sky"], ["export", "--to", "hf", "-o", out], ["export", "--to", "ollama", "-o", out]):
        line = asked(words[0], "-d", db, "-m", TINY, "-a", adapter, *words[1:])
        assert file_sha256(llama)[:12] in line and file_sha256(TINY)[:12] in line
        assert not out.exists()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(adapter.read_bytes()[:-100])
    assert "damaged or cut short" in asked("predict", "-d", db, "-m", llama, "-a", cut, "a sky")
    assert "no LoRA adapter" in asked("predict", "-d", db, "-m", llama, "-a", llama, "a sky")
    done = CliRunner().invoke(main, ["predict", "-d", str(db), "-m", str(llama), "-a", str(adapter), "--json", "a sky"])
    assert done.exit_code == 0 and json.loads(done.stdout)["input"] == "a sky"
