"""The working copy: made once where the weights are of a slow type, computed with, and never seen by anything else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import llama_cpp
import psutil
import pytest
from click.testing import CliRunner
from llamas import random_llama, random_lora

from selfguide_lite.bench import contenders
from selfguide_lite.cli import main
from selfguide_lite.cli.common import engine_options
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.gguf import quantize as quantizing
from selfguide_lite.gguf.adapter import check_adapter, write_adapter
from selfguide_lite.gguf.quantize import quantize
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.llm import (
    EngineOptions,
    Message,
    Request,
    ScoreRequest,
    copy_trial,
    open_engine,
    tuning,
    working_copy,
)
from selfguide_lite.llm.llama import LlamaEngine, Tuning
from selfguide_lite.llm.native import Model
from selfguide_lite.llm.tuning import Measured, has_gpu, keep
from selfguide_lite.models.copy_trials import Trial, keep_trial

TYPES = {"q4_1": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_1, "q5_1": llama_cpp.LLAMA_FTYPE_MOSTLY_Q5_1}
QUESTIONS = [
    ScoreRequest(str(n), (Message("user", f"Is {n} the good one?"),), ("yes", "no", "the other")) for n in range(6)
]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(has_gpu(), reason="with a graphics card no copy is made")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SELFGUIDE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Random models in types that the tool itself never writes."""
    folder = tmp_path_factory.mktemp("slow")
    plain = random_llama(folder)

    def make(kind: str) -> Path:
        path = folder / f"{kind}.gguf"
        if not path.exists():
            with pytest.MonkeyPatch.context() as patch:
                if kind in TYPES:
                    patch.setitem(quantizing.FILE_TYPES, kind, TYPES[kind])
                quantize(plain, path, kind)
        return path

    return make


def opened(path: Path, adapter: Path | None = None, **options: int | bool) -> LlamaEngine:
    engine = open_engine(path, EngineOptions(tune=False, tuning=options), adapter=adapter)
    assert isinstance(engine, LlamaEngine)
    return engine


def computes_with(path: Path, **options: int | bool) -> Path:
    with opened(path, **options) as engine:
        assert engine.info.path == str(path) and engine.info.sha256 == file_sha256(path)
        return engine._model.path


def kinds(path: Path) -> set[str]:
    with GgufFile(path) as gguf:
        return {info.kind.name for info in gguf.tensors.values() if len(info.shape) > 1}


@pytest.mark.parametrize("kind", TYPES)
def test_made_once_and_used(slow: Callable[[str], Path], cache: Path, kind: str) -> None:
    path = slow(kind)
    assert kind.upper() in kinds(path)
    copy = computes_with(path)
    assert copy.parent == cache / "working" and file_sha256(path) in copy.name
    assert kinds(copy) == {"Q8_0"} and working_copy.found_copy(path) == copy
    made = copy.stat()
    assert computes_with(path) == copy
    now = copy.stat()
    assert (made.st_ino, made.st_mtime_ns) == (now.st_ino, now.st_mtime_ns)
    assert list(copy.parent.iterdir()) == [copy]


@pytest.mark.parametrize("kind", ["q4_0", "q8_0", "q4_k_m", "f16"])
def test_other_types_are_used_as_they_are(slow: Callable[[str], Path], cache: Path, kind: str) -> None:
    path = slow(kind)
    assert computes_with(path) == path and not (cache / "working").exists()


def test_the_copy_scores_as_the_original(slow: Callable[[str], Path]) -> None:
    def scores(**options: int | bool) -> list[tuple[float, ...]]:
        with opened(slow("q4_1"), **options) as engine:
            found = {one.key: one.logprobs for one in engine.score(QUESTIONS)}
            return [found[request.key] for request in QUESTIONS]

    by_copy, exactly = scores(), scores(exact=True)
    assert by_copy != exactly  # other kernels and one rounding more
    for ours, theirs in zip(by_copy, exactly, strict=True):
        assert ours == pytest.approx(theirs, rel=0.02)


def test_an_adapter_of_the_original_still_loads(slow: Callable[[str], Path], tmp_path: Path) -> None:
    path = slow("q4_1")
    adapter = write_adapter(random_lora(tmp_path / "lora", path), path, tmp_path / "a.gguf")
    check_adapter(adapter, path)
    with opened(path) as engine:
        plain = next(iter(engine.score(QUESTIONS[:1]))).logprobs
    with opened(path, adapter=adapter) as engine:
        assert engine._model.path != path and engine.info.adapter == str(adapter)
        adapted = next(iter(engine.score(QUESTIONS[:1]))).logprobs
        engine.set_adapter(None)
        assert next(iter(engine.score(QUESTIONS[:1]))).logprobs == pytest.approx(plain, abs=1e-4)
        engine.set_adapter(adapter)
    assert adapted != pytest.approx(plain, abs=0.01)


