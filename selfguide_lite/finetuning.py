"""The third stage: from the pairs of a task in the store to an adapter, every step written down."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfguide_lite import diagnosis
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.paths import trainings_dir
from selfguide_lite.export.adapter import export_adapter
from selfguide_lite.finetune import TrainOptions, TrainResult, TrainTarget, train
from selfguide_lite.finetune.isolated import kept_process
from selfguide_lite.finetune.launch import world_size
from selfguide_lite.methods.asking import FULL, is_taught
from selfguide_lite.prompt_styles.answers import hidden_examples
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Adapter, Pair, Store
from selfguide_lite.store.train_log import StoreTrainLog
from selfguide_lite.task import Task
from selfguide_lite.teaching import Opened, taught_pairs

_ENOUGH_UNSEEN = 40  # kept inputs that were not trained on, from which on none is held back
_HELD_BACK = 10


@dataclass(frozen=True, slots=True)
class Finetune:
    """A finetuned model.

    :param inputs: that it was trained on
    """

    adapter: Adapter
    inputs: tuple[str, ...]


def finetune(context: RunContext, model: Path, opened: Opened) -> Finetune:
    """Finetune a model on a task's dataset; what was done before is not done again.

    :param model: the GGUF file that the adapter is for
    :param opened: opens that model, should it be asked (see `teaching`)
    :raises SelfguideError: as `train_task`
    """
    target = TrainTarget(model, trainings_dir(context.store.path, context.task.name), apart=True)
    options = TrainOptions.from_settings(context.settings, seed=context.seed)
    chosen, trained = _learnt(context, target, options, None, opened)
    adapter = export_adapter(context.store, context.task_id, trained, model, listener=context.listener)
    return Finetune(adapter, tuple(pair.input for pair in chosen))


def train_task(
    context: RunContext,
    target: TrainTarget,
    options: TrainOptions,
    pairs: Sequence[Pair] | None = None,
    opened: Opened | None = None,
) -> TrainResult:
    """Train on a task's dataset, or on given pairs; the steps are kept in the store.

    :param pairs: None: those of the dataset
    :param opened: opens the model; None: a training with a short prompt learns the pairs themselves, without a teacher
    :raises SelfguideError: where there is nothing to learn; also as `train`
    """
    return _learnt(context, target, options, pairs, opened)[1]


def _learnt(
    context: RunContext,
    target: TrainTarget,
    options: TrainOptions,
    pairs: Sequence[Pair] | None,
    opened: Opened | None,
) -> tuple[list[Pair], TrainResult]:
    """Train, and return what was learnt too; a teacher and its pupil share one process."""
    with kept_process():
        chosen = _chosen(context, target, options, pairs, opened)
        return chosen, _train(context, target, options, chosen)


def _chosen(
    context: RunContext,
    target: TrainTarget,
    options: TrainOptions,
    pairs: Sequence[Pair] | None,
    opened: Opened | None,
) -> list[Pair]:
    """Return what is learnt: the pairs, or what a teacher says that is trained on them first.

    :raises SelfguideError: where one of several processes would need a teacher: one engine cannot be asked by all
    """
    store, task_id, task, listener = context.store, context.task_id, context.task, context.listener
    chosen = training_pairs(store, task_id, pairs)
    if opened is None or not is_taught(task, options.answer_style, teacher=context.settings.teacher):
        return chosen
    if world_size() > 1:
        raise SelfguideError(
            f"answer_style={options.answer_style} is taught by a finetuned model, which takes a launch of one process; "
            "several can train with --set answer_style=few-shot or --set teacher=false"
        )
    listener.note("a model with the full prompt is trained first; its answers teach the one with a short one")
    trained = _train(context, target, replace(options, answer_style=FULL), chosen)
    teacher = export_adapter(store, task_id, trained, target.model, listener=listener)

    @contextmanager
    def with_teacher() -> Iterator[Any]:
        with opened() as engine:
            engine.set_adapter(Path(teacher.path))
            yield engine

    taught = taught_pairs(context, with_teacher, trained.folder, chosen)
    if len({pair.output for pair in taught}) < len(task.labels):
        listener.note("the finetuned model never gives one of the labels, so the pairs are learnt as they are")
        return chosen
    seen = {pair.input_id for pair in taught}
    return _without_held_back(store, task_id, taught, lambda: sum(one.id not in seen for one in store.pool(task_id)))


def _train(context: RunContext, target: TrainTarget, options: TrainOptions, pairs: Sequence[Pair]) -> TrainResult:
    store, task_id, task, prompts = context.store, context.task_id, context.task, context.prompts
    _check_pairs(context, pairs)
    shown = example_pairs(task, options.answer_style, context.settings.example_weight)
    chosen = [*weighted(pairs, store.settings(task_id)), *shown]
    log = StoreTrainLog(store, task_id, prompts.answer_template(options.answer_style))
    return train(
        chosen, lambda text: prompts.answer(task, text, options.answer_style), target, options, log, context.listener
    )


def training_pairs(store: Store, task_id: int, pairs: Sequence[Pair] | None = None) -> list[Pair]:
    """Return the pairs that are trained on: all, or all but every tenth where labels are calibrated.

    The finetuned model is calibrated by its answers to kept inputs that it was not trained on. Where filters and
    balance leave few of these, every tenth pair joins them, if that makes enough to calibrate by. Pairs that a person
    answered are always trained on.

    :param pairs: None: those of the dataset
    """
    found = store.pairs(task_id) if pairs is None else list(pairs)
    return _without_held_back(store, task_id, found, lambda: len(store.unpaired_inputs(task_id)))


def _without_held_back(store: Store, task_id: int, found: list[Pair], unseen: Callable[[], int]) -> list[Pair]:
    """Leave out every tenth pair where that is needed to calibrate.

    :param unseen: counts the kept inputs that no pair has
    """
    settings = store.settings(task_id)
    others = unseen() if settings.get("calibrate") else _ENOUGH_UNSEEN
    made = [pair for pair in found if pair.by_hand is None]
    if others >= _ENOUGH_UNSEEN or others + len(made) // _HELD_BACK < int(settings["calibrate_min_inputs"]):
        return found
    held = {id(pair) for place, pair in enumerate(made, 1) if place % _HELD_BACK == 0}
    return [pair for pair in found if id(pair) not in held]


def weighted(pairs: Sequence[Pair], settings: Mapping[str, Any]) -> list[Pair]:
    """Return pairs with those that were given repeated as often as the setting `given_weight` says."""
    weight = int(settings.get("given_weight", 1))
    return [pair for pair in pairs for _ in range(max(1, weight) if pair.by_hand == "given" else 1)]


def example_pairs(task: Task, style: str, weight: int) -> list[Pair]:
    """Return the examples that a style's prompts do not show, as pairs, each as often as the weight says.

    They are the only answers to real inputs that are known to be right, and a short prompt tells nothing of them.
    """
    hidden = hidden_examples(task, style)
    return [Pair(-number, one.input, one.output) for number, one in enumerate(hidden, 1)] * weight


def _check_pairs(context: RunContext, pairs: Sequence[Pair]) -> None:
    """Refuse a dataset that teaches nothing, with the reasons for which most texts were lost."""
    task = context.task
    answers = Counter(pair.output for pair in pairs)
    if pairs and not (task.rules.labelled and len(answers) == 1):
        return
    funnel = context.store.funnel(context.task_id)
    if not pairs:
        raise SelfguideError(diagnosis.no_pairs(task.name, funnel))
    (label,) = answers
    raise SelfguideError(diagnosis.one_answer(task.name, label, len(pairs), funnel))
