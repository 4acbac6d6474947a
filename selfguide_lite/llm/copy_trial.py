"""Whether a working copy is worth using: the model and its copy are timed, and their answers are compared.

What comes of it is kept for this machine, and shown by `selfguide models`.
"""

import time
from pathlib import Path

from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.machine import cores
from selfguide_lite.core.messages import Message
from selfguide_lite.llm.base import ScoreRequest
from selfguide_lite.llm.llama import LlamaEngine, Tuning
from selfguide_lite.llm.native import Model, library_description
from selfguide_lite.llm.shares import shares
from selfguide_lite.llm.team import PREFIX, Team
from selfguide_lite.models.copy_trials import Trial, keep_trial, kept_trial

_PARALLEL = 16
_PATIENCE = 0.25  # seconds for a part of a measurement, roughly
_QUIET = 0.75  # share of the time asked for that a measurement must have had on the processor
_LABELS = ("good", "bad", "neither")
_TEXTS = (
    "The soup was cold, and nobody came to ask how it was.",
    "We stayed a day longer, for the garden alone.",
    "Your parcel was handed in at the office on Monday.",
    "I would not send my worst enemy to that dentist.",
    "It does what it says, no more and no less.",
    "Best concert in years; even my father danced.",
)


def known_trial(sha256: str, kind: str) -> Trial | None:
    """Return what was found for the copy of a model with this processor and this llama.cpp.

    :param sha256: the original's
    :param kind: the copy's type
    """
    found = kept_trial(sha256, kind)
    return found if found is not None and found.machine == _machine() else None


def try_copy(path: Path, copy: Path, kind: str) -> Trial | None:
    """Compare a model with its copy; None where other programs have the processor, so that times say nothing.

    Takes a few seconds for a small model.
    """
    began, worked = time.perf_counter(), time.process_time()
    seconds = [_seconds(one) for one in (path, copy)]
    if time.process_time() - worked < _QUIET * cores() * (time.perf_counter() - began):
        return None
    ours, theirs = _label_shares(path), _label_shares(copy)
    pairs = [pair for one, other in zip(ours, theirs, strict=True) for pair in zip(one, other, strict=True)]
    difference = max(abs(one - other) for one, other in pairs)
    trial = Trial(path.name, kind, _machine(), round(seconds[0] / seconds[1], 3), round(difference, 4))
    keep_trial(file_sha256(path), trial)
    return trial


def _seconds(path: Path) -> float:
    """Return the time for a typical mixture."""
    model = Model(path, gpu_layers=0)
    try:
        prefix = min(PREFIX, model.trained_context // 2)
        team = Team(model, Tuning(workers=1, threads=cores()), prefix, _PARALLEL, time.perf_counter, _PATIENCE)
        try:
            return team.measure((_PARALLEL,)).seconds
        finally:
            team.close()
    finally:
        model.close()


def _label_shares(path: Path) -> list[tuple[float, ...]]:
    model = Model(path, gpu_layers=0)
    prompts = [(Message("user", f"Is this good or bad? {text}"),) for text in _TEXTS]
    with LlamaEngine(path, n_ctx=min(512, model.trained_context), tuning=Tuning(), model=model) as engine:
        asked = (ScoreRequest(str(number), prompt, _LABELS) for number, prompt in enumerate(prompts))
        found = {one.key: shares(one.logprobs) for one in engine.score(asked)}
    return [found[str(number)] for number in range(len(prompts))]


def _machine() -> str:
    return f"{cores()} cores, {library_description()}"
