"""Runs the contenders one after the other and puts their numbers beside one another."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfguide_lite.core.cache import cache_dir
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.llm import model_path

SIZES = ("160m", "1b", "7b")
ROWS = ("annotate", "tree", "score", "objects", "generate", "growth")
# what the engine is built to reach: ratios within one run
TARGETS = {
    ("annotate", "vs_loop"): 5.5,
    ("annotate", "of_ceiling"): 0.85,
    ("annotate", "waste"): 1.1,
    ("tree", "vs_plain"): 5.0,
    ("score", "vs_sample"): 5.0,
    ("objects", "vs_free"): 1.0,
    ("generate", "vs_loop"): 4.0,
    ("growth", "time"): 11.0,
    ("run", "vs_before"): 3.0,
    ("run", "read_vs_before"): 0.2,
    ("run", "busy_vs_quiet"): 2.5,
    ("predict", "bare_vs_full_tokens"): 0.2,
    ("train", "vs_plain"): 1.0,
    ("train", "loss_difference"): 0.01,
}
AT_MOST = {"waste", "time", "loss_difference", "read_vs_before", "busy_vs_quiet", "bare_vs_full_tokens"}


@dataclass(slots=True)
class Report:
    """Everything that was measured.

    :param rows: what the program-readable line holds, by workload
    :param missing: contenders that could not run, with the reason
    """

    model: str
    tuning: dict[str, Any]
    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def random_model(size: str) -> Path:
    """Return a random-weight llama of a known geometry, made in the cache folder if need be.

    :param size: one of `SIZES`
    """
    from selfguide_lite.gguf.random_model import write_random_llama

    path = cache_dir() / f"random-{size}-q4_0.gguf"
    if not path.exists():
        write_random_llama(path, size)
    return path


def run_bench(
    model: Path | None = None,
    *,
    random: str | None = None,
    rows: Sequence[str] = ROWS,
    training: Callable[[Path], dict[str, float]] | None = None,
    whole: Callable[[Path], dict[str, dict[str, float]]] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Measure each workload, every contender in its own process.

    :param model: the GGUF file; None: the default model
    :param random: a size of `SIZES`: `annotate` and `growth` run on a random-weight llama of that size, made first; the
        other workloads need a model that has learnt something and run on `model`
    :param training: measures the finetune of a model, for a row `train`
    :param whole: measures whole runs of a model, for rows of its own
    :param say: told what is being measured
    """
    from selfguide_lite.llm.tuning import fast_weights

    original = model_path(model)
    trained = fast_weights(original)  # every contender computes with the same weights
    if random is not None:
        say(f"making a random-weight model of size {random}")
    heavy = random_model(random) if random is not None else trained
    say("choosing the fastest settings")
    chosen = _contend("tune", heavy)
    if heavy != trained:
        _contend("tune", trained)
    report = Report(str(chosen["name"]), chosen["tuning"])

    def measure(name: str, path: Path) -> dict[str, Any]:
        say(f"measuring {name.replace('_', ': ')}")
        try:
            return _contend(name, path)
        except SelfguideError as error:
            report.missing[name] = str(error)
            return {}

    for row in rows:
        report.rows[row] = _MEASURES[row](measure, heavy, trained)
    if training is not None:
        say("measuring train")
        try:
            report.rows["train"] = {name: float(f"{value:.4g}") for name, value in training(original).items()}
        except SelfguideError as error:
            report.missing["train"] = str(error)
    if whole is not None:
        try:
            report.rows |= whole(original)
        except SelfguideError as error:
            report.missing["run"] = str(error)
    return report


_Measure = Callable[[str, Path], dict[str, Any]]


def _annotate(measure: _Measure, heavy: Path, trained: Path) -> dict[str, float]:
    loop = measure("annotate_loop", heavy)
    server = measure("annotate_server", heavy)
    engine = measure("annotate_engine", heavy)
    ceiling = measure("annotate_ceiling", heavy)
    rate = engine.get("rate", 0.0)
    return _numbers(
        {
            "tokens_per_second": rate,
            "loop": loop.get("rate"),
            "server": server.get("rate"),
            "ceiling": ceiling.get("rate"),
            "vs_loop": _ratio(rate, loop.get("rate")),
            "vs_server": _ratio(rate, server.get("rate")),
            "of_ceiling": _ratio(rate, ceiling.get("rate")),
            "waste": engine.get("waste"),
            "compute_share": engine.get("compute_share"),
        }
    )


def _tree(measure: _Measure, heavy: Path, trained: Path) -> dict[str, float]:
    found = measure("tree", trained)
    return _numbers(
        {
            "tokens_per_second": found.get("rate"),
            "plain": found.get("plain_rate"),
            "vs_plain": _ratio(found.get("rate"), found.get("plain_rate")),
            "tokens_per_node": found.get("tokens_per_node"),
            "bound": found.get("bound"),
            "same_texts": found.get("same_texts"),
        }
    )


def _score(measure: _Measure, heavy: Path, trained: Path) -> dict[str, float]:
    found = measure("score", trained)
    return _numbers(
        {
            "inputs_per_second": found.get("rate"),
            "sample": found.get("plain_sample_rate"),
            "tree_sample": found.get("sample_rate"),
            "vs_sample": _ratio(found.get("rate"), found.get("plain_sample_rate")),
            "vs_tree_sample": _ratio(found.get("rate"), found.get("sample_rate")),
        }
    )


def _objects(measure: _Measure, heavy: Path, trained: Path) -> dict[str, float]:
    found = measure("objects", trained)
    return _numbers(
        {
            "tokens_per_second": found.get("rate"),
            "free": found.get("free_rate"),
            "vs_free": _ratio(found.get("rate"), found.get("free_rate")),
            "forced_share": found.get("forced_share"),
            "whole": found.get("whole"),
        }
    )


def _generate(measure: _Measure, heavy: Path, trained: Path) -> dict[str, float]:
    loop, engine = measure("generate_loop", trained), measure("generate_engine", trained)
    return _numbers(
        {
            "inputs_per_second": engine.get("rate"),
            "loop": loop.get("rate"),
            "vs_loop": _ratio(engine.get("rate"), loop.get("rate")),
            "bound": _ratio(engine.get("bound"), loop.get("rate")),
        }
    )


def _growth(measure: _Measure, heavy: Path, trained: Path) -> dict[str, float]:
    found = measure("growth", heavy)
    return _numbers({"time": found.get("time"), "memory": found.get("memory")})


_MEASURES = {
    "annotate": _annotate,
    "tree": _tree,
    "score": _score,
    "objects": _objects,
    "generate": _generate,
    "growth": _growth,
}


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items() if value is not None}


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def _contend(name: str, path: Path) -> dict[str, Any]:
    """Run one contender in its own process.

    :raises SelfguideError: where it fails, with its last lines
    """
    command = [sys.executable, "-m", "selfguide_lite.bench.contenders", name, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]
        raise SelfguideError(f"{name}: {words}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
