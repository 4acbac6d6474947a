"""The benchmark: every contender of this engine's rows runs on a small workload and tells numbers that make sense."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from asking import SMALL
from click.testing import CliRunner

from selfguide_lite.bench import contenders, workloads
from selfguide_lite.cli import main
from selfguide_lite.core.resources import resource
from selfguide_lite.experiments.whole_run import STAGES, Job, measured
from selfguide_lite.gguf.random_model import RandomWeights, write_random_llama
from selfguide_lite.llm import tuning
from selfguide_lite.llm.llama import Tuning
from selfguide_lite.llm.native import Model
from selfguide_lite.task import load_task

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


@pytest.fixture
def quick_task(tmp_path: Path) -> Path:
    """A task of the tiny model whose whole run takes seconds."""
    task = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml"))
    rows = resource("tests/tiny_tasks/cheer-or-grumble.eval.jsonl").read_text(encoding="utf-8").splitlines()[:64]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    quick = {"rounds": 2, "prompts_per_round": 30, "prompts_per_draw": 15, "epochs": 1, "min_steps": 1}
    content = {
        "name": "quick",
        "kind": "classification",
        "instruction": task.instruction,
        "labels": list(task.labels),
        "examples": [{"input": one.input, "output": one.output} for one in task.examples],
        "eval": "rows.jsonl",
        "settings": {**quick, "input_style": "paper", "agreement_filter": False, "input_temperature": 0.8},
    }
    place = tmp_path / "quick.yaml"
    place.write_text(yaml.safe_dump(content), encoding="utf-8")
    return place


def test_a_run_is_measured_by_stage(quick_task: Path, tmp_path: Path) -> None:
    """One real run of the tiny model: its stages are nearly all of it, and what it read is counted."""
    done = measured(Job(str(quick_task), str(tmp_path / "a.db"), None, 42))
    assert done["pairs"] > 0 and done["read"] > 0 and done["written"] > 0 and len(done["scores"]) == 64
    assert all(seconds > 0 for seconds in done["stages"].values()) and set(done["stages"]) == set(STAGES)
    assert 0.5 * done["seconds"] < sum(done["stages"].values()) <= 1.01 * done["seconds"]
    assert done["prompt_tokens"] > 20


@pytest.mark.proof
def test_bench_run_measures_four_runs(quick_task: Path) -> None:
    """Through the command, each in a process of its own: every number is there and makes sense."""
    done = CliRunner().invoke(main, ["bench", "--only", "run", "--task", str(quick_task), "--busy", "1"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output.splitlines()[-1])
    assert not told["missing"]
    run, predict = told["run"], told["predict"]
    assert run["pairs"] > 0 and run["seconds"] > 0 and run["busy_vs_quiet"] > 0 and run["vs_before"] > 0
    assert all(run[stage] > 0 for stage in STAGES)
    # Shared draws are read once, also in so small a run.
    assert run["read_vs_before"] < 0.8 and run["tokens_read_per_pair"] > 0 and run["tokens_written_per_pair"] > 0
    assert told["before"]["tokens_read_per_pair"] > run["tokens_read_per_pair"]
    assert 0 < predict["bare_vs_full_tokens"] < 0.8
    assert predict["low"] <= predict["bare_vs_full_quality"] <= predict["high"]
    assert "read vs before" in done.output and "at most 0.2" in done.output


def test_a_whole_run_needs_a_task_that_is_right(tmp_path: Path) -> None:
    assert "--task TASK.yaml" in CliRunner().invoke(main, ["bench", "--only", "run"]).output
    (tmp_path / "bad.yaml").write_text("name: bad\nkind: poem\n", encoding="utf-8")
    done = CliRunner().invoke(main, ["bench", "--only", "run", "--task", str(tmp_path / "bad.yaml")])
    assert done.exit_code == 1 and "bad.yaml" in done.output and "running" not in done.output
