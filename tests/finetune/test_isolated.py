"""Trainings in a process of their own, one after the other in the same process where that is asked for."""

import os
import signal
from pathlib import Path

import pytest
from needs import needs
from small_training import small_job

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.finetune.isolated import fit_apart, kept_process
from selfguide_lite.finetune.job import LOG

pytestmark = pytest.mark.slow


class _Training:
    """A short training, with what was said of it."""

    def __init__(self, out: Path):
        self.notes: list[str] = []
        self.losses: list[float] = []
        job = small_job(out)
        fit_apart(job, lambda step: self.losses.append(step.loss), self.notes.append)
        self.log = (out / LOG).read_text(encoding="utf-8")
        self.weights = (out / "adapter_model.safetensors").read_bytes()

    @property
    def loaded(self) -> bool:
        """Whether torch was loaded for it."""
        return any(note.startswith("loading torch") for note in self.notes)


def test_one_process_trains_as_several_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is gone, or a variable has changed that is read when a process begins."""
    needs("unsloth")
    monkeypatch.setenv("OMP_THREAD_LIMIT", "64")  # begin with a process of this test's own
    first = _Training(tmp_path / "first")
    (process,) = _children()
    monkeypatch.setenv("SELFGUIDE_CACHE", str(tmp_path / "another cache"))
    monkeypatch.chdir(tmp_path)
    with kept_process():  # within the block of all tests it changes nothing
        second = _Training(Path("second"))
    assert _children() == [process]
    assert (tmp_path / "another cache").is_dir()  # the weights of the GGUF were unpacked there
    assert "Unsloth" in first.log and second.log != first.log  # each log is its own training's

    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # all its threads have ended
    third = _Training(tmp_path / "third")
    assert [one.loaded for one in (first, second, third)] == [True, False, True]
    assert first.losses == second.losses == third.losses and len(first.losses) == 2
    assert first.weights == second.weights == third.weights

    (process,) = _children()
    monkeypatch.setenv("OMP_THREAD_LIMIT", "65")
    with pytest.raises(SelfguideError, match="the training was killed"):
        fit_apart(small_job(tmp_path / "fourth"), lambda _: None, lambda _: os.kill(_children()[0], signal.SIGKILL))
    assert not _children()


def _children() -> list[int]:
    """The processes of this one that train."""
    own = Path("/proc/self/task")
    found = [int(pid) for thread in own.iterdir() for pid in (thread / "children").read_text().split()]
    return [pid for pid in found if b"finetune.isolated" in Path(f"/proc/{pid}/cmdline").read_bytes()]
