"""A server fails in the middle of a run, over real sockets: one clear line, and later the run goes on from there."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import robustness_counts
from click.testing import CliRunner
from needs import needs
from robust_runs import Place, Watched, check_one_line, check_sound, count, prepare

from selfguide_lite.cli import main

needs("openai", "needs the extra `server`")

pytestmark = pytest.mark.slow


class Patient(BaseHTTPRequestHandler):
    """Answers well for a while, and then in its server's mood."""

    server: "Server"

    def do_GET(self) -> None:
        self.answer(json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.asked += 1
            number, mood = self.server.asked, self.server.mood
        if mood is not None and number > self.server.patience:
            mood(self)
            return
        text = f"The {self.server.server_port}th thing of {number}."
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        self.answer(json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}))
        with self.server.lock:
            self.server.answered += 1

    def answer(self, body: str, status: int = 200, kind: str = "application/json", length: int | None = None) -> None:
        data = body.encode("utf-8", "surrogatepass")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server with a mood."""

    daemon_threads = True
    request_queue_size = 128  # else connections are dropped and made again a second later

    def __init__(self, mood: Callable[[Patient], None] | None, patience: int = 20):
        self.mood, self.patience = mood, patience
        self.asked = self.answered = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Patient)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


def refuse(handler: Patient) -> None:
    """The server's process is gone: nobody listens any more."""
    handler.server.socket.close()
    handler.connection.close()


def hang(handler: Patient) -> None:
    time.sleep(600)


def half(handler: Patient) -> None:
    handler.answer('{"choices": [{"mess', length=500)
    handler.connection.close()


def say(body: str, status: int = 200, kind: str = "application/json") -> Callable[[Patient], None]:
    return lambda handler: handler.answer(body, status, kind)


MOODS: dict[str, tuple[Callable[[Patient], None], str]] = {
    "refuses": (refuse, "cannot connect"),
    "hangs": (hang, "no answer within 3 s"),
    "answers half and dies": (half, "cannot connect"),
    "answers a page": (say("<html>Welcome!</html>", kind="text/html"), "is no completion"),
    "answers no JSON": (say("{{{{"), "cannot be read"),
    "answers nothing": (say(""), ""),
    "answers null": (say("null"), "is no completion"),
    "answers a list": (say("[1, 2]"), "is no completion"),
    "answers choices of another form": (say('{"choices": 7}'), "is no completion"),
    "answers a number for a text": (
        say('{"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}'),
        "is no completion",
    ),
    "answers no choice": (say('{"choices": []}'), "no choice"),
    "answers with an error": (say('{"error": {"message": "out of memory"}}', 500), "failed with status 500"),
    "refuses the key": (say('{"error": {"message": "no such key"}}', 401), "refuses the key"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A task of 32 inputs and 64 answers."""
    return prepare(tmp_path_factory.mktemp("server"), evaluated=0, rounds=8)


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    """Those that a test starts, to be stopped at its end."""
    started: list[Server] = []
    yield started
    for server in started:
        server.shutdown()
        server.server_close()


def ask(place: Place, db: Path, server: Server, **environment: str) -> tuple[int, str]:
    """Let a server write the data, and return the exit status and what was said on standard error.

    Nothing is trained on it: what the server writes is in the database by then.
    """
    words = ["run", str(place.task), "-d", str(db), "--server", server.url, "-q", "--no-train"]
    result = CliRunner().invoke(main, words, env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stderr


@pytest.mark.parametrize("name", MOODS)
def test_a_server_fails_in_the_middle(place: Place, tmp_path: Path, servers: list[Server], name: str) -> None:
    mood, says = MOODS[name]
    db = tmp_path / "run.db"
    patience = {"SELFGUIDE_SERVER_RETRIES": "0"} | ({"SELFGUIDE_SERVER_TIMEOUT": "3"} if mood is hang else {})
    servers.append(Server(mood))
    status, said = ask(place, db, servers[0], **patience)
    assert status == 1
    check_one_line(said, servers[0].url, says)
    check_sound(db)
    assert count(db, "input") == servers[0].answered == 20
    # It is well again: all the rest is asked, and nothing twice.
    servers.append(Server(None))
    status, said = ask(place, db, servers[1])
    assert status == 0, said
    check_sound(db)
    assert count(db, "input") == 32 and count(db, "output") == 64
    assert servers[0].answered + servers[1].answered == 32 + 64
    robustness_counts.count("faults")


def test_ctrl_c_does_not_wait_for_a_server_that_hangs(place: Place, tmp_path: Path, servers: list[Server]) -> None:
    servers.append(Server(hang))
    run = Watched("run", place.task, "-d", tmp_path / "run.db", "--server", servers[0].url)
    while servers[0].asked <= 20:
        time.sleep(0.01)
    run.process.send_signal(signal.SIGINT)
    assert run.process.wait(timeout=60) == 130  # the request under way has ten minutes left
    run.end()
    assert run.said.splitlines()[-1].startswith("Stopped. ")


@pytest.mark.parametrize("given", ["soon", "-1", "nan"])
def test_a_wrong_number_in_the_environment_is_one_line(
    place: Place, tmp_path: Path, servers: list[Server], given: str
) -> None:
    servers.append(Server(None))
    status, said = ask(place, tmp_path / "run.db", servers[0], SELFGUIDE_SERVER_TIMEOUT=given)
    assert status == 1
    check_one_line(said, "SELFGUIDE_SERVER_TIMEOUT", given)
