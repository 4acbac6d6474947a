"""A hostile server on bare sockets: answers without end, of wrong lengths and packed, certificates, keys sent back."""

import gzip
import json
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hostile_texts import CONTROL
from needs import needs
from robustness_counts import count

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.core.text import neutral
from selfguide_lite.llm.base import Completion, Request
from selfguide_lite.llm.server import ServerEngine, ServerOptions

needs("openai", "needs the extra `server`")

pytestmark = pytest.mark.slow

KEY = "sk-very-secret_key-123456"
Say = Callable[[socket.socket], None]


def reply(body: bytes, status: str = "200 OK", *headers: str, length: object = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def told(**changed: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "A thing."}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    choice |= changed.pop("choice", {})  # type: ignore[call-overload]
    return json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage} | changed).encode()


def said(text: str) -> bytes:
    return told(choice={"message": {"role": "assistant", "content": text}})


def models(*entries: object) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


def once(data: bytes) -> Say:
    return lambda connection: connection.sendall(data)


def for_ever(head: bytes, piece: bytes, pause: float = 0.0) -> Say:
    def say(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(pause)

    return say


MODELS = once(reply(models({"id": "m", "object": "model"})))
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@contextmanager
def serving(listed: Say, answered: Say, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that says whatever it is told to, one connection a thread."""

    def talk(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            asked = b""
            while True:
                while b"\r\n\r\n" not in asked:
                    part = connection.recv(65536)
                    if not part:
                        return
                    asked += part
                head, _, asked = asked.partition(b"\r\n\r\n")
                found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                size = int(found[1]) if found else 0
                while len(asked) < size:
                    asked += connection.recv(65536)
                asked = asked[size:]
                (listed if head.startswith(b"GET") else answered)(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http{'' if tls is None else 's'}://127.0.0.1:{listening.getsockname()[1]}/v1"
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def asked(url: str, timeout: float = 1.0) -> Completion:
    with ServerEngine(url, options=ServerOptions(concurrency=1, timeout=timeout, retries=0)) as engine:
        return next(iter(engine.complete([Request("k", (Message("user", "hello"),), max_tokens=8)])))


ANSWERS: dict[str, tuple[Say, str]] = {
    "a body without end": (for_ever(OK, b"x" * 65536), "larger than 4 MiB"),
    "chunks without end": (
        for_ever(OK[:-2] + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"),
        "larger than 4 MiB",
    ),
    "a drop a time": (for_ever(OK, b" ", 0.05), "does not end within"),
    "events without end": (for_ever(OK.replace(b"application/json", b"text/event-stream"), b"data: {}\n\n", 0.05), ""),
    "a packed gigabyte": (
        once(reply(gzip.compress(bytes(2**20)) * 1024, "200 OK", "Content-Encoding: gzip")),
        "packs its answer (gzip)",
    ),
    "more bytes promised": (once(reply(told(), length=10**9)), "no answer within 1 s"),
    "fewer bytes promised": (once(reply(told(), length=20)), "cannot be read"),
    "a negative length": (once(reply(told(), length=-5)), "cannot connect"),
    "two lengths": (once(reply(told(), "200 OK", "Content-Length: 3")), "cannot connect"),
    "429 for ever": (once(reply(b"{}", "429 No", "Retry-After: 99999999")), "status 429"),
    "nested without end": (once(reply(b"[" * 200_000 + b"]" * 200_000)), "cannot be read"),
    "a text of megabytes": (once(reply(said("word " * 500_000))), "2,500,000 characters though at most 8 tokens"),
    "endless tokens": (once(reply(told(usage={"prompt_tokens": 1e999, "completion_tokens": 1}))), "no completion"),
    "the key, cut in pieces": (
        once(reply(json.dumps({"error": {"message": f"bad {KEY[:9]}\x1b\n{KEY[9:]} {KEY}"}}).encode(), "500 No")),
        "bad [the key] [the key]",
    ),
    "another place": (
        once(reply(b"", "307 No", f"Location: http://evil.example/?{KEY}")),
        "redirects to http://evil.example/?[the key]",
    ),
}
NAMES: dict[str, tuple[object, str]] = {
    "a number": ({"id": 5}, "offers no model"),
    "nothing": ({}, "offers no model"),
    "null": (None, "no OpenAI-compatible server"),
    "control codes": ({"id": "\x1b[31m\u202e m"}, "no name that can be used"),
    "the key": ({"id": f"m {KEY}"}, "no name that can be used: m [the key]"),
    "megabytes": ({"id": "m" * 2_000_000}, "no name that can be used: mmm"),
}


@pytest.fixture(autouse=True)
def with_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFGUIDE_API_KEY", KEY)


def refused(url: str) -> str:
    with pytest.raises(SelfguideError) as caught:
        asked(url)
    message = neutral(str(caught.value))
    assert url in message and len(message) < 600 and KEY not in message and KEY[9:] not in message
    assert not CONTROL.search(message) and "\n" not in message
    count("faults")
    return message


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_made_to_harm_is_refused_in_one_line(name: str) -> None:
    say, message = ANSWERS[name]
    with serving(MODELS, say) as url:
        began = time.monotonic()
        assert message in refused(url)
        assert time.monotonic() - began < 60


@pytest.mark.parametrize("name", NAMES)
def test_a_list_of_models_made_to_harm_is_refused(name: str) -> None:
    entry, message = NAMES[name]
    with serving(once(reply(models(entry))), MODELS) as url:
        assert message in refused(url)


def test_a_list_of_models_without_end_is_refused() -> None:
    with serving(for_ever(OK, b"x" * 65536), MODELS) as url:
        assert "larger than 4 MiB" in refused(url)


def test_a_head_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selfguide_lite.llm.server._LONGEST_PAUSE", 0.0)
    with serving(MODELS, for_ever(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", 0.05)) as url:
        assert "does not end within 2 s" in refused(url)


def test_numbers_that_cannot_be_and_keys_in_texts_are_not_kept() -> None:
    usage = {"prompt_tokens": 2**80, "completion_tokens": -7}
    text = f"Your key is {KEY}, and \x1b[31m\ud83d."
    body = told(usage=usage, choice={"message": {"content": text}})
    with serving(once(reply(models({"id": "m", "max_model_len": 2**80}))), once(reply(body))) as url:
        answer = asked(url, 60)
    assert (answer.prompt_tokens, answer.completion_tokens) == (0, 0)
    assert answer.text == "Your key is [the key], and \x1b[31m\ufffd\ufffd\ufffd."
    count("faults")


def test_a_certificate_of_its_own_is_refused_until_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    except OSError:
        pytest.skip("needs the program openssl")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    with serving(MODELS, once(reply(told())), tls) as url:
        message = refused(url)
        assert "certificate is not trusted (self" in message and "SSL_CERT_FILE" in message
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert asked(url, 60).text == "A thing."
