"""Real runs in processes of their own for the robustness tests: started, watched, and what they leave looked at."""

import json
import os
import re
import resource
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from selfguide_lite.gguf.random_model import Geometry, RandomWeights, write_random_llama
from selfguide_lite.llm import tuning
from selfguide_lite.llm.llama import Tuning
from selfguide_lite.llm.native import Model

if TYPE_CHECKING:
    from fork_server import Forked, ForkServer

SETTINGS = {
    "rounds": 4,
    "prompts_per_round": 4,
    "input_max_tokens": 24,
    "output_max_tokens": 8,
    "method": "sample",
    "samples": 2,
    "near_duplicate_threshold": None,
    "min_steps": 1,
    "min_vote_share": 0.0,
    "input_length_filter": False,
    "output_length_filter": False,
    "epochs": 2,
    "batch_size": 8,
}
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a small task, its evaluation rows and a model of random weights."""

    folder: Path
    task: Path
    model: Path

    def arguments(self, command: str, db: Path) -> list[str]:
        """What is given to `run`, `generate` or another command that works on a database with a model."""
        task = [str(self.task)] if command in ("run", "generate", "evaluate") else []
        return [command, *task, "-d", str(db), "-m", str(self.model)]


def prepare(folder: Path, evaluated: int = 8, **settings: Any) -> Place:
    """Write the task and a model whose weights are in 32 bits.

    :param evaluated: rows to evaluate; 0: the task has none
    """
    folder.mkdir(parents=True, exist_ok=True)
    task = {
        "name": "shout",
        "kind": "generation",
        "instruction": "Say it louder.",
        "examples": [{"input": "Come in.", "output": "COME IN!"}, {"input": "Not now.", "output": "NOT NOW!"}],
        "settings": SETTINGS | settings,
    }
    if evaluated:
        rows = [{"input": f"Go {number}.", "output": f"GO {number}!"} for number in range(evaluated)]
        (folder / "shout.eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        task["eval"] = "shout.eval.jsonl"
    (folder / "shout.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    model = random_model(folder / "random.gguf")
    return Place(folder, folder / "shout.yaml", model)


def random_model(path: Path, seed: int = 0) -> Path:
    """Write a small model and keep settings for it as if they had been measured: every process takes the same."""
    write_random_llama(
        path, Geometry(64, 2, 4, 2, 128), RandomWeights(quantization="f32", sharpness=4.0, seed=seed), vocabulary="bpe"
    )
    tuned(path)
    return path


def tuned(path: Path) -> None:
    """Keep settings for a model as if they had been measured."""
    model = Model(path)
    rates = {field.name: 1.0 for field in fields(tuning.Measured) if field.name != "tuning"}
    tuning.keep(path, model, [tuning.Measured(Tuning(threads=1), **rates)])
    model.close()


def environment(**changed: str) -> dict[str, str]:
    """The variables of a process that imports the package from here."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])} | changed


def begin(
    *words: object, prefix: Sequence[str] = (), file_limit: int | None = None, **variables: str
) -> "subprocess.Popen[str]":
    """Start the command in a process of its own.

    :param prefix: a command to run it in, such as `nsenter`
    :param file_limit: bytes that a file can have at most, as on a disk that is almost full
    :param variables: of the environment, to set
    """

    def limit() -> None:
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    variables_of_all = environment(**variables)
    if file_limit is not None:
        variables_of_all.pop("COVERAGE_PROCESS_CONFIG", None)  # its file would be over the limit too
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "selfguide_lite", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables_of_all,
        preexec_fn=limit,
    )


@contextmanager
def own_mounts(*mounts: str) -> Iterator[list[str]]:
    """Mount something that only the commands see that are run with the prefix given; skip the test where none may.

    :param mounts: shell commands, such as `mount -t tmpfs none /tmp/disk`
    """
    user = [] if os.geteuid() == 0 else ["-r"]
    script = " && ".join([*mounts, "echo ready", "exec sleep 1000"])
    holder = subprocess.Popen(
        ["unshare", "-m", *user, "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            pytest.skip(f"nothing can be mounted here: {holder.communicate()[1].strip()}")
        yield ["nsenter", "-t", str(holder.pid), "-m", *(["-U", "--preserve-credentials"] if user else [])]
    finally:
        holder.kill()
        holder.communicate()


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for a process and return its exit status and what it said on standard error."""
    _, said = process.communicate(timeout=240)
    return process.returncode, said


class Watched:
    """A process that is started, and what it says on standard error as it says it."""

    def __init__(self, *words: object, server: "ForkServer | None" = None):
        """Start it, where a server is given as a fork of that."""
        self.process: subprocess.Popen[str] | Forked = server.begin(*words) if server else begin(*words)
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def wait_for(self, stage: str, commits: int, db: Path) -> None:
        """Wait until it works on a stage and has committed so often since, or until it ends."""
        while self.process.poll() is None and not re.search(rf"^{stage}: \d+ to do", self.said, re.MULTILINE):
            time.sleep(0.002)
        with closing(sqlite3.connect(db)) as watch:
            seen, version = 0, watch.execute("PRAGMA data_version").fetchone()[0]
            while seen < commits and self.process.poll() is None:
                time.sleep(0.002)
                now = watch.execute("PRAGMA data_version").fetchone()[0]
                seen += now != version
                version = now

    def kill(self) -> bool:
        """Kill it and tell whether it was still alive."""
        alive = self.process.poll() is None
        self.process.kill()
        self.end()
        return alive

    def end(self) -> int:
        """Wait for its end and return its exit status."""
        self._reader.join()
        with self.process:
            return self.process.wait()


def rows_of(db: Path, sql: str) -> list[tuple[Any, ...]]:
    """Ask a database directly."""
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


def count(db: Path, table: str) -> int:
    """How many rows a table has; none where there is no file."""
    return int(rows_of(db, f"SELECT count(*) FROM {table}")[0][0]) if db.exists() else 0


def check_sound(db: Path) -> None:
    """Look for what a crash may break."""
    assert rows_of(db, "PRAGMA integrity_check") == [("ok",)]
    assert rows_of(db, "PRAGMA foreign_key_check") == []


def check_one_line(said: str, *parts: str) -> None:
    """One clear line: no traceback, nothing before or after it, and every part is in it."""
    assert said.startswith("Error: ") and len(said.splitlines()) == 1, said
    for part in parts:
        assert part in said, said
