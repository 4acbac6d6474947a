"""What the README shows is so: its generated parts are fresh, its SQL runs, its commands and options exist."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import click
import pytest

from selfguide_lite.cli import main
from selfguide_lite.core.resources import resource
from selfguide_lite.store import Store
from selfguide_lite.task import load_task

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_generated_parts_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cogapp", "--check", "README.md", "docs/commands.md"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run make docs: {done.stdout}{done.stderr}"


def test_sql_runs(tmp_path: Path) -> None:
    with Store.open(tmp_path / "readme.db") as store:
        store.add_task(load_task(resource("data/tasks/junk-offers.yaml")))
    statements = [statement for block in blocks("sql") for statement in block.split(";") if statement.strip()]
    assert len(statements) >= 2
    connection = sqlite3.connect(tmp_path / "readme.db")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def commands() -> list[tuple[str, list[str]]]:
    shown = re.findall(r"^selfguide ([^#\n]+)|`selfguide ([^`]+)`", README, flags=re.MULTILINE)
    return [(words[0], words[1:]) for words in ((first or second).split() for first, second in shown)]


@pytest.mark.parametrize(("name", "words"), commands(), ids=lambda value: " ".join(value) if value else "-")
def test_commands_and_options_exist(name: str, words: list[str]) -> None:
    context = click.Context(main, info_name="selfguide")
    command = main.get_command(context, name)
    assert command is not None, name
    if isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.get_command(context, words[0])
        assert command is not None, words[0]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if re.fullmatch(r"--?[a-z-]+", word)} <= known


def test_python_example_names_what_exists() -> None:
    (example,) = blocks("python")
    compile(example, "README.md", "exec")
    assert "load_task" in example and "run(" in example
    from selfguide_lite import load_task as public_load_task
    from selfguide_lite import run as public_run

    assert callable(public_load_task) and callable(public_run)
