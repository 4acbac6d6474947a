"""Finetunes the model that wrote the data on its dataset, and writes every step into the store."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite import diagnosis
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.progress import Listener, NullListener, TrainStep
from selfguide_lite.finetune.base import base_folder
from selfguide_lite.finetune.memory import Shape
from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.finetune.rows import Rows, make_rows
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import Pair, Store
from selfguide_lite.task import Task

MARKER = "selfguide.json"
_PLAN = "plan.json"
# Under these names the options were hashed first: a training that was finished then is not done again.
_NAMES_IN_PLAN = {"gradient_accumulation_steps": "accumulation", "max_seq_length": "max_length"}
_ENOUGH_UNSEEN = 40  # kept inputs that were not trained on, from which on none is held back
_HELD_BACK = 10


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training.

    :param folder: PEFT folder of the LoRA
    :param run_id: in the store
    :param model_id: of the base, in the store
    :param examples: rows trained on
    :param left_out: rows that were too long
    :param loss: mean over the last tenth of the steps
    :param skipped: whether the work was done already
    """

    folder: Path
    run_id: int
    model_id: int
    examples: int
    left_out: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    resumed_at: int = 0
    skipped: bool = False


def train(
    store: Store,
    task_id: int,
    *,
    model: Path | str,
    prompts: Prompts,
    options: TrainOptions,
    out: Path,
    listener: Listener | None = None,
    base: str | None = None,
    apart: bool = False,
) -> TrainResult:
    """Finetune a model on a task's dataset.

    Goes on where an interrupted training of the same data and options stopped; a finished one is not done again.

    :param model: the GGUF that the adapter is for: its vocabulary and chat template make the rows, and its weights are
        the base
    :param out: folder for the LoRA and its checkpoints; those of other data or options in it are removed
    :param base: Hugging Face folder or name to take the weights from, in place of the GGUF's own
    :param apart: train in a process of its own, so that a lack of memory does not end this one; several processes of
        one launch are that already
    :raises SelfguideError: where there is nothing to learn, memory or packages are missing, or the model is unfit
    """
    from selfguide_lite.core.hashing import file_sha256
    from selfguide_lite.finetune.isolated import fit_apart, in_one_line
    from selfguide_lite.finetune.job import Fit, FitJob
    from selfguide_lite.finetune.lora import (
        check_installed,
        checkpoint_step,
        fit,
        is_main_process,
        total_steps,
        world_size,
    )
    from selfguide_lite.gguf.reader import GgufFile
    from selfguide_lite.gguf.to_hf import geometry
    from selfguide_lite.gguf.tokenizer import pad_id
    from selfguide_lite.llm.chat import ChatFormat
    from selfguide_lite.llm.native import Model

    listener = listener or NullListener()
    model = Path(model)
    task = store.task(task_id)
    pairs = training_pairs(store, task_id)
    _check_pairs(store, task_id, task, pairs)
    check_installed()
    with GgufFile(model) as gguf:
        shape = _shape(gguf)
        geometry(gguf)
        pad = pad_id(gguf)
        architecture = gguf.architecture
        weights = base_folder(base, gguf) if base is not None else None
    vocabulary = Model(model, vocab_only=True)
    try:
        rows = make_rows(pairs, task, prompts, ChatFormat.of(vocabulary), options.max_seq_length, options.answer_style)
    finally:
        vocabulary.close()
    _check_rows(rows, options, listener)

    model_hash = file_sha256(model)
    info = ModelInfo(model.stem, str(model), model_hash, architecture, shape.parameters)
    plan = _plan(rows, options, model_hash, base)
    keep = _read(out / _PLAN) == plan  # checkpoints of another training are of no use

    def run(on_step: Callable[[TrainStep], None]) -> Fit:
        job = FitJob(weights or model, rows.rows, options, out, shape, pad, resume=keep)
        if apart and world_size() == 1:
            return fit_apart(job, on_step, listener.note)
        try:
            return fit(job, on_step, listener.note)
        except SelfguideError:
            raise
        except Exception as error:
            raise SelfguideError(in_one_line(error, out)) from error

    done = _finished(store, task_id, out, plan)
    if not is_main_process():  # another process of the same launch keeps the books
        if done is None:
            fitted = run(lambda step: None)
            return TrainResult(
                out, 0, 0, len(rows.rows), rows.left_out,
                fitted.steps, fitted.loss, fitted.learning_rate, fitted.seconds, fitted.resumed_at,
            )  # fmt: skip
        return done
    if done is not None:
        listener.done("train", f"already trained on these {done.examples} pairs")
        return done
    _make_room(out, plan)
    model_id = store.add_model(info)
    template = prompts.template("annotate")
    run_id = store.add_train_run(task_id, model_id, options.as_dict(), options.seed, plan["rows_sha256"], template)
    listener.start("train", total_steps(len(rows.rows), options), checkpoint_step(out))

    def on_step(step: TrainStep) -> None:
        store.add_train_step(run_id, step)
        listener.step(step)

    try:
        fitted = run(on_step)
    except KeyboardInterrupt:
        store.finish_run(run_id, "interrupted")
        raise
    marker = {
        "gguf_sha256": model_hash,
        "plan": plan,
        "run_id": run_id,
        "model_id": model_id,
        "examples": len(rows.rows),
        "left_out": rows.left_out,
        "steps": fitted.steps,
        "loss": fitted.loss,
        "learning_rate": fitted.learning_rate,
        "seconds": fitted.seconds,
    }
    _write(out / MARKER, marker)
    store.finish_run(run_id, "done")
    pace = f"{fitted.seconds:.0f} s on {fitted.device}"
    listener.done("train", f"{len(rows.rows)} pairs, {fitted.steps} steps, loss {fitted.loss:.3f}, {pace}")
    return TrainResult(
        out, run_id, model_id, len(rows.rows), rows.left_out,
        fitted.steps, fitted.loss, fitted.learning_rate, fitted.seconds, fitted.resumed_at,
    )  # fmt: skip


