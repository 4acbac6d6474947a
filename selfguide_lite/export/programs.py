"""llama.cpp's own programs, where they are on PATH: they answer the prompts of an export, from the files written."""

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.export.weights import ADAPTER, MODEL
from selfguide_lite.llm.thinking import without_thinking

SERVER, COMPLETION = "llama-server", "llama-completion"
_START_SECONDS, _ANSWER_SECONDS = 600.0, 600.0
_END = "[end of text]"


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked of a program.

    :param folder: with `model.gguf`, and `adapter.gguf` where nothing is merged
    :param prompts: whole prompts as text
    :param grammar: that answers are held to; None: there is none
    :param stops: texts that end an answer
    """

    folder: Path
    prompts: Sequence[str]
    grammar: str | None
    stops: Sequence[str]
    context: int
    max_tokens: int

    @property
    def weights(self) -> list[str]:
        """What names the model's files to a program."""
        found = ["--model", str(self.folder / MODEL)]
        if (self.folder / ADAPTER).is_file():
            found += ["--lora", str(self.folder / ADAPTER)]
        return [*found, "--ctx-size", str(self.context)]


def program_found() -> str | None:
    """Return the name of the program that would answer; None where there is none on PATH."""
    return next((name for name in (SERVER, COMPLETION) if shutil.which(name)), None)


def program_texts(name: str, job: Job) -> list[str]:
    """Return the greedy text after each prompt.

    :param name: as `program_found` gives it
    :raises SelfguideError: where the program fails
    """
    if name == SERVER:
        with _server(job) as url:
            found = [_asked(url, job, prompt) for prompt in job.prompts]
    else:
        found = [_completed(job, prompt) for prompt in job.prompts]
    return [without_thinking(_cut(text, job.stops)).strip() for text in found]


def _cut(text: str, stops: Sequence[str]) -> str:
    for stop in stops:
        text = text.partition(stop)[0]
    return text


@contextmanager
def _server(job: Job) -> Iterator[str]:
    """Start the server on a free port of this machine and give its address, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [SERVER, *job.weights, "--host", "127.0.0.1", "--port", str(port), "--parallel", "1"]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            until = time.monotonic() + _START_SECONDS
            while not _answers(f"{url}/v1/models"):
                if server.poll() is not None or time.monotonic() > until:
                    log.seek(0)
                    last = log.read().decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
                    raise SelfguideError(f"{SERVER} did not start on {job.folder}: {last[0]}")
                time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _asked(url: str, job: Job, prompt: str) -> str:
    body: dict[str, Any] = {"prompt": prompt, "temperature": 0, "max_tokens": job.max_tokens, "repeat_penalty": 1.0}
    if job.grammar is not None:
        body["grammar"] = job.grammar
    if job.stops:
        body["stop"] = list(job.stops)
    request = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as reply:
            return str(json.load(reply)["choices"][0]["text"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise SelfguideError(f"{SERVER} did not answer: {error}") from error


def _completed(job: Job, prompt: str) -> str:
    command = [COMPLETION, *job.weights, "--predict", str(job.max_tokens), "--temp", "0", "--repeat-penalty", "1"]
    command += ["--no-conversation", "--no-display-prompt", "--no-escape", "--simple-io", "--prompt", prompt]
    if job.grammar is not None:
        command += ["--grammar", job.grammar]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_SECONDS, check=False)
    if done.returncode != 0:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise SelfguideError(f"{COMPLETION} failed: {last[0]}")
    return done.stdout.decode("utf-8", "replace").strip().removesuffix(_END)
