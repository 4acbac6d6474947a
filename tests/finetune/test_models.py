"""Getting a model: from a small hub on loopback that breaks, lies and refuses."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONTENT = b"GGUF" + bytes(range(256)) * 120_000  # several of the client's blocks of 10 MB
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the small hub does and what it saw.

    :param breaks: how many downloads end in the middle
    """

    port: int = 0
    breaks: int = 0
    content: bytes = CONTENT
    sha256: str = hashlib.sha256(CONTENT).hexdigest()
    status: int = 200
    error: str = ""
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            if "/resolve/" not in self.path or state.status != 200:
                status = state.status if state.status != 200 else 404
                self.send_response(status)
                if state.error:
                    self.send_header("X-Error-Code", state.error)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = 0
            asked = self.headers.get("Range")
            if body:
                state.ranges.append(asked)
            if asked and (match := re.match(r"bytes=(\d+)-", asked)):
                start = int(match[1])
            data = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{state.sha256}"')
            self.send_header("X-Linked-Etag", f'"{state.sha256}"')
            self.send_header("X-Linked-Size", str(len(state.content)))
            self.send_header("Accept-Ranges", "bytes")
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if not body:
                return
            if state.breaks:
                state.breaks -= 1
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(2)
                return
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()


def selfguide(hub: Hub | None, cache: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_OFFLINE")}
    port = hub.port if hub else 9  # the discard port: nobody answers
    environment |= {
        "SELFGUIDE_CACHE": str(cache),
        "HF_HOME": str(cache / "hf-home"),
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_HUB_DOWNLOAD_TIMEOUT": "5",
    }
    return subprocess.run(
        [sys.executable, "-m", "selfguide_lite", "models", *words],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120, check=False,
    )  # fmt: skip


def refused(done: "subprocess.CompletedProcess[str]", words: str) -> None:
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ") and re.search(words, last), done.stderr
    assert "Traceback" not in done.stderr


def test_pull_by_name_and_list_and_remove(hub: Hub, tmp_path: Path) -> None:
    done = selfguide(hub, tmp_path, "pull", "vicuna-7b-v1.5")
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.read_bytes() == CONTENT
    assert path.name == "vicuna-7b-v1.5.Q4_K_M.gguf"
    again = selfguide(hub, tmp_path, "pull", "vicuna-7b-v1.5")
    assert again.returncode == 0 and len(hub.ranges) == 1  # not got twice
    (found,) = json.loads(selfguide(None, tmp_path, "--json").stdout)
    assert found["path"] == str(path) and found["bytes"] == len(CONTENT)
    assert selfguide(None, tmp_path, "remove", found["name"]).returncode == 0
    assert not path.exists()
    refused(selfguide(None, tmp_path, "remove", found["name"]), "not in the cache")


def test_a_download_that_breaks_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.breaks = 1
    name = "someone/some-models/deep/model.gguf"
    done = selfguide(hub, tmp_path, "pull", name)
    if done.returncode:  # the client may try again by itself or leave it to the user
        refused(done, "goes on where")
        done = selfguide(hub, tmp_path, "pull", name)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == CONTENT
    assert hub.ranges[0] is None
    assert hub.ranges[1] is not None and hub.ranges[1].startswith("bytes=")


def test_a_wrong_file_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.content = b"<html>" + CONTENT
    refused(selfguide(hub, tmp_path, "pull", "someone/some-models/model.gguf"), "checksum|not a GGUF")
    assert not list(tmp_path.glob("models/**/model.gguf"))


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, "RepoNotFound", "no such repository"),
        (404, "EntryNotFound", "has no file"),
        (403, "GatedRepo", "owner must grant access"),
    ],
)
def test_refusals(hub: Hub, tmp_path: Path, status: int, error: str, words: str) -> None:
    hub.status, hub.error = status, error
    refused(selfguide(hub, tmp_path, "pull", "someone/some-models/model.gguf"), words)


def test_no_hub(tmp_path: Path) -> None:
    refused(selfguide(None, tmp_path, "pull", "vicuna-7b-v1.5"), "cannot be reached")


@pytest.mark.parametrize("name", ["vicuna", "a/b", "a/b/c.bin", "a/../c.gguf", "a//c.gguf"])
def test_names(name: str) -> None:
    from selfguide_lite.core.errors import SelfguideError
    from selfguide_lite.models import pull

    with pytest.raises(SelfguideError, match="no model's name"):
        pull(name)
