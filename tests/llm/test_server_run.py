"""A task's data written by a real server: llama.cpp's own, and any that SELFGUIDE_TEST_SERVER names, such as vLLM's."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from finetuned_models import TINY
from llama_servers import start
from needs import needs

from selfguide_lite.store import Store

needs("openai", "needs the extra `server`")

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TASK = ROOT / "tests/tiny_tasks/who-was-there.yaml"
OTHER = os.environ.get("SELFGUIDE_TEST_SERVER", "")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    needs("sse_starlette", "needs llama-cpp-python[server]")
    process, url = start(TINY, n_ctx=512, chat_format=None)
    yield url
    process.terminate()
    process.wait(20)


def selfguide(*words: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "selfguide_lite", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=280)


def data_of(url: str, folder: Path) -> None:
    """Write a task's data with one command, go on with the same command, and write it out for another trainer."""
    db = folder / "made.db"
    words = ["run", TASK, "-d", db, "--server", url, "--no-train", "-q", "--set", "samples=3", "--set", "rounds=1"]
    done = selfguide(*words)
    assert done.returncode == 0, done.stderr
    with Store.open(db, read_only=True) as store:
        inputs, outputs, pairs = store.connection.execute(
            "SELECT (SELECT count(*) FROM input), (SELECT count(*) FROM output), (SELECT count(*) FROM dataset)"
        ).fetchone()
        models = store.connection.execute("SELECT DISTINCT architecture, path FROM model").fetchall()
    assert inputs == 10 and outputs > 0 and pairs > 0
    assert models == [("server", url)]
    done = selfguide(*words, "--set", "rounds=2")
    assert done.returncode == 0, done.stderr
    with Store.open(db, read_only=True) as store:
        assert store.connection.execute("SELECT count(*) FROM input").fetchone() == (20,)
    out = folder / "made.jsonl"
    done = selfguide("dataset", "-d", db, "--format", "prompt-completion", "-o", out)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(records) >= pairs and all(set(record) == {"prompt", "completion"} for record in records)


def test_one_command_writes_the_data_with_llama_cpps_server(server: str, tmp_path: Path) -> None:
    data_of(server, tmp_path)


@pytest.mark.proof
@pytest.mark.skipif(not OTHER, reason="SELFGUIDE_TEST_SERVER names no server")
def test_one_command_writes_the_data_with_another_server(tmp_path: Path) -> None:
    data_of(OTHER, tmp_path)
