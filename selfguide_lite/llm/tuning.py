"""Finds out what is fastest for one model on one machine by a short measurement, and remembers it.

What is measured is what synthesis does: sequences that share a prefix and go on token by token, and prompts.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from selfguide_lite.core.cache import read_json, write_json
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.machine import cores
from selfguide_lite.llm.context_options import ContextOptions
from selfguide_lite.llm.copy_trial import try_copy
from selfguide_lite.llm.llama import DEFAULT_CONTEXT, LlamaEngine, Tuning, affordable_cells
from selfguide_lite.llm.native import Context, Model, library_description
from selfguide_lite.llm.team import PREFIX, Measured, Team
from selfguide_lite.llm.working_copy import working_copy

ENGINE_VARIABLE = "SELFGUIDE_ENGINE"
_SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}
_LEAST = {"gpu_layers": -1, "threads": 0}
_CACHE = "tuning.json"
_VERSION = 3
_SECONDS = 20.0  # for the whole measurement of a model of gigabytes, roughly; a small one takes about two seconds
_QUIET = 0.75  # share of the time asked for that a measurement must have had on the processor
_SOME_PARALLEL = (8, 16, 24, 32, 48)
_GPU_PARALLEL = (16, 32, 64, 128)


def open_tuned(
    path: Path,
    *,
    n_ctx: int | None = None,
    adapter: Path | None = None,
    measure: bool = True,
    overrides: Mapping[str, Any] | None = None,
) -> LlamaEngine:
    """Open a model with the settings that were measured for it on this machine; measure them where none are kept.

    :param measure: False: take kept settings or defaults, measure nothing
    :param overrides: fields of `Tuning` that are taken as they are; so are those in the environment's
        `SELFGUIDE_ENGINE`, written as for `parse_overrides`
    :raises SelfguideError: as `LlamaEngine`
    """
    overrides = {**parse_overrides(os.environ.get(ENGINE_VARIABLE, "")), **(overrides or {})}
    unknown = set(overrides) - {field.name for field in fields(Tuning)}
    if unknown:
        raise SelfguideError(f"unknown engine setting {sorted(unknown)[0]!r}")
    used = path if overrides.get("exact") else fast_weights(path, overrides.get("gpu_layers"), measure=measure)
    model, layers = load(used, overrides.get("gpu_layers"))
    try:
        found = kept(used, model)
        if found is None and measure:
            measured, quiet = measure_quietly(model, n_ctx or DEFAULT_CONTEXT)
            if quiet:  # else another program has the processor: defaults now, and measured next time
                found = measured
                keep(used, model, found)
        tuning = choose(found) if found else unmeasured(model)
        tuning = replace(tuning, **{"gpu_layers": layers, **overrides})
        return LlamaEngine(path, n_ctx=n_ctx, adapter=adapter, tuning=tuning, model=model)
    except BaseException:
        model.close()
        raise


def parse_overrides(text: str) -> dict[str, int | bool]:
    """Read engine settings such as `workers=1 flash=on`.

    :raises SelfguideError: where a setting or its value does not exist
    """
    found: dict[str, int | bool] = {}
    for part in text.replace(",", " ").split():
        key, _, value = part.partition("=")
        default = getattr(Tuning(), key, None) if key in {field.name for field in fields(Tuning)} else None
        if default is None:
            names = ", ".join(field.name for field in fields(Tuning))
            raise SelfguideError(f"engine setting {part!r}: there is no {key!r}; there are {names}")
        if isinstance(default, bool):
            if value not in _SWITCH:
                raise SelfguideError(f"engine setting {part!r}: {key} is on or off")
            found[key] = _SWITCH[value]
            continue
        least = _LEAST.get(key, 1)
        if not value.removeprefix("-").isdecimal() or not least <= int(value) <= 2**16:
            raise SelfguideError(f"engine setting {part!r}: {key} must be a whole number, at least {least}")
        found[key] = int(value)
    return found


def fast_weights(path: Path, gpu_layers: int | None = None, *, measure: bool = False) -> Path:
    """Return the file to compute with; a graphics card computes every type fast, so there it is the model itself.

    :param measure: find out whether a copy is faster, where that is not known on this machine
    """
    return path if has_gpu() and gpu_layers != 0 else working_copy(path, try_copy if measure else None)


def load(path: Path, gpu_layers: int | None = None) -> tuple[Model, int]:
    """Load a model with as many layers on the GPU as fit; on a machine without one it makes no difference.

    :return: the model and the number of layers asked for (negative: all)
    """
    if gpu_layers is not None:
        return Model(path, gpu_layers=gpu_layers), gpu_layers
    layers = -1
    while True:
        try:
            model = Model(path, gpu_layers=layers)
            if layers == 0 or _holds_context(model):
                return model, layers
            total = model.layers + 1
            model.close()
        except SelfguideError:
            if layers == 0 or not has_gpu():
                raise
            total = _layers(path) + 1
        layers = (total if layers < 0 else layers) * 3 // 4


def _holds_context(model: Model) -> bool:
    """Whether there is room for a KV cache beside the weights (only a GPU is short of it)."""
    if not has_gpu():
        return True
    try:
        Context(model, ContextOptions(cells=DEFAULT_CONTEXT, batch=512, flash=True)).close()
    except SelfguideError:
        return False
    return True


def _layers(path: Path) -> int:
    model = Model(path, vocab_only=True)
    try:
        name = model.metadata("general.architecture")
        return int(model.metadata(f"{name}.block_count") or 64)
    finally:
        model.close()


def has_gpu() -> bool:
    """Whether this build of llama.cpp can use a graphics card."""
    import llama_cpp

    return bool(llama_cpp.llama_supports_gpu_offload())


# what is kept


def _key(path: Path, model: Model) -> str:
    """Name a model and a machine: a file of the same size and shape, the same processor, cores and llama.cpp."""
    state = path.stat()
    parts = (_VERSION, path.resolve(), state.st_size, state.st_mtime_ns, cores(), _processor(), library_description())
    return hashlib.sha256("\n".join(map(str, (*parts, model.parameters))).encode()).hexdigest()[:32]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        import platform

        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def kept(path: Path, model: Model) -> list[Measured] | None:
    """Return what was measured for this model on this machine; None where nothing was."""
    rows = read_json(_CACHE).get(_key(path, model))
    try:
        return [
            Measured(Tuning(**row["tuning"]), *(float(row[name]) for name in ("prefill", "decode", "own")))
            for row in rows or []
        ] or None
    except (TypeError, KeyError, ValueError):
        return None


def keep(path: Path, model: Model, found: list[Measured]) -> None:
    """Remember a measurement."""
    known = read_json(_CACHE)
    known[_key(path, model)] = [asdict(entry) for entry in found]
    write_json(_CACHE, known)


def choose(found: list[Measured]) -> Tuning:
    """Return the way that does a stage's typical mixture fastest."""
    return min(found, key=lambda entry: entry.seconds).tuning


