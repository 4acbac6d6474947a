"""The real server on loopback: what it answers is what `predict` answers, for one client and for many at once."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from answering_model import CALIBRATED, TINY, answering, inputs
from needs import needs

from selfguide_lite import PredictOptions, SelfguideError, load
from selfguide_lite.prediction import Predictor
from selfguide_lite.serve import ServeOptions
from selfguide_lite.serve.queueing import Answerer

needs("fastapi", "needs fastapi")
needs("uvicorn", "needs uvicorn")
pytestmark = pytest.mark.slow

KEY = "a key of many characters"


@dataclass
class Served:
    """A running server."""

    port: int
    process: "subprocess.Popen[str]"

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, sent, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def post(self, path: str, body: Any) -> Any:
        status, told = self.ask("POST", path, body)
        assert status == 200, told
        return json.loads(told)


def begun(db: Path, method: str, key: str | None = None) -> Served:
    command = [sys.executable, "-m", "selfguide_lite", "serve", "-d", str(db), "-m", str(TINY), "--port", "0"]
    environment = {**os.environ, **({"SELFGUIDE_SERVE_KEY": key} if key else {})}
    process = subprocess.Popen([*command, "--method", method], stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if line.startswith("Listening on http://127.0.0.1:"):
            served = Served(int(line.rsplit(":", 1)[1]), process)
            end = time.monotonic() + 60
            while time.monotonic() < end:
                try:
                    if served.ask("GET", "/health")[0] == 200:
                        return served
                except OSError:
                    time.sleep(0.05)
    process.kill()
    raise AssertionError("".join(told))


def ended(served: Served) -> int:
    served.process.send_signal(signal.SIGINT)
    return served.process.wait(60)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return answering(tmp_path_factory.mktemp("db") / "a.db")


@pytest.fixture(scope="module")
def served(db: Path) -> Iterator[Served]:
    running = begun(db, CALIBRATED)
    yield running
    assert ended(running) == 0


def chat(text: str, **options: Any) -> dict[str, Any]:
    return {
        "model": "any",
        "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": text}],
        **options,
    }


def test_both_endpoints_answer_as_predict_does_on_a_hundred_rows(served: Served, db: Path) -> None:
    texts = inputs(100)
    with load(db, PredictOptions(model=TINY, method=CALIBRATED)) as model:
        wanted, shares = model.predict(texts), model.probabilities(texts)
    told = served.post("/predict", {"inputs": texts})["predictions"]
    assert [one["prediction"] for one in told] == wanted
    for one, share in zip(told, shares, strict=True):
        assert one["probabilities"] == pytest.approx(share, abs=1e-3)
    completions = [served.post("/v1/chat/completions", chat(text)) for text in texts]
    assert [one["choices"][0]["message"]["content"] for one in completions] == wanted
    assert completions[0]["object"] == "chat.completion" and completions[0]["choices"][0]["finish_reason"] == "stop"


def test_a_threshold_leaves_the_unsure_unanswered(served: Served) -> None:
    told = served.post("/predict", {"input": inputs(1)[0], "threshold": 1})
    assert told["prediction"] is None and len(told["probabilities"]) == 2


def test_many_clients_at_once_lose_nothing_and_are_answered_together(served: Served, db: Path) -> None:
    texts = inputs(64)
    with load(db, PredictOptions(model=TINY, method=CALIBRATED)) as model:
        list(model.answer(texts[:8]))  # what prompts share is computed
        began = time.monotonic()
        wanted = model.predict(texts * 4)
        batch = time.monotonic() - began
    before = metric(served, "engine_calls_total")
    found: dict[int, list[str]] = {}

    def client(number: int) -> None:
        found[number] = [served.post("/predict", {"input": texts[number]})["prediction"] for _ in range(4)]

    began = time.monotonic()
    clients = [threading.Thread(target=client, args=(number,)) for number in range(64)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    took = time.monotonic() - began
    assert [found[number] for number in range(64)] == [[label] * 4 for label in wanted[:64]]
    calls = metric(served, "engine_calls_total") - before
    assert calls < 128, f"256 inputs took {calls} calls"
    assert took < 10 * batch + 5, f"{took:.1f} s, as a batch {batch:.1f} s"


def metric(served: Served, name: str) -> float:
    status, told = served.ask("GET", "/metrics")
    assert status == 200
    (value,) = [line.split()[1] for line in told.splitlines() if line.startswith(f"selfguide_{name} ")]
    return float(value)


def test_the_openai_client_works_also_streaming(served: Served) -> None:
    needs("openai", "needs openai")
    import openai

    client = openai.OpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key="none")
    assert [model.id for model in client.models.list()] == ["cheer-or-grumble"]
    text = inputs(1)[0]
    messages: Any = [{"role": "user", "content": text}]
    whole = client.chat.completions.create(model="any", messages=messages).choices[0].message.content
    pieces = client.chat.completions.create(model="any", messages=messages, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == whole
    with pytest.raises(openai.BadRequestError, match="`n` must be 1"):
        client.chat.completions.create(model="any", messages=messages, n=2)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/predict", {}, 400, "give `input`"),
        ("/predict", {"input": "x", "inputs": ["x"]}, 400, "give `input`"),
        ("/predict", {"inputs": []}, 400, "list of 1 to 1,000"),
        ("/predict", {"inputs": ["x", 5]}, 400, "not a text"),
        ("/predict", {"input": "  "}, 400, "empty"),
        ("/predict", {"input": "x", "threshold": 2}, 400, "from 0 to 1"),
        ("/predict", b"{", 400, "not valid JSON"),
        ("/predict", b"[1]", 400, "not a JSON object"),
        ("/predict", b'{"input": "\\ud800"}', 400, "half a character"),
        ("/predict", {"input": "x" * 100_001}, 400, "longer than"),
        ("/predict", b" " * (8 * 2**20 + 1), 413, "larger than 8 MiB"),
        ("/v1/chat/completions", {"messages": "x"}, 400, "must be a list"),
        ("/v1/chat/completions", {"messages": [{"role": "system", "content": "x"}]}, 400, "there is none"),
        ("/v1/chat/completions", chat("x", temperature="hot"), 400, "not a number"),
        ("/nothing", {}, 404, "Not Found"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(served: Served, path: str, body: Any, status: int, said: str) -> None:
    found, told = served.ask("POST", path, body)
    assert found == status and said in told and "Traceback" not in told


def test_only_this_machine_may_ask_and_only_json(served: Served) -> None:
    assert served.ask("GET", "/health", headers={"Host": "evil.example"})[0] == 400
    assert served.ask("POST", "/predict", {"input": "x"}, {"Host": "evil.example:80"})[0] == 400
    assert served.ask("POST", "/predict", {"input": "x"}, {"Host": f"localhost:{served.port}"})[0] == 200
    assert served.ask("POST", "/predict", {"input": "x"}, {"Content-Type": "text/plain"})[0] == 415


def test_a_long_input_is_an_error_of_that_input_alone(served: Served) -> None:
    long = "canoe " * 8000
    told = served.post("/predict", {"inputs": [inputs(1)[0], long]})["predictions"]
    assert told[0]["prediction"] and told[1]["prediction"] is None and "context" in told[1]["error"]


def test_free_text_streams_in_pieces(tmp_path: Path) -> None:
    db = answering(tmp_path / "b.db", "thank-you")
    running = begun(db, "few-shot", KEY)
    try:
        (text,) = inputs(1, "thank-you")
        with load(db, PredictOptions(model=TINY, method="few-shot")) as model:
            (wanted,) = model.predict([text])
        allowed = {"Authorization": f"Bearer {KEY}"}
        for headers in ({}, {"Authorization": "Bearer none"}):
            assert running.ask("POST", "/predict", {"input": text}, headers)[0] == 401
            assert running.ask("GET", "/metrics", headers=headers)[0] == 401
        assert json.loads(running.ask("POST", "/predict", {"input": text}, allowed)[1]) == {"prediction": wanted}
        status, told = running.ask("POST", "/v1/chat/completions", chat(text, stream=True), allowed)
        events = [line.removeprefix("data: ") for line in told.splitlines() if line]
        assert status == 200 and events[-1] == "[DONE]"
        deltas = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1]]
        assert "".join(deltas) == wanted and sum(map(bool, deltas)) >= min(3, len(wanted.split()))
        short = running.ask("POST", "/v1/chat/completions", chat(text, max_tokens=1), allowed)[1]
        content = json.loads(short)["choices"][0]["message"]["content"]
        assert wanted.startswith(content) and len(content) < len(wanted)
    finally:
        assert ended(running) == 0


def test_whoever_waits_is_told_when_the_engine_fails(db: Path) -> None:
    """Before it has drawn an input, after one, and by ending without a word."""

    class Failing:
        """Draws so many requests, then fails, or ends."""

        def __init__(self, drawn: int, error: Exception | None):
            self._drawn, self._error = drawn, error

        def score(self, requests: Iterator[Any]) -> Iterator[Any]:
            list(islice(requests, self._drawn))
            if self._error is not None:
                raise self._error
            return iter(())

    with load(db, PredictOptions(model=TINY, method=CALIBRATED)) as model:
        for drawn, error in ((0, MemoryError("no room")), (1, MemoryError("no room")), (1, None), (0, None)):
            answerer = Answerer(Predictor(model.choice, Failing(drawn, error), model.prompts))
            asked = [answerer.submit(text) for text in inputs(3)]
            for one in asked:
                with pytest.raises(SelfguideError, match="the engine failed: " + ("no room" if error else "it ended")):
                    one.result(timeout=10)
            assert answerer.alive and answerer.tally.failed == 3
            answerer.close()


def test_listening_elsewhere_needs_a_key() -> None:
    with pytest.raises(SelfguideError, match="SELFGUIDE_SERVE_KEY"):
        ServeOptions("0.0.0.0")
    with pytest.raises(SelfguideError, match="16 characters"):
        ServeOptions("0.0.0.0", key="short")
    assert not ServeOptions("0.0.0.0", key=KEY).loopback
    assert all(ServeOptions(host).loopback for host in ("127.0.0.1", "localhost", "::1", "127.1.2.3"))
