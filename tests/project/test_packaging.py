"""The wheel, installed without the repository, runs a task with the tiny test model; the documented API works."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from wheels import build_wheel

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def do(*command: object, cwd: Path, **environment: str) -> str:
    """Run a program away from the repository and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**kept, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


def test_wheel_holds_what_a_run_needs_and_no_more(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    inner = {name.removeprefix("selfguide_lite/") for name in names if name.startswith("selfguide_lite/")}
    assert {
        "py.typed",
        "constraints.txt",
        "data/settings/paper.yaml",
        "prompts/annotate.j2",
        "prompts/answer-system.j2",
        "report/report.html.j2",
    } <= inner
    assert any(name.startswith("data/tasks/") and name.endswith(".yaml") for name in inner)
    assert any(name.startswith("store/views/") for name in inner)
    assert not [name for name in names if name.startswith(("tests", "data/")) or name.endswith((".db", ".pyc"))]
    assert not [name for name in names if name.endswith(".gguf")]  # the tests' model stays with the tests
    assert wheel.stat().st_size < 2**20


def test_wheel_in_a_fresh_environment_runs_a_task(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    do(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-q", wheel, cwd=tmp_path)
    (packages,) = home.glob("lib/python*/site-packages")
    # The dependencies are the test environment's: installing them again would take minutes.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    selfguide = home / "bin" / "selfguide"
    where = do(python, "-c", "import selfguide_lite; print(selfguide_lite.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(home)
    few = ["--set", "rounds=2", "--set", "prompts_per_round=4", "-d", "mood.db"]
    do(selfguide, "init", "mood.yaml", cwd=tmp_path)
    do(selfguide, "check", "mood.yaml", cwd=tmp_path)
    do(selfguide, "generate", "mood.yaml", *few, cwd=tmp_path)
    do(selfguide, "annotate", "-d", "mood.db", cwd=tmp_path)
    rows = json.loads(do(selfguide, "sql", "-d", "mood.db", "select count(*) as n from input", "--json", cwd=tmp_path))
    assert (rows[0] if isinstance(rows, list) else rows)["n"] == 8


def test_core_needs_no_torch() -> None:
    import tomllib

    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = " ".join(project["dependencies"])
    assert not any(name in needed for name in ("torch", "unsloth", "transformers", "plotly", "datasette", "pandas"))
    assert {"train", "report", "browse", "server"} <= set(project["optional-dependencies"])
