"""Finds out what is fastest for one model on one machine by a short measurement, and remembers it.

What is measured is what synthesis does: sequences that share a prefix and go on token by token, and prompts.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from selfguide_lite.cache import read_json, write_json
from selfguide_lite.errors import SelfguideError
from selfguide_lite.llm.llama import DEFAULT_CONTEXT, LlamaEngine, Tuning
from selfguide_lite.llm.native import Context, ContextOptions, Model, cores, library_description

_CACHE = "tuning.json"
_VERSION = 1
_PREFIX = 384  # tokens that all sequences share, at most
_TAIL = 24  # tokens of its own that each sequence has
_SECONDS = 15.0  # for the whole measurement of a model of gigabytes, roughly; a small one takes about a second
_QUIET = 0.75  # share of the time asked for that a measurement must have had on the processor
_SOME_PARALLEL = (8, 16, 24, 32, 48)
_GPU_PARALLEL = (16, 32, 64, 128)
_STEP_SECONDS = 1.0  # a step should not be longer, or Ctrl-C would be felt to hang


@dataclass(frozen=True, slots=True)
class Measured:
    """What one way of computing reached.

    :param prefill: prompt tokens a second
    :param decode: tokens a second with `tuning.parallel` sequences
    """

    tuning: Tuning
    prefill: float
    decode: float


def open_tuned(
    path: Path,
    *,
    n_ctx: int | None = None,
    adapter: Path | None = None,
    adapter_scale: float = 1.0,
    measure: bool = True,
    overrides: dict[str, Any] | None = None,
) -> LlamaEngine:
    """Open a model with the settings that were measured for it on this machine; measure them where none are kept.

    :param measure: False: take kept settings or defaults, measure nothing
    :param overrides: fields of `Tuning` that are taken as they are
    :raises SelfguideError: as `LlamaEngine`
    """
    overrides = overrides or {}
    unknown = set(overrides) - {field.name for field in fields(Tuning)}
    if unknown:
        raise SelfguideError(f"unknown engine setting {sorted(unknown)[0]!r}")
    model, layers = load(path, overrides.get("gpu_layers"))
    try:
        found = kept(path, model)
        if found is None and measure:
            measured, quiet = measure_quietly(model, n_ctx or DEFAULT_CONTEXT)
            if quiet:  # else another program has the processor: defaults now, and measured next time
                found = measured
                keep(path, model, found)
        tuning = choose(found) if found else Tuning()
        tuning = replace(tuning, **{"gpu_layers": layers, **overrides})
        return LlamaEngine(path, n_ctx=n_ctx, adapter=adapter, adapter_scale=adapter_scale, tuning=tuning, model=model)
    except BaseException:
        model.close()
        raise


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
            Measured(Tuning(**row["tuning"]), float(row["prefill"]), float(row["decode"])) for row in rows or []
        ] or None
    except (TypeError, KeyError, ValueError):
        return None


def keep(path: Path, model: Model, found: list[Measured]) -> None:
    """Remember a measurement."""
    known = read_json(_CACHE)
    known[_key(path, model)] = [asdict(entry) for entry in found]
    write_json(_CACHE, known)


def choose(found: list[Measured]) -> Tuning:
    """Return the way that does a stage's typical mixture fastest: one prompt token for each two that are written."""

    def seconds(entry: Measured) -> float:
        return 1 / entry.prefill + 2 / entry.decode

    return min(found, key=seconds).tuning


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
    """Measure the ways worth trying: flash attention, threads, numbers of sequences. Takes a few seconds.

    :param n_ctx: tokens the context must hold for one sequence
    """
    n_ctx = min(n_ctx, model.trained_context)
    limit = min(_SECONDS, 1 + model.size / 2**28)
    budget = clock() + limit
    gpu = has_gpu()
    threads = cores()
    few = (1,) if threads > 1 and model.size < 64 * 2**20 else ()
    prefix = min(_PREFIX, n_ctx // 2)
    best = 0.0
    for number, count in enumerate((threads, *few)):
        for flash in (True, False) if gpu else (False, True):
            if best and (clock() > budget or (number and flash != gpu)):
                break
            for entry in _measure(
                model, count, flash, prefix, _GPU_PARALLEL if gpu else _SOME_PARALLEL, clock, budget, limit
            ):
                best = max(best, entry.decode)
                yield entry


def _measure(
    model: Model,
    threads: int,
    flash: bool,
    prefix: int,
    parallels: tuple[int, ...],
    clock: Callable[[], float],
    budget: float,
    limit: float,
) -> Iterator[Measured]:
    most = max(parallels)
    cells = prefix + most * (_TAIL + 8) + 64
    context = Context(model, ContextOptions(cells=cells, batch=512, flash=flash, threads=threads, sequences=most + 1))
    try:
        rng = np.random.default_rng(1)
        _run(context, rng, [0], 0, 8)  # the first call of a context is slow
        context.clear()
        # a slow model gets a shorter prefix, in steps, so that the whole stays short
        done, spent = 0, 0.0
        while done < prefix and spent < limit / 8:
            began = clock()
            size = min(prefix - done, 64 if not done else 128)
            _run(context, rng, [0], done, size)
            spent += clock() - began
            done += size
        prefill = done / spent
        chunk = int(min(512, max(32, prefill * _STEP_SECONDS)))
        rate = 0.0
        for parallel in parallels:
            others = list(range(1, parallel + 1))
            for sequence in others:
                context.copy(0, sequence, done)
            position = done
            per = max(1, min(_TAIL, 512 // parallel))
            if parallel * per / prefill < limit / 10:
                _run(context, rng, others, position, per)
                position += per
            began, steps = clock(), 0
            while steps < 2 or (clock() - began < 0.15 and steps < 8):
                _run(context, rng, others, position, 1)
                position += 1
                steps += 1
            before, rate = rate, parallel * steps / (clock() - began)
            for sequence in others:
                context.cut(sequence)
            tuning = Tuning(parallel=parallel, batch=512, chunk=chunk, flash=flash, threads=threads)
            yield Measured(tuning, prefill, rate)
            if rate < before * 0.9 or clock() > budget:
                break
    finally:
        context.close()


def _run(context: Context, rng: np.random.Generator, sequences: list[int], position: int, size: int) -> None:
    """Compute `size` random tokens at the end of each sequence, with logits of the last."""
    count = len(sequences) * size
    context.token[:count] = rng.integers(3, context.model.vocabulary.size, count)
    context.pos[:count] = np.tile(np.arange(position, position + size), len(sequences))
    context.seq[:count] = np.repeat(sequences, size)
    context.output[:count] = 0
    context.output[size - 1 : count : size] = 1
    if not context.decode(count):
        raise SelfguideError("the measurement of this machine did not fit its own context")
    context.synchronize()
