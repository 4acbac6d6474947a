"""A server that answers anything at all: each request gets a completion, or one clear line."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from needs import needs
from robustness_counts import count

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.llm.base import Request
from selfguide_lite.llm.server import ServerEngine, ServerOptions

needs("openai", "needs the extra `server`")

pytestmark = pytest.mark.slow

MODELS = json.dumps({"object": "list", "data": [{"id": "noise", "object": "model"}]}).encode()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
MESSAGES = st.fixed_dictionaries({}, optional={"role": VALUES, "content": st.text(max_size=20) | VALUES})
REASONS = st.sampled_from(["stop", "length", "content_filter", None]) | VALUES
CHOICES = st.fixed_dictionaries(
    {}, optional={"message": MESSAGES | VALUES, "text": st.text(max_size=20) | VALUES, "finish_reason": REASONS}
)
USAGE = st.fixed_dictionaries({}, optional={"prompt_tokens": VALUES, "completion_tokens": VALUES})
REPLIES = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(CHOICES | VALUES, max_size=2) | VALUES, "usage": USAGE | VALUES, "error": VALUES}
)
BODIES = st.builds(lambda value: json.dumps(value).encode(), REPLIES | VALUES) | st.binary(max_size=60)


class Anything:
    """What the server says next."""

    status, body, kind = 200, b"", "application/json"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, type[Anything]]]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._say(200, MODELS, "application/json")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._say(Anything.status, Anything.body, Anything.kind)

        def _say(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}/v1", Anything
    served.shutdown()
    served.server_close()


@pytest.fixture(scope="module")
def engine(server: tuple[str, type[Anything]]) -> Iterator[ServerEngine]:
    with ServerEngine(server[0], options=ServerOptions(concurrency=2, timeout=20, retries=0)) as found:
        yield found


@given(
    body=BODIES,
    status=st.sampled_from([200, 200, 200, 200, 201, 204, 400, 401, 404, 422, 429, 500, 503]),
    kind=st.sampled_from(["application/json", "application/json", "text/html", "text/event-stream"]),
    chat=st.booleans(),
)
@example(
    body=b'{"choices": [{"message": null, "finish_reason": "stop"}]}', status=200, kind="application/json", chat=True
)
@example(body=b'{"choices": {"0": 1}}', status=200, kind="application/json", chat=True)
@example(body=b'{"choices": [{"text": 5, "finish_reason": "stop"}]}', status=200, kind="application/json", chat=False)
@example(body=b'"text"', status=200, kind="application/json", chat=True)
@example(
    body=b'{"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": "x"}}',
    status=200, kind="application/json", chat=True,
)  # fmt: skip
def test_any_answer(body: bytes, status: int, kind: str, chat: bool, engine: ServerEngine) -> None:
    Anything.status, Anything.body, Anything.kind = status, b"" if status == 204 else body, kind
    messages = (Message("user", "hello"),) if chat else "hello"
    try:
        found = list(engine.complete([Request(key="a", messages=messages, n=2, max_tokens=4)]))
    except SelfguideError as error:
        assert "\n" not in str(error) and engine.info.path in str(error)
    else:
        assert sorted(done.sample for done in found) == [0, 1]
        for done in found:
            assert isinstance(done.text, str) and isinstance(done.prompt_tokens, int)
            assert isinstance(done.completion_tokens, int)
            assert (done.finish_reason == "error") == (done.error is not None)
            done.text.encode("utf-8", "surrogatepass")
    count("inputs")
