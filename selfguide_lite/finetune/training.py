"""Finetunes a model on pairs of texts; a log keeps every step. Knows nothing of tasks, prompts and stores."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import read_object, write_object
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.paths import OLD_TRAINING, training_folder
from selfguide_lite.core.progress import Listener, NullListener, TrainStep
from selfguide_lite.core.settings import as_recorded
from selfguide_lite.finetune.base import base_folder
from selfguide_lite.finetune.checkpoints import checkpoint_step
from selfguide_lite.finetune.job import Fit, FitJob
from selfguide_lite.finetune.launch import is_main_process, world_size
from selfguide_lite.finetune.log import TrainLog
from selfguide_lite.finetune.memory import Shape
from selfguide_lite.finetune.options import TrainOptions, total_steps
from selfguide_lite.finetune.rows import Ask, Rows, TextPair, make_rows
from selfguide_lite.finetune.trainers import trainer_named

MARKER = "selfguide.json"
_PLAN = "plan.json"
# Options that change how a training is done, not what comes of it.
_NO_PART = ("save_steps", "gradient_checkpointing")
# Under these names the options were hashed first: a training that was finished then is not done again.
_NAMES_IN_PLAN = {"gradient_accumulation_steps": "accumulation", "max_seq_length": "max_length"}


@dataclass(frozen=True, slots=True)
class TrainTarget:
    """What is finetuned, and where to.

    :param model: the GGUF that the adapter is for: its vocabulary and chat template make the rows, and its weights are
        the base
    :param out: folder of trainings: each has a folder of its own in it, for the LoRA and its checkpoints, whose name
        follows from data, options and model
    :param base: Hugging Face folder or name to take the weights from, in place of the GGUF's own
    :param apart: train in a process of its own, so that a lack of memory does not end this one; several processes of
        one launch are that already
    """

    model: Path
    out: Path
    base: str | None = None
    apart: bool = False


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training.

    :param folder: PEFT folder of the LoRA
    :param run_id: in the log; 0 in another process of a launch than the first, which keeps no log
    :param examples: rows trained on
    :param left_out: rows that were too long
    :param loss: mean over the last tenth of the steps
    :param skipped: whether the work was done already
    """

    folder: Path
    run_id: int
    examples: int
    left_out: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    resumed_at: int = 0
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A training that is about to begin."""

    job: FitJob
    rows: Rows
    info: ModelInfo
    plan: dict[str, Any]


def train(
    pairs: Sequence[TextPair],
    ask: Ask,
    target: TrainTarget,
    options: TrainOptions,
    log: TrainLog,
    listener: Listener | None = None,
) -> TrainResult:
    """Finetune a model on pairs.

    Goes on where an interrupted training of the same data and options stopped; a finished one is not done again.

    :param pairs: at least one
    :param ask: makes the prompt for an input
    :param log: is given every step, in the main process alone
    :raises SelfguideError: where memory or packages are missing, all pairs are too long, or the model is unfit
    """
    listener = listener or NullListener()
    ready = _prepared(pairs, ask, target, options, listener)
    out, plan, rows = ready.job.out, ready.plan, ready.rows
    done = _finished(log, out, plan)
    if not is_main_process():  # another process of the same launch writes the log
        return done or _result(out, 0, rows, _fit(ready.job, target.apart, lambda step: None, listener))
    if done is not None:
        listener.done("train", f"already trained on these {done.examples} pairs")
        return done
    _begin(out, plan)
    run_id = log.begin(ready.info, options.as_dict(), options.seed, plan["rows_sha256"])
    listener.start("train", total_steps(len(rows.rows), options), checkpoint_step(out))

    def on_step(step: TrainStep) -> None:
        log.step(run_id, step)
        listener.step(step)

    try:
        fitted = _fit(ready.job, target.apart, on_step, listener)
    except KeyboardInterrupt:
        log.end(run_id, "interrupted")
        raise
    made = _result(out, run_id, rows, fitted)
    kept = {name: getattr(made, name) for name in _KEPT}
    write_object(out / MARKER, {"gguf_sha256": ready.info.sha256, "plan": plan, **kept})
    log.end(run_id, "done")
    pace = f"{fitted.seconds:.0f} s on {fitted.device}"
    listener.done("train", f"{len(rows.rows)} pairs, {fitted.steps} steps, loss {fitted.loss:.3f}, {pace}")
    return made


def _prepared(
    pairs: Sequence[TextPair], ask: Ask, target: TrainTarget, options: TrainOptions, listener: Listener
) -> _Prepared:
    """Look at the model, make the rows, and refuse what cannot be trained."""
    from selfguide_lite.core.hashing import file_sha256
    from selfguide_lite.gguf.reader import GgufFile
    from selfguide_lite.gguf.rope import original_context
    from selfguide_lite.gguf.tokenizer import pad_id
    from selfguide_lite.llm.chat import ChatFormat
    from selfguide_lite.llm.native import Model

    model = target.model
    trainer_named(options.trainer).check()
    with GgufFile(model) as gguf:
        options = replace(options, target_modules=_targets(gguf, options, target.base))
        shape = shape_of(gguf)
        pad = pad_id(gguf)
        architecture = gguf.architecture
        weights = base_folder(target.base, gguf) if target.base is not None else None
        original = original_context(gguf)
    limit = min(options.max_seq_length, original or options.max_seq_length)
    vocabulary = Model(model, vocab_only=True)
    try:
        rows = make_rows(pairs, ask, ChatFormat.of(vocabulary), limit)
    finally:
        vocabulary.close()
    advice = "raise --max-seq-length"
    if limit == original:
        advice = "this model reads longer texts with other rotary factors, so it is not trained on them"
    _check_rows(rows, limit, advice, listener)
    info = ModelInfo(model.stem, str(model), file_sha256(model), architecture, shape.parameters)
    plan = _plan(rows, options, info.sha256, target.base)
    job = FitJob(weights or model, rows.rows, options, _folder(target.out, plan), shape, pad)
    return _Prepared(job, rows, info, plan)


def _folder(trainings: Path, plan: dict[str, Any]) -> Path:
    """Return the folder of the training that a plan decides; that of an older version where it has this very one."""
    old = trainings / OLD_TRAINING
    if plan in (read_object(old / _PLAN), read_object(old / MARKER).get("plan")):
        return old
    key = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
    return training_folder(trainings, key[:12])


def _fit(job: FitJob, apart: bool, on_step: Callable[[TrainStep], None], listener: Listener) -> Fit:
    from selfguide_lite.finetune.isolated import fit_apart, in_one_line
    from selfguide_lite.finetune.retry import fit_within_memory

    if apart and world_size() == 1:
        return fit_within_memory(job, fit_apart, on_step, listener.note)
    try:
        return fit_within_memory(job, trainer_named(job.options.trainer).fit, on_step, listener.note)
    except SelfguideError:
        raise
    except Exception as error:
        raise SelfguideError(in_one_line(error, job.out)) from error


def _targets(gguf: Any, options: TrainOptions, base: str | None) -> tuple[str, ...]:
    """Return the modules that get a LoRA, after a look at whether this model can be finetuned at all."""
    from selfguide_lite.gguf.trainable import check_trainable

    return check_trainable(gguf, own_weights=base is None).lora_targets(options.target_modules)


def shape_of(gguf: Any) -> Shape:
    """Return what a model's memory depends on.

    :param gguf: an open GGUF file
    """
    from selfguide_lite.gguf.geometry import geometry

    found = geometry(gguf)
    return Shape(
        parameters=sum(info.elements for info in gguf.tensors.values()),
        layers=found.layers,
        width=found.width,
        feed_forward=found.feed_forward,
        attention=found.attention,
        kv=found.kv,
        vocabulary=found.vocabulary,
        tied=found.tied,
    )


def _check_rows(rows: Rows, limit: int, advice: str, listener: Listener) -> None:
    told, total = f"longer than {limit} tokens (the longest has {rows.longest})", rows.left_out + len(rows.rows)
    if not rows.rows:
        raise SelfguideError(f"all {rows.left_out} pairs are {told}; {advice}")
    if rows.left_out:
        listener.note(f"{rows.left_out} of {total} pairs are {told} and are left out; {advice}")


def _plan(rows: Rows, options: TrainOptions, model_hash: str, base: str | None) -> dict[str, Any]:
    """What decides a training's result: checkpoints of another plan are of no use."""
    recorded = as_recorded(options.as_dict())
    decided = {_NAMES_IN_PLAN.get(name, name): value for name, value in recorded.items() if name not in _NO_PART}
    decided["target_modules"] = list(options.target_modules)
    text = json.dumps([decided, base], sort_keys=True)
    return {
        "rows_sha256": rows.sha256,
        "model_sha256": model_hash,
        "options_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def _marker(out: Path, plan: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a finished training of this plan left behind."""
    marker = read_object(out / MARKER)
    return marker if marker.get("plan") == plan and (out / "adapter_model.safetensors").is_file() else None


_KEPT = ("run_id", "examples", "left_out", "steps", "loss", "learning_rate", "seconds")


def _result(out: Path, run_id: int, rows: Rows, fitted: Fit) -> TrainResult:
    return TrainResult(
        out, run_id, len(rows.rows), rows.left_out,
        fitted.steps, fitted.loss, fitted.learning_rate, fitted.seconds, fitted.resumed_at,
    )  # fmt: skip


def _finished(log: TrainLog, out: Path, plan: dict[str, Any]) -> TrainResult | None:
    """Return what a finished training of this plan left behind, where the log knows it."""
    marker = _marker(out, plan)
    if marker is None or not log.is_done(marker["run_id"], plan["model_sha256"], plan["rows_sha256"]):
        return None
    return TrainResult(out, **{name: marker[name] for name in _KEPT}, skipped=True)


def _begin(out: Path, plan: dict[str, Any]) -> None:
    """Make the folder, or take away what says that its training is finished."""
    out.mkdir(parents=True, exist_ok=True)
    write_object(out / _PLAN, plan)
    for name in (MARKER, "adapter_model.safetensors"):
        (out / name).unlink(missing_ok=True)
