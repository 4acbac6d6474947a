"""The key of a server: one variable, sent to the server that was named and nowhere else, in no message."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from needs import needs

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.llm.server import ServerEngine, ServerOptions

needs("openai", "needs the extra `server`")

KEY = "sk-secret-4711"
ONCE = ServerOptions(concurrency=1, timeout=20, retries=0)


class _Server(ThreadingHTTPServer):
    """Answers every request alike, and remembers what came with it."""

    def __init__(self, status: int, body: object, headers: dict[str, str]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = (status, json.dumps(body).encode(), headers)
        self.sent: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        self.server.sent.append(self.headers.get("Authorization"))
        status, data, headers = self.server.answer
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(status: int, body: object, headers: dict[str, str] | None = None) -> Iterator[tuple[str, _Server]]:
    server = _Server(status, body, headers or {})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", server
    finally:
        server.shutdown()
        server.server_close()


MODELS = {"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "x"}]}


@pytest.mark.slow
def test_one_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was set for another service is not handed to whatever server is named."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(200, MODELS) as (url, server):
        ServerEngine(url, options=ONCE).close()
        monkeypatch.setenv("SELFGUIDE_API_KEY", "mine")
        ServerEngine(url, options=ONCE).close()
    assert server.sent == ["Bearer none", "Bearer mine"]


@pytest.mark.slow
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_takes_neither_key_nor_request_elsewhere(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFGUIDE_API_KEY", KEY)
    with serving(200, MODELS) as (target, elsewhere):
        place = {"Location": f"{target}/models?key={KEY}"}
        with serving(status, {}, place) as (url, _), pytest.raises(SelfguideError) as caught:
            ServerEngine(url, options=ONCE)
    assert elsewhere.sent == []
    assert f"redirects to {target}/models?key=[the key], which is not followed" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 500])
def test_a_server_that_repeats_the_key_has_it_in_no_message(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFGUIDE_API_KEY", KEY)
    said = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": KEY}}
    with serving(status, said) as (url, server), pytest.raises(SelfguideError) as caught:
        ServerEngine(url, options=ONCE)
    assert server.sent[0] == f"Bearer {KEY}" and KEY not in str(caught.value) and "\n" not in str(caught.value)