def training_pairs(store: Store, task_id: int) -> list[Pair]:
    """Return the pairs of the dataset that are trained on: all, or all but every tenth where labels are calibrated.

    The finetuned model is calibrated by its answers to kept inputs that it was not trained on. Where filters and
    balance leave few of these, every tenth pair joins them, if that makes enough to calibrate by.
    """
    pairs = store.pairs(task_id)
    settings = store.settings(task_id)
    others = len(store.unpaired_inputs(task_id)) if settings.get("calibrate") else _ENOUGH_UNSEEN
    if others >= _ENOUGH_UNSEEN or others + len(pairs) // _HELD_BACK < int(settings["calibrate_min_inputs"]):
        return pairs
    return [pair for place, pair in enumerate(pairs, 1) if place % _HELD_BACK]


def _shape(gguf: Any) -> Shape:
    from selfguide_lite.gguf.to_hf import geometry

    found = geometry(gguf)
    return Shape(
        parameters=sum(info.elements for info in gguf.tensors.values()),
        layers=found.layers,
        width=found.width,
        feed_forward=found.feed_forward,
        attention=found.heads * found.head_dim,
        kv=found.kv_heads * found.head_dim,
        vocabulary=found.vocabulary,
        tied=found.tied,
    )


def _check_pairs(store: Store, task_id: int, task: Task, pairs: Sequence[Pair]) -> None:
    answers = Counter(pair.output for pair in pairs)
    if pairs and not (task.kind == "classification" and len(answers) == 1):
        return
    funnel = store.funnel(task_id)
    if not pairs:
        raise SelfguideError(diagnosis.no_pairs(task.name, funnel))
    (label,) = answers
    raise SelfguideError(diagnosis.one_answer(task.name, label, len(pairs), funnel))


def _check_rows(rows: Rows, options: TrainOptions, listener: Listener) -> None:
    if not rows.rows:
        raise SelfguideError(
            f"all {rows.left_out} pairs are longer than {options.max_seq_length} tokens (the longest has "
            f"{rows.longest}); raise --max-seq-length"
        )
    if rows.left_out:
        listener.note(
            f"{rows.left_out} of {rows.left_out + len(rows.rows)} pairs are longer than {options.max_seq_length} "
            f"tokens (the longest has {rows.longest}) and are left out; --max-seq-length raises the limit"
        )


def _plan(rows: Rows, options: TrainOptions, model_hash: str, base: str | None) -> dict[str, Any]:
    """What decides a training's result: checkpoints of another plan are of no use."""
    decided = {
        _NAMES_IN_PLAN.get(name, name): value
        for name, value in options.as_dict().items()
        if name not in ("save_steps", "gradient_checkpointing")
    }
    decided["target_modules"] = list(options.target_modules)
    text = json.dumps([decided, base], sort_keys=True)
    return {
        "rows_sha256": rows.sha256,
        "model_sha256": model_hash,
        "options_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _marker(out: Path, plan: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a finished training of this plan left behind."""
    marker = _read(out / MARKER)
    return marker if marker.get("plan") == plan and (out / "adapter_model.safetensors").is_file() else None


def _result(out: Path, marker: dict[str, Any]) -> TrainResult:
    names = ("run_id", "model_id", "examples", "left_out", "steps", "loss", "learning_rate", "seconds")
    return TrainResult(out, **{name: marker[name] for name in names}, skipped=True)


def _finished(store: Store, task_id: int, out: Path, plan: dict[str, Any]) -> TrainResult | None:
    marker = _marker(out, plan)
    if marker is None:
        return None
    known = store.is_trained(marker["run_id"], task_id, plan["model_sha256"], plan["rows_sha256"])
    return _result(out, marker) if known else None


def _make_room(out: Path, plan: dict[str, Any]) -> None:
    """Keep the checkpoints of this very plan, remove any other training's."""
    if _read(out / _PLAN) != plan:
        for checkpoint in out.glob("checkpoint-*"):
            shutil.rmtree(checkpoint, ignore_errors=True)
        out.mkdir(parents=True, exist_ok=True)
        _write(out / _PLAN, plan)
    for name in (MARKER, "adapter_model.safetensors"):
        (out / name).unlink(missing_ok=True)
