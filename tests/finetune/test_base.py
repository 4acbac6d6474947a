"""Weights from a Hugging Face folder of one's own: found, got from a hub, or refused before anything is loaded."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llamas import random_llama

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.finetune.base import base_folder
from selfguide_lite.gguf import to_hf
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.to_hf import hf_folder

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GgufFile]:
    with GgufFile(random_llama(tmp_path_factory.mktemp("llama"), "multi-head tied")) as opened:
        yield opened


@pytest.fixture
def folder(gguf: GgufFile, tmp_path: Path) -> Path:
    """A folder of that very model, to be spoilt."""
    copy = tmp_path / "model"
    shutil.copytree(hf_folder(gguf.path), copy)
    return copy


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def tensors(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    path = folder / "model.safetensors"
    held = dict(numpy.load_file(path))
    edit(held)
    numpy.save_file(held, path)


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def missing_shard(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def other_words(folder: Path) -> None:
    path = folder / "tokenizer.json"
    held = json.loads(path.read_text())
    words = held["model"]["vocab"]
    held["model"]["vocab"] = dict(zip(words, [*list(words.values())[1:], 0], strict=True))
    path.write_text(json.dumps(held))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not a JSON object"),
        (lambda folder: change(folder / "config.json", model_type="gpt2"), "architecture is 'gpt2'"),
        (lambda folder: change(folder / "config.json", vocab_size=99), "vocab_size is 99"),
        (lambda folder: change(folder / "config.json", num_key_value_heads=1), "num_key_value_heads is 1"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer"),
        (other_words, "tokens in its tokenizer.json are not the GGUF's"),
        (
            lambda folder: (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": "x"}}}'),
            "no list of tokens",
        ),
        (lambda folder: (folder / "tokenizer.json").write_text('{"model": {"vocab": [5, []]}}'), "no list of tokens"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": 5}'), "no weight_map"),
        (pickled, "pickle files"),
        (missing_shard, "no model-00001-of-00002.safetensors"),
        (cut, "damaged or cut short"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 64), "damaged or cut short"),
        (lambda folder: tensors(folder, lambda held: held.pop("model.layers.1.mlp.up_proj.weight")), "lack"),
        (
            lambda folder: tensors(
                folder, lambda held: held.update({"model.embed_tokens.weight": np.zeros((3, 64), np.float32)})
            ),
            r"embed_tokens.weight is \[3, 64\]",
        ),
        (
            lambda folder: tensors(
                folder, lambda held: held.update({"model.norm.weight": np.ones(64, np.float32) * 2})
            ),
            "last norm has other weights",
        ),
    ],
)
def test_refused(folder: Path, gguf: GgufFile, spoil: Callable[[Path], object], words: str) -> None:
    spoil(folder)
    with pytest.raises(SelfguideError, match=words) as refusal:
        base_folder(str(folder), gguf)
    assert "\n" not in str(refusal.value) and str(folder) in str(refusal.value)


def test_the_very_model_is_taken(folder: Path, gguf: GgufFile) -> None:
    assert base_folder(str(folder), gguf) == folder
    change(folder / "config.json", model_type="mistral", head_dim=None)
    tensors(folder, lambda held: held.update({"model.norm.weight": held["model.norm.weight"].astype(np.float16)}))
    assert base_folder(str(folder), gguf) == folder


def test_shards_are_taken(gguf: GgufFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_hf, "SHARD_BYTES", 60_000)
    to_hf.write_hf(gguf, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert base_folder(str(tmp_path), gguf) == tmp_path
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(SelfguideError, match="no model-00002"):
        base_folder(str(tmp_path), gguf)


@pytest.mark.parametrize("name", ["no/such/folder", "nothing", "./model", "a file"])
def test_neither_folder_nor_name(gguf: GgufFile, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file").touch()
    with pytest.raises(SelfguideError, match="no such folder, and not a name at the hub"):
        base_folder(name, gguf)


FETCH = """
import sys
from pathlib import Path
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.finetune.base import base_folder
from selfguide_lite.gguf.reader import GgufFile
try:
    print(base_folder(sys.argv[1], GgufFile(Path(sys.argv[2]))))
except SelfguideError as error:
    sys.exit(f"Error: {error}")
"""


@pytest.mark.slow
def test_from_a_hub_without_its_pickles(folder: Path, gguf: GgufFile, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    (folder / "pytorch_model.bin").write_bytes(b"never to be loaded")
    asked: list[str] = []

    class Hub(SimpleHTTPRequestHandler):
        """A hub of one model, someone/model."""

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            asked.append(self.path)
            data = b""
            if self.path.startswith("/api/models/someone/model/revision/main"):
                files = [{"rfilename": path.name} for path in folder.iterdir()]
                data = json.dumps({"id": "someone/model", "sha": COMMIT, "siblings": files}).encode()
            elif self.path.startswith("/api/models/someone/model/tree/"):
                files = [
                    {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": path.name}
                    for path in folder.iterdir()
                ]
                data = json.dumps(files).encode()
            elif self.path.startswith("/someone/model/resolve/"):
                data = (folder / self.path.rpartition("/")[2]).read_bytes()
            self.send_response(200 if data else 404)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{self.path}"'.replace("/", "-"))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def fetch(name: str) -> "subprocess.CompletedProcess[str]":
        environment = {key: value for key, value in os.environ.items() if not key.endswith("_OFFLINE")}
        environment |= {"HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}"}
        return subprocess.run(
            [sys.executable, "-c", FETCH, name, gguf.path],
            capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120, check=False,
        )  # fmt: skip

    try:
        done = fetch("someone/model")
        assert done.returncode == 0, done.stderr
        got = Path(done.stdout.strip())
        assert (got / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
        assert not (got / "pytorch_model.bin").exists()
        assert not any("pytorch_model.bin" in path for path in asked if "/resolve/" in path)
        gone = fetch("someone/other")
        assert gone.returncode == 1
        assert "the hub does not give it" in gone.stderr and "Traceback" not in gone.stderr
    finally:
        server.shutdown()
        server.server_close()
