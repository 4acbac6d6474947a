"""The server engine against a real llama_cpp.server on loopback, also one that dies, and one that fails at first."""

import os
import signal
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from llama_servers import free_port, start
from needs import needs

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.fields import read_schema, sized
from selfguide_lite.gguf.random_model import Geometry, RandomWeights, write_random_llama
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.llm.base import Completion, Request, ScoreRequest
from selfguide_lite.llm.server import ServerEngine, ServerOptions

needs("openai", "needs the extra `server`")
needs("sse_starlette", "needs llama-cpp-python[server]")

pytestmark = pytest.mark.slow

QUICK = ServerOptions(concurrency=4, timeout=60, retries=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("server") / "model.gguf"
    return write_random_llama(
        path, Geometry(32, 1, 2, 1, 64, context=256), RandomWeights(sharpness=4), vocabulary="bpe"
    )


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[str]:
    process, url = start(model)
    yield url
    process.terminate()
    process.wait(20)


def ask(key: str, **options: object) -> Request:
    base = Request(key, (Message("user", "hello"),), temperature=1.0, max_tokens=6, seed=5)
    return replace(base, **options)  # type: ignore[arg-type]


def test_chats_and_texts(server: str) -> None:
    with ServerEngine(server, options=QUICK) as engine:
        assert engine.info.architecture == "server" and engine.info.path == server and len(engine.info.sha256) == 64
        done = list(engine.complete([ask("chat", n=3, top_k=5), ask("text", messages="the", n=2, stop=("e",))]))
        again = list(engine.complete([ask("chat", n=3, top_k=5)]))
        greedy = [c.text for c in engine.complete([ask("g", temperature=0.0, n=2)])]
    assert sorted((c.key, c.sample) for c in done) == [("chat", 0), ("chat", 1), ("chat", 2), ("text", 0), ("text", 1)]
    assert all(c.finish_reason in ("stop", "length") and c.prompt_tokens > 0 for c in done)
    assert all("e" not in c.text for c in done if c.key == "text")
    assert greedy[0] == greedy[1]
    assert len(again) == 3


def test_so_many_requests_are_under_way_as_the_environment_says(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFGUIDE_SERVER_CONCURRENCY", "2")
    most = taken = 0

    def requests() -> Iterator[Request]:
        nonlocal taken
        for number in range(8):
            taken += 1
            yield ask(f"k{number}", max_tokens=2)

    with ServerEngine(server) as engine:
        for back, _ in enumerate(engine.complete(requests()), 1):
            most = max(most, taken - back)
    assert taken == 8 and 1 <= most <= 2
    for wrong in ("0", "many", "1001"):
        monkeypatch.setenv("SELFGUIDE_SERVER_CONCURRENCY", wrong)
        with pytest.raises(SelfguideError, match=r"SELFGUIDE_SERVER_CONCURRENCY: .* is no number from 1 to 1000"):
            ServerOptions.from_environment()


def test_a_request_that_the_server_refuses_fails_alone(server: str) -> None:
    with ServerEngine(server, options=QUICK) as engine:
        done = {c.key: c for c in engine.complete([ask("long", messages="x " * 400), ask("fine")])}
    assert done["fine"].finish_reason != "error"
    assert done["long"].finish_reason == "error" and done["long"].error


def test_clear_errors(server: str) -> None:
    with pytest.raises(SelfguideError, match="no model 'none'"):
        ServerEngine(server, model="none", options=QUICK)
    with pytest.raises(SelfguideError, match="cannot connect"):
        ServerEngine(f"http://127.0.0.1:{free_port()}/v1", options=QUICK)
    with pytest.raises(SelfguideError, match="SELFGUIDE_API_KEY"):
        ServerEngine("http://name:secret@127.0.0.1/v1", options=QUICK)
    with pytest.raises(SelfguideError, match="base URL"):
        ServerEngine("localhost:8000", options=QUICK)
    engine = open_engine(options=EngineOptions(server=server))
    with pytest.raises(SelfguideError, match="--set method=sample"):
        list(engine.score([ScoreRequest("k", "text", ("a",))]))
    assert engine.count_tokens("hello") > 0 and engine.count_tokens((Message("user", "hello"),)) > 0
    engine.close()
    with pytest.raises(SelfguideError, match="adapter"):
        open_engine(options=EngineOptions(server=server), adapter=Path("adapter.gguf"))


def test_a_server_that_dies_in_the_middle(model: Path) -> None:
    """What came back before is kept; the rest is one clear line."""
    process, url = start(model)
    done: list[Completion] = []

    def endless() -> Iterator[Request]:
        number = 0
        while True:
            number += 1
            yield ask(f"k{number}", max_tokens=2)

    try:
        with ServerEngine(url, options=QUICK) as engine, pytest.raises(SelfguideError, match="cannot connect"):
            for completion in engine.complete(endless()):
                done.append(completion)
                if len(done) == 5:
                    os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait(20)
    assert len(done) >= 5 and all(c.finish_reason != "error" for c in done)


class _Moody(BaseHTTPRequestHandler):
    """Forwards to a real server, after failing the first calls in the ways that are worth another try."""

    target = ""
    moods: list[int] = []  # noqa: RUF012
    keys: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self._forward(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).keys.append(self.headers.get("Authorization", ""))
        if self.moods:
            mood = self.moods.pop()
            if mood == 0:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(mood)
            self.send_header("Retry-After", "0.01")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._forward(body)

    def _forward(self, body: bytes | None) -> None:
        request = urllib.request.Request(self.target + self.path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            data = reply.read()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_failures_that_pass_are_tried_again(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFGUIDE_API_KEY", "the-key")
    _Moody.target = server.removesuffix("/v1")
    _Moody.moods[:] = [429, 503, 0, 500]
    front = ThreadingHTTPServer(("127.0.0.1", 0), _Moody)
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{front.server_port}/v1"
        with ServerEngine(url, options=replace(QUICK, retries=5)) as engine:
            done = list(engine.complete([ask(f"k{n}") for n in range(4)]))
            assert "the-key" not in repr(engine.info)
    finally:
        front.shutdown()
        front.server_close()
        thread.join()
    assert len(done) == 4 and all(c.finish_reason != "error" for c in done) and not _Moody.moods
    assert set(_Moody.keys) == {"Bearer the-key"}


def test_a_server_without_json_schema_is_named(server: str) -> None:
    """llama-cpp-python's server knows `json_object` alone; llama.cpp's own and vLLM know `json_schema`."""
    schema = sized(read_schema({"name": "string"}), [])
    with ServerEngine(server, options=QUICK) as engine:
        assert engine.smallest_object(schema) > 4
        with pytest.raises(SelfguideError, match="does not take response_format json_schema"):
            list(engine.complete([ask("object", schema=schema)]))