def unmeasured(model: Model) -> Tuning:
    """Return what is taken where nothing was measured: a small model on a processor gets a worker for each core."""
    if has_gpu() or model.size > 2**29:
        return Tuning()
    return Tuning(workers=_most_workers(model, cores(), DEFAULT_CONTEXT), parallel_own=2)


def _most_workers(model: Model, wanted: int, n_ctx: int) -> int:
    """Return how many workers there can be before their caches take too much memory."""
    return max(1, min(wanted, affordable_cells(model) // Tuning.cells(16, min(n_ctx, model.trained_context))))


# the measurement


def measure_quietly(model: Model, n_ctx: int) -> tuple[list[Measured], bool]:
    """Measure, and tell whether the machine was quiet enough for the numbers to be trusted."""
    began, worked = time.perf_counter(), time.process_time()
    found: list[Measured] = []
    for entry in measure_all(model, n_ctx):
        found.append(entry)
        if len(found) == 1 and not has_gpu():
            share = (time.process_time() - worked) / (time.perf_counter() - began)
            if share < _QUIET * entry.tuning.threads:
                return found, False
    return found, True


def measure_all(model: Model, n_ctx: int, clock: Callable[[], float] = time.perf_counter) -> Iterator[Measured]:
    """Measure the ways worth trying: workers and their threads, flash attention, numbers of sequences.

    Takes a few seconds; what comes first is measured in any case.

    :param n_ctx: tokens the context must hold for one sequence
    """
    n_ctx = min(n_ctx, model.trained_context)
    limit = min(_SECONDS, 4 + model.size / 2**25)
    until = clock() + limit
    flash = has_gpu()
    found: list[Measured] = []

    def measure(workers: int, threads: int, flash: bool) -> Measured:
        tuning = Tuning(workers=workers, threads=threads, flash=flash)
        parallels = _GPU_PARALLEL if has_gpu() else _SOME_PARALLEL
        team = Team(model, tuning, min(PREFIX, n_ctx // 2), max(parallels), clock, limit / 8)
        try:
            found.append(team.measure(parallels))
        finally:
            team.close()
        return found[-1]

    for workers, threads in _teams(model, n_ctx):
        if not found or clock() < until:
            yield measure(workers, threads, flash)
    if clock() < until:
        best = choose(found)
        yield measure(best.workers, best.threads, not flash)


def _teams(model: Model, n_ctx: int) -> list[tuple[int, int]]:
    """Return the ways to divide the cores among workers: (workers, threads of each), the extremes first."""
    total = cores()
    if has_gpu():
        return [(1, total)]
    most = _most_workers(model, total, n_ctx)
    divided = [count for count in (total, 2, total // 2, total // 4) if 1 < count <= most]
    return [(1, total), *((count, total // count) for count in dict.fromkeys(divided))]
