"""The measurement at first load, what is kept of it, and model hashes."""

import hashlib
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from selfguide_lite.cli import main
from selfguide_lite.core.cache import cache_dir, read_json, write_json
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.resources import resource
from selfguide_lite.gguf.random_model import write_random_llama
from selfguide_lite.llm import llama, tuning
from selfguide_lite.llm.llama import Tuning
from selfguide_lite.llm.native import Model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SELFGUIDE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_random_llama(tmp_path / "model.gguf", vocabulary="bpe")


def test_measured_once_and_kept(cache: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_QUIET", 0.0)  # the machine that runs the tests may be busy
    with tuning.open_tuned(path) as engine:
        model = engine._model
        found = tuning.kept(path, model)
        assert found and all(entry.prefill > 0 and entry.decode > 0 for entry in found)
        assert {entry.tuning.flash for entry in found} == {True, False}
        assert engine.tuning == tuning.choose(found)
    monkeypatch.setattr(tuning, "measure_all", None)  # a second load must not measure again
    with tuning.open_tuned(path, overrides={"parallel": 3, "flash": True}) as engine:
        assert engine.tuning.parallel == 3 and engine.tuning.flash


def test_a_busy_machine_is_not_believed(cache: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_QUIET", 100.0)
    with tuning.open_tuned(path) as engine:
        assert engine.tuning == tuning.unmeasured(engine._model)
        assert tuning.kept(path, engine._model) is None


def test_another_model_or_machine_is_measured_anew(cache: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(path)
    entry = tuning.Measured(Tuning(parallel=5), 100.0, 50.0, 2.0)
    tuning.keep(path, model, [entry])
    assert tuning.kept(path, model) == [entry]
    monkeypatch.setenv("SELFGUIDE_THREADS", "7")
    assert tuning.kept(path, model) is None
    monkeypatch.delenv("SELFGUIDE_THREADS")
    os.utime(path, (1, 1))
    assert tuning.kept(path, model) is None
    model.close()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}', "\x00"])
def test_a_broken_cache_is_no_error(cache: Path, path: Path, content: str) -> None:
    cache.mkdir()
    (cache / "tuning.json").write_text(content)
    (cache / "sha256.json").write_text(content)
    with tuning.open_tuned(path, measure=False) as engine:
        assert engine.info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_faster_way_is_chosen() -> None:
    prompts = tuning.Measured(Tuning(flash=True), prefill=2000, decode=100, own=10)
    answers = tuning.Measured(Tuning(flash=False), prefill=1000, decode=400, own=10)
    apart = tuning.Measured(Tuning(workers=2), prefill=1000, decode=300, own=30)
    assert tuning.choose([prompts, answers]) == answers.tuning
    assert tuning.choose([prompts, answers, apart]) == apart.tuning


def test_settings_can_be_overruled(cache: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFGUIDE_ENGINE", "workers=2,parallel=5 flash=on")
    with tuning.open_tuned(path, measure=False, overrides={"parallel": 3}) as engine:
        assert (engine.tuning.workers, engine.tuning.parallel, engine.tuning.flash) == (2, 3, True)
    for text, why in {
        "worker=2": "there is no 'worker'",
        "cells=2": "there is no 'cells'",
        "workers=0": "at least 1",
        "threads=many": "whole number",
        "flash=maybe": "on or off",
        "parallel": "whole number",
    }.items():
        with pytest.raises(SelfguideError, match=why):
            tuning.parse_overrides(text)
    assert tuning.parse_overrides("gpu_layers=-1 threads=0 tree=off") == {"gpu_layers": -1, "threads": 0, "tree": False}


@pytest.mark.slow
def test_the_command_line_overrules(cache: Path, path: Path, tmp_path: Path) -> None:
    task = resource("tests/tiny_tasks/thank-you.yaml")
    words = ["generate", str(task), "-d", str(tmp_path / "x.db"), "-m", str(path)]
    bad = CliRunner().invoke(main, [*words, "--engine", "flash=maybe"])
    assert bad.exit_code == 2 and "flash is on or off" in bad.output
    few = ["--set", "rounds=1", "--set", "prompts_per_round=2", "--set", "input_max_tokens=4", "-q"]
    good = CliRunner().invoke(main, [*words, *few, "--engine", "flash=on", "--engine", "workers=2"])
    assert good.exit_code == 0, good.output
    assert "SELFGUIDE_ENGINE" not in os.environ


@pytest.mark.slow
def test_workers_are_measured_where_there_are_cores(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFGUIDE_THREADS", "2")
    model = Model(path)
    found = list(tuning.measure_all(model, 128))
    assert {(entry.tuning.workers, entry.tuning.threads) for entry in found} == {(1, 2), (2, 1)}
    assert all(min(entry.prefill, entry.decode, entry.own) > 0 for entry in found)
    monkeypatch.setattr(llama, "CACHE_SHARE", 0.0)  # no memory for more than one cache
    assert {entry.tuning.workers for entry in tuning.measure_all(model, 128)} == {1}
    assert tuning.unmeasured(model).workers == 1
    model.close()


def test_hashes_follow_the_file(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    assert file_sha256(file) == hashlib.sha256(b"one").hexdigest()
    assert file_sha256(file) == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"other")
    assert file_sha256(file) == hashlib.sha256(b"other").hexdigest()
    with pytest.raises(SelfguideError, match="cannot read"):
        file_sha256(tmp_path / "none")


def test_cache_folder(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_dir() == cache and cache.is_dir()
    write_json("a.json", {"b": 1})
    assert read_json("a.json") == {"b": 1} and read_json("none.json") == {}
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("SELFGUIDE_CACHE", str(file))
    with pytest.raises(SelfguideError, match="SELFGUIDE_CACHE"):
        cache_dir()
