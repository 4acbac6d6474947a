"""The paper's table on any task: prompting, finetuning on the examples, SELF-GUIDE, and SELF-GUIDE without its parts.

What two methods share is computed once: all ablations but one see the same generations through other filters, and two
methods whose pairs come out the same share one finetune. Everything that was done is in the store or beside it, so the
same call goes on where it was stopped.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.errors import SelfguideError
from selfguide_lite.evaluate.evaluation import Evaluation, evaluate
from selfguide_lite.evaluate.methods import (
    ABLATIONS,
    FEW_SHOT,
    FEW_SHOT_FINETUNING,
    METHODS,
    SELF_ICL,
    SELFGUIDE,
    ZERO_SHOT,
    Ablation,
    Chosen,
    LeaveOneOut,
    WhatIf,
    icl_examples,
    in_turn,
    seed_pairs,
    self_icl,
    variant_db,
    zero_shot,
)
from selfguide_lite.evaluate.rows import EvalRow, eval_rows, without_leaks
from selfguide_lite.evaluate.statistics import Gain
from selfguide_lite.llm.base import Engine
from selfguide_lite.lock import exclusive
from selfguide_lite.places import adapter_path, files_dir, lora_dir
from selfguide_lite.progress import Listener, Silent
from selfguide_lite.prompts import Prompts
from selfguide_lite.settings import Settings
from selfguide_lite.store import Adapter, Pair, Store
from selfguide_lite.task import Task


@dataclass(frozen=True, slots=True)
class Compared:
    """A line of the table.

    :param pairs: that the model was finetuned on, or shown; None for plain prompting
    :param gain: over few-shot prompting, paired; None for few-shot prompting itself
    :param same_as: the method that came out with the very same pairs, so that its answers are these too
    """

    method: str
    pairs: int | None
    evaluation: Evaluation
    gain: Gain | None
    same_as: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The table of one task."""

    task: str
    db: Path
    seed: int
    lines: tuple[Compared, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def line(self, method: str) -> Compared:
        """Return a method's line.

        :raises KeyError: where the table has none
        """
        for line in self.lines:
            if line.method == method:
                return line
        raise KeyError(method)

    def as_json(self) -> dict[str, Any]:
        """Return the table for programs; scores are shares of 1."""
        return {
            "task": self.task,
            "db": str(self.db),
            "seed": self.seed,
            "methods": [
                {
                    "method": line.method,
                    "metric": line.evaluation.metric,
                    "n": len(line.evaluation.scores),
                    "pairs": line.pairs,
                    "mean": line.evaluation.mean,
                    "low": line.evaluation.low,
                    "high": line.evaluation.high,
                    "same_as": line.same_as,
                    "gain": line.gain
                    and {"gain": line.gain.gain, "low": line.gain.low, "high": line.gain.high, "n": line.gain.n},
                }
                for line in self.lines
            ],
            "skipped": dict(self.skipped),
        }


@dataclass(frozen=True, slots=True)
class _Plan:
    """A finetune that is to be compared."""

    method: str
    pairs: tuple[Pair, ...]
    prompts: Prompts


def methods_for(task: Task, curve: Sequence[int] = ()) -> list[str]:
    """Return all methods and ablations that fit a task's kind, in the table's order.

    :param curve: numbers of pairs of a learning curve
    """
    ablations = [ablation.name for ablation in ABLATIONS if task.kind in ablation.kinds]
    return [*METHODS, *ablations, *(curve_name(count) for count in curve)]


def curve_name(count: int) -> str:
    """Return the method's name of a point on the learning curve."""
    return f"{SELFGUIDE}, {count} pairs"


def compare(
    task: Task,
    db: Path,
    *,
    model: Path | None = None,
    methods: Iterable[str] | None = None,
    curve: Sequence[int] = (),
    settings: Mapping[str, Any] | None = None,
    rows: Sequence[EvalRow] | None = None,
    prompts: Prompts | None = None,
    seed: int = 42,
    listener: Listener | None = None,
    **engine_options: Any,
) -> Comparison:
    """Measure methods on a task's evaluation set.

    :param db: the run's database; what `run` made is used, what is missing is made
    :param model: GGUF file; None: `$SELFGUIDE_MODEL`, else the embedded model
    :param methods: names from `methods_for`; few-shot prompting is always among them. None: all
    :param curve: SELF-GUIDE with only so many of its pairs, for each of these numbers
    :param settings: fields of `Settings` to change, over those of the task
    :param rows: evaluation rows; None: those of the task
    :param seed: fixes generations, samples, training and which pairs a smaller dataset has
    :param engine_options: further arguments of `open_engine`, such as `n_ctx`
    :raises SelfguideError: where something is wrong that the user can mend, in one line
    """
    from selfguide_lite.llm import model_path

    listener = listener or Silent()
    model = model_path(model)
    wanted_methods = _wanted(task, methods, curve)
    with exclusive(db), Store.open(db) as store:
        job = _Job(store, db, task, model, dict(settings or {}), prompts or Prompts(), seed, listener, engine_options)
        return job.run(wanted_methods, curve, list(rows) if rows is not None else eval_rows(task))


def _wanted(task: Task, methods: Iterable[str] | None, curve: Sequence[int]) -> list[str]:
    known = methods_for(task, curve)
    if methods is None:
        return known
    chosen = set(methods) | {FEW_SHOT} | {curve_name(count) for count in curve}
    if unknown := sorted(chosen - set(known)):
        raise SelfguideError(
            f"{unknown[0]!r} is no method for a {task.kind} task; there are: {', '.join(methods_for(task))}"
        )
    return [method for method in known if method in chosen]


class _Job:
    """One comparison: first everything that the plain model does, then the trainings, then what came of them."""

    def __init__(
        self,
        store: Store,
        db: Path,
        task: Task,
        model: Path,
        changes: dict[str, Any],
        prompts: Prompts,
        seed: int,
        listener: Listener,
        engine_options: Mapping[str, Any],
    ):
        self.store, self.db, self.model, self.prompts = store, db, model, prompts
        self.seed, self.listener, self.engine_options = seed, listener, engine_options
        self.task = task.model_copy(update={"settings": task.settings.changed(changes)})
        self.task_id = store.add_task(self.task)
        self.settings = self.task.settings.resolve(task.kind)
        self.folder = files_dir(db) / "compare"
        self.skipped: list[tuple[str, str]] = []
        self.shown: dict[str, int] = {}

    def run(self, methods: Sequence[str], curve: Sequence[int], rows: Sequence[EvalRow]) -> Comparison:
        done: dict[str, Evaluation] = {}
        with opened(self.model, **self.engine_options) as engine:
            self._synthesize(engine)
            variants = {
                ablation.name: self._variant(ablation, engine) for ablation in ABLATIONS if ablation.name in methods
            }
            rows = self._unseen(rows)
            self._prompting(engine, methods, rows, done)
        plans = list(self._plans(methods, curve, variants))
        adapters = self._train(plans)
        same: dict[str, str] = {}
        if plans:
            with opened(self.model, **self.engine_options) as engine:
                self._finetuned(engine, plans, adapters, rows, done, same)
        baseline = done[FEW_SHOT]
        pairs = {plan.method: len(plan.pairs) for plan in plans} | self.shown
        lines = tuple(
            Compared(
                method,
                pairs.get(method),
                done[method],
                None if method == FEW_SHOT else done[method].gain_over(baseline),
                same.get(method),
            )
            for method in methods
            if method in done
        )
        return Comparison(self.task.name, self.db, self.seed, lines, tuple(self.skipped))

    # --- what the plain model does

    def _synthesize(self, engine: Engine) -> None:
        from selfguide_lite.synthesis import annotate, generate

        generate(self.store, self.task_id, engine, self.prompts, self.settings, self.seed, self.listener)
        annotate(self.store, self.task_id, engine, self.prompts, self.settings, self.seed, self.listener)

    def _variant(self, ablation: Ablation, engine: Engine) -> list[Pair]:
        """Return an ablation's pairs, answering or writing the inputs that only it has."""
        from selfguide_lite.synthesis import annotate, generate

        settings = self.settings.model_copy(update=dict(ablation.changes))
        self.listener.note(f"{ablation.name}: its inputs and answers")
        if not ablation.regenerates:
            view = WhatIf(self.store, ablation.changes)
            annotate(view, self.task_id, engine, self.prompts, settings, self.seed, self.listener)
            return view.pairs(self.task_id)
        self.folder.mkdir(parents=True, exist_ok=True)
        with Store.open(variant_db(self.folder, ablation.name)) as other:
            changed = self.task.settings.changed(ablation.changes)
            task_id = other.add_task(self.task.model_copy(update={"settings": changed}))
            generate(other, task_id, engine, self.prompts, settings, self.seed, self.listener)
            annotate(other, task_id, engine, self.prompts, settings, self.seed, self.listener)
            return other.pairs(task_id)

    def _unseen(self, rows: Sequence[EvalRow]) -> list[EvalRow]:
        """Leave out what any variant's generation holds, so that all methods are scored on the same rows."""
        known: list[str] = []
        for path in sorted(self.folder.glob("*.db")):
            with Store.open(path, read_only=True) as other:
                known += [text for (text,) in other.connection.execute("SELECT text FROM input")]
        clean, leaked = without_leaks(rows, known)
        if leaked:
            self.listener.note(f"left out {len(leaked)} evaluation rows that occur in an ablation's generation")
        if not clean:
            raise SelfguideError(f"task {self.task.name!r}: every evaluation row is among the generated inputs")
        return clean

    def _prompting(
        self, engine: Engine, methods: Sequence[str], rows: Sequence[EvalRow], done: dict[str, Evaluation]
    ) -> None:
        def ask(method: str, **how: Any) -> None:
            done[method] = evaluate(
                self.store, self.task_id, engine, rows,
                method=method, prompts=self.prompts, listener=self.listener, **how,
            )  # fmt: skip

        ask(FEW_SHOT)
        if ZERO_SHOT in methods:
            ask(ZERO_SHOT, ask=zero_shot(self.prompts))
        if SELF_ICL in methods:
            pairs = self.store.pairs(self.task_id)
            try:
                inputs = [row.input for row in rows]
                examples = icl_examples(self.task, pairs, engine, self.prompts, inputs, self.seed)
            except SelfguideError as error:
                self._skip(SELF_ICL, str(error))
                return
            self.shown[SELF_ICL] = len(examples) - len(self.task.examples)
            shown = json.dumps([[example.input, example.output] for example in examples], ensure_ascii=False)
            details = {"pairs": self.shown[SELF_ICL], "examples": hashlib.sha256(shown.encode()).hexdigest()}
            ask(SELF_ICL, ask=self_icl(self.prompts, examples), details=details)

    def _skip(self, method: str, reason: str) -> None:
        self.skipped.append((method, reason))
        self.listener.note(f"{method} left out: {reason}")

    # --- the finetunes

    def _plans(
        self, methods: Sequence[str], curve: Sequence[int], variants: Mapping[str, list[Pair]]
    ) -> Iterator[_Plan]:
        pairs = self.store.pairs(self.task_id)
        if SELFGUIDE in methods:
            yield _Plan(SELFGUIDE, tuple(pairs), self.prompts)
        if FEW_SHOT_FINETUNING in methods:
            yield _Plan(FEW_SHOT_FINETUNING, tuple(seed_pairs(self.task)), LeaveOneOut.like(self.prompts))
        for name, changed in variants.items():
            yield _Plan(name, tuple(changed), self.prompts)
        ordered = in_turn(pairs, self.seed, self.task)
        for count in curve:
            if count <= len(pairs):
                chosen = {pair.input_id for pair in ordered[:count]}
                part = tuple(pair for pair in pairs if pair.input_id in chosen)
                yield _Plan(curve_name(count), part, self.prompts)
            else:
                self._skip(curve_name(count), f"the dataset has {len(pairs)} pairs")

    def _train(self, plans: list[_Plan]) -> dict[str, tuple[Path, int | None]]:
        """Return each plan's adapter file and, for SELF-GUIDE's own, its id in the store.

        The other trainings are written down in a database beside, so that the run's own adapter stays its latest.
        """
        adapters: dict[str, tuple[Path, int | None]] = {}
        trained: dict[str, tuple[Path, int | None]] = {}
        for plan in list(plans):
            key = _key(plan)
            try:
                if key not in trained:
                    self.listener.note(f"{plan.method}: {len(plan.pairs)} pairs")
                    if plan.method == SELFGUIDE:
                        own = self._own_adapter()
                        trained[key] = Path(own.path), own.id
                    else:
                        place = self.folder / key[:16]
                        trained[key] = train_beside(
                            self.folder / "trainings.db", self.task, plan.pairs, place, model=self.model,
                            prompts=plan.prompts, settings=self.settings, seed=self.seed, listener=self.listener,
                        ), None  # fmt: skip
                adapters[plan.method] = trained[key]
            except SelfguideError as error:
                if plan.method == SELFGUIDE:
                    raise
                plans.remove(plan)
                self._skip(plan.method, str(error))
        return adapters

    def _own_adapter(self) -> Adapter:
        """Train and export as `run` does, or find what it made."""
        from selfguide_lite.finetune import TrainOptions, train
        from selfguide_lite.pipeline import export

        name = self.task.name
        result = train(
            self.store, self.task_id, model=self.model, prompts=self.prompts,
            options=TrainOptions.from_settings(self.settings, seed=self.seed), out=lora_dir(self.db, name),
            listener=self.listener,
        )  # fmt: skip
        return export(self.store, self.task_id, result, self.model, adapter_path(self.db, name), self.listener)

    def _finetuned(
        self,
        engine: Any,
        plans: Sequence[_Plan],
        adapters: Mapping[str, tuple[Path, int | None]],
        rows: Sequence[EvalRow],
        done: dict[str, Evaluation],
        same: dict[str, str],
    ) -> None:
        first: dict[Path, str] = {}
        for plan in plans:
            path, adapter_id = adapters[plan.method]
            engine.set_adapter(path)
            twin = first.setdefault(path, plan.method)
            own = plan.method == SELFGUIDE
            done[plan.method] = evaluate(
                self.store, self.task_id, engine, rows,
                method=plan.method, adapter_id=adapter_id, prompts=self.prompts, listener=self.listener,
                details=None if own else {"pairs": len(plan.pairs), "dataset": _key(plan)},
                same_as=None if twin == plan.method else done[twin],
            )  # fmt: skip
            if twin != plan.method:
                same[plan.method] = twin


def _key(plan: _Plan) -> str:
    """What decides a training beside model, options and seed: its pairs and how they are asked for."""
    own_way = "leave one out " if isinstance(plan.prompts, LeaveOneOut) else ""
    return hashlib.sha256((own_way + pairs_key(plan.pairs)).encode()).hexdigest()


def pairs_key(pairs: Sequence[Pair]) -> str:
    """SHA-256 of what pairs teach: their texts in their order."""
    content = [[pair.input, pair.output] for pair in pairs]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


@contextmanager
def opened(model: Path, **options: Any) -> Iterator[Any]:
    """Open a model's engine, which can change adapters, and close it at the end."""
    from selfguide_lite.llm import open_engine

    engine = open_engine(model, **options)
    try:
        yield engine
    finally:
        engine.close()


def train_beside(
    db: Path,
    task: Task,
    pairs: Sequence[Pair],
    place: Path,
    *,
    model: Path,
    prompts: Prompts,
    settings: Settings,
    seed: int,
    listener: Listener,
) -> Path:
    """Finetune on given pairs and return the GGUF adapter; a finetune that was finished before is not done again.

    :param db: a database that keeps this training's steps, apart from a run's own
    :param place: folder for the LoRA, its checkpoints and the adapter
    :raises SelfguideError: where there is nothing to learn or the model cannot be trained
    """
    from selfguide_lite.finetune import TrainOptions, train
    from selfguide_lite.gguf.adapter import write_adapter

    place.mkdir(parents=True, exist_ok=True)
    adapter = place / "adapter.gguf"
    with Store.open(db) as store:
        task_id = store.add_task(task.model_copy(update={"settings": Settings()}))
        result = train(
            Chosen(store, pairs), task_id, model=model, prompts=prompts,
            options=TrainOptions.from_settings(settings, seed=seed), out=place / "lora", listener=listener,
        )  # fmt: skip
        if not (result.skipped and adapter.is_file()):
            write_adapter(result.folder, model, adapter)
    return adapter
