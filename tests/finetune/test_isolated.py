"""Trainings in a process of their own, one after the other in the same process where that is asked for."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from needs import needs
from plugins_for_tests import Plugins
from small_training import small_job

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.finetune.isolated import fit_apart, kept_process
from selfguide_lite.finetune.job import LOG, FitJob

# It learns nothing, tells where it is, and says something to standard output.
SOURCE = """
import json
import os
import time

from selfguide_lite.finetune.job import Fit


class Idle:
    summary = "nothing at all"

    def check(self):
        pass

    def fit(self, job, on_step, note):
        print(f"training for {job.out.name}")
        note(json.dumps([os.getpid(), os.getcwd(), os.environ.get("SELFGUIDE_MODEL"), os.environ.get("TOLD")]))
        if job.pad == 99:
            time.sleep(60)
        return Fit(1, 0.0, 0.0, 0.0, 0, "a card" if job.pad == 98 else "CPU")
"""


def idle(out: Path, pad: int = 0) -> FitJob:
    """A job that takes no time; with 99 for padding it sleeps, with 98 it says that it was done on a card."""
    job = small_job(out)
    return replace(job, options=replace(job.options, trainer="idle"), pad=pad)


def done(job: FitJob) -> list[Any]:
    """Train, and return the process, its folder and two variables."""
    notes: list[str] = []
    fit_apart(job, lambda _: None, notes.append)
    (told,) = notes
    found: list[Any] = json.loads(told)
    return found


@pytest.fixture
def idle_trainer(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "64")  # begin with a process of this test's own
    plugins.install("idle_trainer", SOURCE, {"selfguide_lite.finetune.trainers": {"idle": "Idle"}})


@pytest.mark.usefixtures("idle_trainer")
def test_one_process_follows_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder, its variables and its log are those of each training."""
    first = done(idle(tmp_path / "first"))
    assert first[1:] == [str(Path.cwd()), os.environ["SELFGUIDE_MODEL"], None]
    monkeypatch.setenv("TOLD", "of this")
    monkeypatch.delenv("SELFGUIDE_MODEL")
    monkeypatch.chdir(tmp_path)
    with kept_process():  # within the block of all tests it changes nothing
        assert done(idle(Path("second"))) == [first[0], str(tmp_path), None, "of this"]
    logs = [(tmp_path / name / LOG).read_text(encoding="utf-8") for name in ("first", "second")]
    assert logs == ["training for first\n", "training for second\n"]


@pytest.mark.usefixtures("idle_trainer")
def test_another_process_begins_where_one_cannot_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [done(idle(tmp_path / "a"))[0]]
    monkeypatch.setenv("OMP_THREAD_LIMIT", "65")  # is read when a library begins
    seen.append(done(idle(tmp_path / "a"))[0])
    assert not Path(f"/proc/{seen[0]}").exists()
    os.kill(seen[-1], signal.SIGKILL)
    os.waitid(os.P_PID, seen[-1], os.WEXITED | os.WNOWAIT)  # all its threads have ended
    seen.append(done(idle(tmp_path / "a"))[0])

    def kill(told: str) -> None:
        assert json.loads(told)[0] == seen[-1]
        os.kill(seen[-1], signal.SIGKILL)

    with pytest.raises(SelfguideError, match="the training was killed"):
        fit_apart(idle(tmp_path / "a", pad=99), lambda _: None, kill)
    seen.append(done(idle(tmp_path / "a", pad=98))[0])  # on a card it gives back its memory
    assert not Path(f"/proc/{seen[-1]}").exists()
    seen.append(done(idle(tmp_path / "a"))[0])
    assert len(set(seen)) == len(seen)


@pytest.mark.slow
def test_the_second_training_loads_nothing_and_learns_the_same(tmp_path: Path) -> None:
    needs("unsloth")
    weights, losses, notes = [], [], []
    for name in ("first", "second"):
        said: list[str] = []
        lost: list[float] = []
        fit_apart(small_job(tmp_path / name), lambda step, lost=lost: lost.append(step.loss), said.append)  # type: ignore[misc]
        weights.append((tmp_path / name / "adapter_model.safetensors").read_bytes())
        losses.append(lost)
        notes.append(said)
    assert weights[0] == weights[1] and losses[0] == losses[1] and len(losses[0]) == 2
    assert not [note for note in notes[1] if note.startswith("loading torch")]
