"""A database of a stranger: views, triggers and columns that compute without end, fill the memory or name functions."""

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from hostile_texts import CONTROL
from robust_runs import begin
from robustness_counts import count

from selfguide_lite.cli import main
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.settings import Settings
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import NewInput, Store, connection
from selfguide_lite.task import Example, Task

pytestmark = pytest.mark.slow

EXAMPLES = (Example(input="a", output="b"),)
FILTER = "CREATE VIEW filter_input_own AS SELECT id, {} AS detail FROM input"
ENDLESS = "(WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c)"
CASES = {
    "functions that nobody has": ([FILTER.format("writefile('written', load_extension('x'))")], ""),
    "a trigger that refuses": (
        ["CREATE TRIGGER t BEFORE INSERT ON setting BEGIN SELECT RAISE(ABORT, '\x1b[31mno'); END"],
        "",
    ),
    "a view of long texts": ([FILTER.format("hex(zeroblob(3000000))")], "larger than"),
    "settings that are none": (["UPDATE task SET settings = '[[['"], "a value that no run writes"),
    "settings that are nested": ([f"UPDATE task SET settings = '{'[' * 100_000}'"], "a value that no run writes"),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("database") / "one.db"
    with Store.open(path) as store:
        task_id = store.add_task(Task(name="one", kind="generation", instruction="Say.", examples=EXAMPLES))
        model = store.add_model(ModelInfo("m", "m.gguf", "0" * 64, "llama", 5))
        run = store.start_run(task_id, "generate", model, Settings(), 42, Prompts().template("annotate"))
        store.add_input(NewInput(task_id, run, 0, 0, "a text"))
    return path.read_bytes()


def changed(template: bytes, folder: Path, *statements: str) -> Path:
    path = folder / "stranger.db"
    path.write_bytes(template)
    with closing(sqlite3.connect(path, isolation_level=None)) as opened:
        for statement in statements:
            opened.execute(statement)
    return path


@pytest.mark.parametrize("name", CASES)
def test_a_stranger_has_one_line_at_most(
    name: str, template: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_LONGEST_VALUE", 2**21)
    monkeypatch.chdir(tmp_path)
    statements, says = CASES[name]
    path = changed(template, tmp_path, *statements)
    said = []
    for words in (("status",), ("set", "rounds", "2"))[: 2 if "trigger" in name else 1]:
        result = CliRunner().invoke(main, [words[0], "-d", str(path), *words[1:]])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert not CONTROL.search(result.output), result.output
        if result.exit_code:
            assert result.output.startswith("Error: ") and result.output.count("\n") == 1, result.output
            said.append(result.output)
        count("inputs")
    assert says in "".join(said) and (said or not says), said
    assert {one.name for one in tmp_path.iterdir()} <= {"stranger.db", "stranger.db-wal", "stranger.db-shm"}


def test_ctrl_c_ends_a_view_without_end(template: bytes, tmp_path: Path) -> None:
    """SQLite looks for no signal: only what Python runs now and then lets it be stopped."""
    path = changed(template, tmp_path, FILTER.format(ENDLESS))
    process = begin("sql", "SELECT * FROM filter_input_own", "-d", path)
    while process.poll() is None and seconds_of(process.pid) < 2.5:  # it is past its start then, and computes
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.startswith("Interrupted. "), said
    count("faults")


def seconds_of(process: int) -> float:
    """Return how long a process has computed."""
    import psutil

    try:
        return float(psutil.Process(process).cpu_times().user)
    except psutil.Error:
        return 0.0