def test_the_original_can_be_asked_for(slow: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = slow("q4_1")
    monkeypatch.setenv("SELFGUIDE_ENGINE", "exact=on")
    assert computes_with(path) == path
    monkeypatch.setenv("SELFGUIDE_ENGINE", "exact=off")
    assert computes_with(path) != path


def test_measurements_are_the_copys(slow: Callable[[str], Path]) -> None:
    path = slow("q4_1")
    copy = working_copy.working_copy(path)
    model = Model(copy)
    keep(copy, model, [Measured(Tuning(parallel=5), 100.0, 50.0, 2.0)])
    model.close()
    with opened(path) as engine:
        assert engine.tuning.parallel == 5
    with opened(path, exact=True) as engine:
        assert engine.tuning.parallel != 5


def test_the_bench_looks_up_what_was_measured_for_the_copy(
    slow: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = slow("q4_1")
    copy = working_copy.working_copy(path)
    model = Model(copy)
    keep(copy, model, [Measured(Tuning(workers=2, threads=1, parallel=8), 100.0, 50.0, 2.0)])
    model.close()
    monkeypatch.setattr(contenders.workloads, "generate", lambda: [[Request("a", "one two", max_tokens=4)]])
    assert contenders.generate_engine(path)["bound"] is not None
    used: list[Path] = []
    monkeypatch.setattr(contenders, "load", lambda path: (used.append(path), tuning.load(path))[1])
    for name, value in {"INPUTS": 4, "SAMPLES": 4, "LENGTH": 6, "PREFIX": 40, "OWN": 12}.items():
        monkeypatch.setattr(contenders.workloads, name, value)
    assert contenders.annotate_ceiling(path)["workers"] == 2 and used == [copy]


def found(path: Path, faster: float, difference: float = 0.01) -> Callable[[Path, Path, str], Trial]:
    """A trial that comes out in a given way, written down as a real one is."""

    def trial(original: Path, copy: Path, kind: str) -> Trial:
        assert original == path and copy.is_file() and copy.name.endswith(f"-{kind}.gguf")
        made = Trial(path.name, kind, copy_trial._machine(), faster, difference)
        keep_trial(file_sha256(path), made)
        return made

    return trial


def never(original: Path, copy: Path, kind: str) -> Trial:
    raise AssertionError("it was tried before")


@pytest.mark.parametrize(("faster", "difference", "used"), [(1.5, 0.01, True), (1.0, 0.01, False), (1.5, 0.5, False)])
@pytest.mark.parametrize("kind", ["q4_1", "q4_k_m"])
def test_a_copy_is_used_where_it_is_faster_and_says_the_same(
    slow: Callable[[str], Path], cache: Path, kind: str, faster: float, difference: float, used: bool
) -> None:
    path = slow(kind)
    file = working_copy.working_copy(path, found(path, faster, difference))
    assert (file != path) == used == any((cache / "working").iterdir())
    assert working_copy.working_copy(path, never) == working_copy.working_copy(path) == file
    if used:
        shown = CliRunner().invoke(main, ["models"]).output
        assert f"{faster:.2f} times as fast as {path.name}, label shares up to {difference:.3f} apart" in shown
        file.unlink()
        assert working_copy.working_copy(path, never) == file and file.is_file()


@pytest.mark.parametrize("kind", ["q4_1", "q8_0", "q4_k_m"])
@pytest.mark.parametrize(("faster", "used"), [(0.9, True), (0.7, False)])
def test_a_small_model_has_an_exact_copy_also_where_it_is_a_little_slower(
    slow: Callable[[str], Path], cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str, faster: float, used: bool
) -> None:
    monkeypatch.setattr(working_copy, "_TINY", 0)  # the tests' models count as small ones
    path = slow(kind)
    file = working_copy.working_copy(path, found(path, faster))
    assert working_copy.working_copy(path, never) == working_copy.working_copy(path) == file
    assert file == (cache / "working" / f"{file_sha256(path)}-f16.gguf" if used else path)
    if used:
        assert kinds(file) == {"F16"} and working_copy.found_copy(path) == file
        assert computes_with(path) == file


@pytest.mark.parametrize("kind", ["f16", "f32"])
def test_what_is_exact_has_no_copy(slow: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(working_copy, "_TINY", 0)
    assert working_copy.working_copy(slow(kind), never) == slow(kind)


def test_the_exact_copy_is_nearer_to_what_the_weights_say(
    slow: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the same weights in 32 bits; llama.cpp rounds what it multiplies with quantized weights to eight bits."""

    def scores(path: Path) -> list[float]:
        with opened(path) as engine:
            found = {one.key: one.logprobs for one in engine.score(QUESTIONS)}
        return [value for request in QUESTIONS for value in found[request.key]]

    path = slow("q4_1")
    quantize(path, tmp_path / "f32.gguf", "f32", again=True)
    truth, by_q8 = scores(tmp_path / "f32.gguf"), scores(path)
    monkeypatch.setattr(working_copy, "_TINY", 0)
    by_f16 = scores(path)
    errors = [max(abs(a - b) for a, b in zip(given, truth, strict=True)) for given in (by_f16, by_q8)]
    assert errors[0] < 0.2 * errors[1]


def test_what_another_machine_found_does_not_count(slow: Callable[[str], Path]) -> None:
    path = slow("q4_k_m")
    keep_trial(file_sha256(path), Trial(path.name, "q8_0", "another", 3.0, 0.0))
    assert working_copy.working_copy(path) == path
    assert working_copy.working_copy(path, found(path, 1.0)) == path


@pytest.mark.parametrize("kind", ["q4_1", "q4_k_m", "q8_0"])
def test_a_real_trial_decides(slow: Callable[[str], Path], cache: Path, kind: str) -> None:
    path = slow(kind)
    file = working_copy.working_copy(path, copy_trial.try_copy)
    known = copy_trial.known_trial(file_sha256(path), "q8_0")
    if kind == "q8_0":
        assert file == path and known is None and not (cache / "working").exists()
    elif known is None:  # other programs had the processor
        assert (file != path) == (kind == "q4_1")
    else:
        assert known.faster > 0 and 0 <= known.difference < 0.1
        assert (file != path) == known.worth_it == any((cache / "working").iterdir())


def test_the_flag_keeps_the_very_file(slow: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """`--exact`, beside `--engine` and what the environment says."""
    monkeypatch.setenv("SELFGUIDE_ENGINE", "parallel=3")
    seen: list[str] = []
    command = engine_options(click.command("look")(lambda **_: seen.append(os.environ["SELFGUIDE_ENGINE"])))
    for given in ([], ["--exact"], ["--exact", "--engine", "workers=1"], ["--engine", "parallel=5", "--exact"]):
        assert CliRunner().invoke(command, given).exit_code == 0
    read = [tuning.parse_overrides(text) for text in seen]
    assert read[:3] == [{"parallel": 3}, {"parallel": 3, "exact": True}, {"parallel": 3, "exact": True, "workers": 1}]
    assert read[3] == {"parallel": 5, "exact": True}
    assert os.environ["SELFGUIDE_ENGINE"] == "parallel=3"
    assert computes_with(slow("q4_1"), exact=True) == slow("q4_1")


def test_no_room_is_no_error(
    slow: Callable[[str], Path], cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = slow("q4_1")
    with monkeypatch.context() as patch:
        patch.setattr(working_copy, "_BYTES", {"f16": 1e9, "q8_0": 1e9})  # as if the model were far larger
        assert computes_with(path) == path
    with monkeypatch.context() as patch:
        patch.setattr(working_copy, "_MEMORY_SHARE", 1.0 / psutil.virtual_memory().total)
        assert computes_with(path) == path
    shutil.rmtree(cache / "working")
    (cache / "working").write_text("in the way", encoding="utf-8")
    assert computes_with(path) == path


def test_a_damaged_copy_is_made_again(slow: Callable[[str], Path]) -> None:
    path = slow("q4_1")
    copy = working_copy.working_copy(path)
    whole = copy.read_bytes()
    copy.write_bytes(whole[: len(whole) // 2])
    assert working_copy.found_copy(path) is None
    assert computes_with(path) == copy and copy.read_bytes() == whole


def test_the_list_of_models_has_it_and_removes_it(slow: Callable[[str], Path]) -> None:
    path = slow("q4_1")
    copy = working_copy.working_copy(path)
    name = f"{file_sha256(path)[:12]}-q8_0"
    shown = CliRunner().invoke(main, ["models"])
    assert shown.exit_code == 0 and name in shown.output and "copy" in shown.output
    assert CliRunner().invoke(main, ["models", "remove", name]).exit_code == 0
    assert not copy.exists() and path.exists()
    assert CliRunner().invoke(main, ["models", "remove", name]).exit_code == 1
