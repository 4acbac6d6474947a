"""The benchmark: every contender of this engine's rows runs on a small workload and tells numbers that make sense."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from asking import SMALL
from click.testing import CliRunner

from selfguide_lite.bench import contenders, workloads
from selfguide_lite.cli import main
from selfguide_lite.core.resources import resource
from selfguide_lite.gguf.random_model import RandomWeights, write_random_llama
from selfguide_lite.llm import tuning
from selfguide_lite.llm.llama import Tuning
from selfguide_lite.llm.native import Model

pytestmark = pytest.mark.slow


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random model that two workers are the measured way for, and an annotate workload that is soon done."""
    monkeypatch.setenv("SELFGUIDE_CACHE", str(tmp_path / "cache"))
    sizes = {"INPUTS": 4, "SAMPLES": 4, "LENGTH": 6, "PREFIX": 40, "OWN": 12}
    for name, value in sizes.items():
        monkeypatch.setattr(workloads, name, value)
    file = write_random_llama(tmp_path / "model.gguf", SMALL, RandomWeights(sharpness=5), vocabulary="bpe")
    model = Model(file)
    ways = [Tuning(workers=2, threads=1, parallel=8), Tuning(threads=1, parallel=50)]
    tuning.keep(file, model, [tuning.Measured(way, 1000.0, 400.0, 10.0 - n) for n, way in enumerate(ways)])
    model.close()
    return file


def test_annotate(path: Path) -> None:
    engine, ceiling, loop = (
        contender(path)
        for contender in (contenders.annotate_engine, contenders.annotate_ceiling, contenders.annotate_loop)
    )
    assert engine["waste"] == pytest.approx(1.0, abs=0.1)
    assert 0 < engine["tokens"] <= 4 * 4 * 6 and loop["tokens"] > 0
    assert 0 < engine["compute_share"] <= 1
    assert ceiling["rate"] > 0 and ceiling["workers"] in (1, 2)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny test model through the real command: label scoring computes less than sampling does."""
    monkeypatch.setenv("SELFGUIDE_CACHE", str(tmp_path / "cache"))
    words = ["bench", "-m", str(resource("data/tiny_vicuna/tiny-vicuna.gguf")), "--only", "score", "--json"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output.splitlines()[-1])
    assert told["model"] == "tiny-vicuna" and not told["missing"]
    assert set(told["tuning"]) == set(Tuning.__dataclass_fields__)
    assert told["score"]["vs_sample"] > 1


def test_tree_and_generate_say_what_bounds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "TREE_INPUTS", 3)
    few = workloads.tree()
    monkeypatch.setattr(workloads, "tree", lambda: [requests[:3] for requests in few])
    found = contenders.tree(resource("data/tiny_vicuna/tiny-vicuna.gguf"))
    assert found["same_texts"] > 0.9  # the model's weights have 8 bits: sums in another order can change a draw
    assert found["tokens_per_node"] > found["bound"] > 1


def test_objects_are_whole_and_partly_forced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = workloads.objects(2)
    assert len(full) == 4 and all(request.schema is not None for request in full)
    monkeypatch.setattr(
        workloads, "objects", lambda: [replace(one, messages="Note: a flat", max_tokens=300) for one in full]
    )
    found = contenders.objects(path)
    assert found["whole"] == 1.0 and 0.2 < found["forced_share"] < 1
    assert found["rate"] > 0 and found["free_rate"] > 0
