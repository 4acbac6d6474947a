"""The paper's table on any task: prompting, finetuning on the examples, SELF-GUIDE, and SELF-GUIDE without its parts.

What two methods share is computed once: all ablations but one see the same inputs through other filters, and two
methods whose pairs come out the same share one finetune. Everything that was done is in the store or beside it, so the
same call goes on where it was stopped.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.lock import exclusive
from selfguide_lite.core.paths import files_dir
from selfguide_lite.core.settings import Settings
from selfguide_lite.evaluate.asked import Asked
from selfguide_lite.evaluate.battery import Battery, Finetuned, keep_verdict
from selfguide_lite.evaluate.evaluation import Evaluation, evaluate, macro_f1_of
from selfguide_lite.evaluate.verdict import Verdict, best_of, judge
from selfguide_lite.experiments.compared import Compared, Comparison
from selfguide_lite.experiments.context import ExperimentContext, pairs_key
from selfguide_lite.experiments.methods import (
    ABLATIONS,
    GIVEN_ALONE,
    OF_GIVEN_ROWS,
    SELF_MADE_ALONE,
    Ablation,
    LeaveOneOut,
    icl_examples,
    in_turn,
    methods_of,
    seed_pairs,
    self_icl,
    variant_db,
)
from selfguide_lite.finetune.isolated import kept_process
from selfguide_lite.llm.base import Engine
from selfguide_lite.methods.names import (
    FEW_SHOT,
    FEW_SHOT_FINETUNING,
    FINETUNED,
    SELF_ICL,
    ZERO_SHOT,
    named,
    parts,
    usual_form,
)
from selfguide_lite.own_data import OwnData
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import FILTER_SETTINGS, Adapter, Pair, Store
from selfguide_lite.store.copies import unanswered_copy
from selfguide_lite.store.overlay import SettingsOverlay
from selfguide_lite.store.own import add_own_inputs, given_count, own_inputs
from selfguide_lite.task import Task
from selfguide_lite.task.eval_rows import EvalRow, eval_rows, without_leaks

_PROMPTING = (ZERO_SHOT, FEW_SHOT, SELF_ICL)


@dataclass(frozen=True, slots=True)
class _Plan:
    """A finetune that is to be compared."""

    method: str
    pairs: tuple[Pair, ...]
    prompts: Prompts


def methods_for(task: Task, curve: Sequence[int] = (), given: bool = False) -> list[str]:
    """Return all methods and ablations that fit a task's kind, in the table's order.

    :param curve: numbers of pairs of a learning curve
    :param given: whether a person gave rows with answers
    """
    ablations = [ablation.name for ablation in ABLATIONS if task.rules.labelled or not ablation.labelled]
    own = OF_GIVEN_ROWS if given else ()
    return [*methods_of(task.kind), *own, *ablations, *(curve_name(count) for count in curve)]


def curve_name(count: int) -> str:
    """Return the method's name of a point on the learning curve."""
    return f"{FINETUNED}, {count} pairs"


def compare(
    task: Task,
    db: Path,
    *,
    methods: Iterable[str] | None = None,
    curve: Sequence[int] = (),
    rows: Sequence[EvalRow] | None = None,
    options: RunOptions | None = None,
) -> Comparison:
    """Measure methods on a task's evaluation set.

    :param db: the run's database; what `run` made is used, what is missing is made
    :param methods: names from `methods_for`; all ways of prompting are always among them. None: all
    :param curve: SELF-GUIDE with only so many of its pairs, for each of these numbers
    :param rows: evaluation rows; None: those of the task
    :param options: its seed also fixes which pairs a smaller dataset has
    :raises SelfguideError: where something is wrong that the user can mend, in one line
    """
    wanted = _wanted(task, methods, curve)
    rows = list(rows) if rows is not None else eval_rows(task)
    own = OwnData.of(task)
    tools = ExperimentContext.of(options)
    with exclusive(db), Store.open(db) as store:
        job = _Job(store, db, task, tools)
        own.take_in(store, job.task_id, rows, tools.listener)
        if not given_count(store, job.task_id):
            wanted = [method for method in wanted if method not in OF_GIVEN_ROWS]
        return job.run(wanted, curve, rows)


def _wanted(task: Task, methods: Iterable[str] | None, curve: Sequence[int]) -> list[str]:
    known = methods_for(task, curve, given=True)
    if methods is None:
        return known
    chosen = set(methods) | {curve_name(count) for count in curve}
    if unknown := sorted(chosen - set(known)):
        raise SelfguideError(
            f"{unknown[0]!r} is no method for the kind {task.kind}; there are: "
            f"{', '.join(methods_for(task, given=True))}"
        )
    # One finetune, and one prompt, serves all ways of reading the answers.
    families = {ZERO_SHOT, FEW_SHOT} | {parts(method)[0] for method in chosen}
    return [method for method in known if method in chosen or parts(method)[0] in families]


class _Job:
    """One comparison: first everything that the plain model does, then the trainings, then the results."""

    def __init__(self, store: Store, db: Path, task: Task, tools: ExperimentContext):
        self.store, self.db, self.tools = store, db, tools
        self.task = tools.set_for(task)
        self.task_id = store.add_task(self.task)
        self.settings = task.rules.resolve(self.task.settings)
        self.folder = files_dir(db) / "compare"
        self.skipped: list[tuple[str, str]] = []
        self.shown: dict[str, int] = {}

    def run(self, methods: Sequence[str], curve: Sequence[int], rows: Sequence[EvalRow]) -> Comparison:
        done: dict[str, Evaluation] = {}
        with self.tools.opened() as engine:
            self.tools.write(self.store, self.task_id, engine, self.settings)
            variants = {
                ablation.name: self._variant(ablation, engine)
                for ablation in (SELF_MADE_ALONE, *ABLATIONS)
                if ablation.name in methods
            }
            rows = self._unseen(rows)
            self._prompting(engine, methods, rows, done)
        plans = list(self._plans(methods, curve, variants))
        with kept_process():
            adapters = self._train(plans)
        same: dict[str, str] = {}
        if plans:
            with self.tools.opened() as engine:
                self._finetuned(engine, plans, adapters, rows, done, same)
        prompted = {name: one for name, one in done.items() if parts(name)[0] in _PROMPTING}
        over = best_of({name: one.scores for name, one in prompted.items()})
        pairs = {plan.method: len(plan.pairs) for plan in plans}
        lines = tuple(
            Compared(
                method,
                self.shown.get(method, pairs.get(parts(method)[0], pairs.get(method))),
                done[method],
                None if method in prompted else done[method].gain_over(prompted[over]),
                same.get(method),
                macro_f1_of(self.task, done[method]) if self.task.rules.labelled else None,
            )
            for method in methods
            if method in done
        )
        verdict = self._judged(prompted, done, adapters)
        return Comparison(self.task.name, self.db, self.tools.seed, lines, tuple(self.skipped), over, verdict)

    def _judged(
        self,
        prompted: Mapping[str, Evaluation],
        done: Mapping[str, Evaluation],
        adapters: Mapping[str, tuple[Path, int | None]],
    ) -> Verdict | None:
        """Return the verdict on the run's own finetune; what `predict` can use of it is written down."""
        if FINETUNED not in adapters:
            return None
        finetuned = {name: one for name, one in done.items() if parts(name)[0] == FINETUNED}
        self_made = [name for name in prompted if parts(name)[0] == SELF_ICL]
        usable = {name: one for name, one in prompted.items() if name not in self_made}
        kind, seed = self.task.kind, self.tools.seed
        usual = judge(usable, finetuned, kind, seed)
        keep_verdict(self.store, self.task_id, usual, {**usable, **finetuned}, adapters[FINETUNED][1])
        return judge(prompted, finetuned, kind, seed, unusable=self_made)

    # --- what the plain model does

    def _variant(self, ablation: Ablation, engine: Engine) -> list[Pair]:
        """Return an ablation's pairs, answering or writing the inputs that only it has."""
        settings = self.settings.model_copy(update=dict(ablation.changes))
        self.tools.listener.note(f"{ablation.name}: its inputs and answers")
        if ablation.regenerates:
            self.folder.mkdir(parents=True, exist_ok=True)
            with Store.open(variant_db(self.folder, ablation.name)) as other:
                task_id = other.add_task(self.tools.set_for(self.task, ablation.changes))
                self._same_filters(other, task_id)
                add_own_inputs(other, task_id, own_inputs(self.store, self.task_id), str(self.db))
                self.tools.write(other, task_id, engine, settings)
                return other.pairs(task_id)
        filters = {key: value for key, value in ablation.changes.items() if key in FILTER_SETTINGS}
        if ablation.samples and self.settings.method == "score":
            with Store.open(unanswered_copy(self.store, self.folder)) as other:
                return self._seen(other, filters, engine, settings.model_copy(update={"method": "sample"}))
        return self._seen(self.store, filters, engine, settings)

    def _same_filters(self, other: Store, task_id: int) -> None:
        """Give another database the thresholds and noise terms that are in force in the run's, edited ones too."""
        for key, value in self.store.settings(self.task_id).items():
            if key in FILTER_SETTINGS:
                other.set_setting(task_id, key, value)
        mine, others = set(self.store.noise_terms(self.task_id)), set(other.noise_terms(task_id))
        other.change_noise_terms(task_id, add=mine - others, drop=others - mine)

    def _seen(self, store: Store, filters: Mapping[str, Any], engine: Engine, settings: Settings) -> list[Pair]:
        """Return the pairs of the run's inputs as other filters show them."""
        view = SettingsOverlay(store, filters)
        task_id = view.only_task_id(self.task.name)
        self.tools.answer(view, task_id, engine, settings)
        return view.pairs(task_id)

    def _unseen(self, rows: Sequence[EvalRow]) -> list[EvalRow]:
        """Leave out what any variant's generation holds, so that all methods are scored on the same rows."""
        known: list[str] = []
        for path in sorted(self.folder.glob("*.db")):
            with Store.open(path, read_only=True) as other:
                known += other.input_texts()
        clean, leaked = without_leaks(rows, known)
        if leaked:
            self.tools.listener.note(f"left out {len(leaked)} evaluation rows that occur in an ablation's generation")
        if not clean:
            raise SelfguideError(f"task {self.task.name!r}: every evaluation row is among the generated inputs")
        return clean

    def _prompting(
        self, engine: Engine, methods: Sequence[str], rows: Sequence[EvalRow], done: dict[str, Evaluation]
    ) -> None:
        battery = self._battery(engine, rows)
        done |= battery.prompting()
        if SELF_ICL in methods:
            pairs = self.store.pairs(self.task_id)
            try:
                inputs = [row.input for row in rows]
                examples = icl_examples(self.task, pairs, engine, self.tools.prompts, inputs, self.tools.seed)
            except SelfguideError as error:
                self._skip(SELF_ICL, str(error))
                return
            made = len(examples) - len(self.task.examples)
            shown = json.dumps([[example.input, example.output] for example in examples], ensure_ascii=False)
            digest = hashlib.sha256(shown.encode()).hexdigest()
            ask, details = self_icl(self.tools.prompts, examples), {"pairs": made, "examples": digest}
            asked = Asked(SELF_ICL, ask=ask, prompt=f"{SELF_ICL} {digest}", details=details)
            found = battery.asked(asked, battery.kept())
            self.shown |= dict.fromkeys(found, made)
            done |= found

    def _battery(self, engine: Engine, rows: Sequence[EvalRow]) -> Battery:
        return Battery(self._context, engine, rows)

    @property
    def _context(self) -> RunContext:
        return self.tools.of_task(self.store, self.task_id, self.settings)

    def _skip(self, method: str, reason: str) -> None:
        self.skipped.append((method, reason))
        self.tools.listener.note(f"{method} left out: {reason}")

    # --- the finetunes

    def _plans(
        self, methods: Sequence[str], curve: Sequence[int], variants: Mapping[str, list[Pair]]
    ) -> Iterator[_Plan]:
        pairs = self.store.pairs(self.task_id)
        if FINETUNED in methods:
            yield _Plan(FINETUNED, tuple(pairs), self.tools.prompts)
        if FEW_SHOT_FINETUNING in methods:
            yield _Plan(FEW_SHOT_FINETUNING, tuple(seed_pairs(self.task)), LeaveOneOut.like(self.tools.prompts))
        if GIVEN_ALONE in methods:
            yield _Plan(GIVEN_ALONE, tuple(pair for pair in pairs if pair.by_hand == "given"), self.tools.prompts)
        for name, changed in variants.items():
            yield _Plan(name, tuple(changed), self.tools.prompts)
        ordered = in_turn(pairs, self.tools.seed, self.task)
        for count in curve:
            if count <= len(pairs):
                chosen = {pair.input_id for pair in ordered[:count]}
                part = tuple(pair for pair in pairs if pair.input_id in chosen)
                yield _Plan(curve_name(count), part, self.tools.prompts)
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
                if not plan.pairs and plan.method != FINETUNED:
                    raise SelfguideError("no pair survived its filters")
                if key not in trained:
                    self.tools.listener.note(f"{plan.method}: {len(plan.pairs)} pairs")
                    if plan.method == FINETUNED:
                        own = self._own_adapter()
                        trained[key] = Path(own.path), own.id
                    else:
                        place = self.folder / key[:16]
                        trainings = self.folder / "trainings.db"
                        adapter = self.tools.train_beside(
                            trainings, self.task, plan.pairs, place, self.settings, plan.prompts
                        )
                        trained[key] = adapter, None
                adapters[plan.method] = trained[key]
            except SelfguideError as error:
                if plan.method == FINETUNED:
                    raise
                plans.remove(plan)
                self._skip(plan.method, str(error))
        return adapters

    def _own_adapter(self) -> Adapter:
        """Train and export as `run` does, or find what it made."""
        from selfguide_lite.finetuning import finetune

        return finetune(self._context, self.tools.model, self.tools.opened).adapter

    def _finetuned(
        self,
        engine: Any,
        plans: Sequence[_Plan],
        adapters: Mapping[str, tuple[Path, int | None]],
        rows: Sequence[EvalRow],
        done: dict[str, Evaluation],
        same: dict[str, str],
    ) -> None:
        first: dict[Path, tuple[str, str]] = {}  # by adapter the method and what its evaluation is called
        usual = usual_form(self.task.kind)
        for plan in plans:
            path, adapter_id = adapters[plan.method]
            engine.set_adapter(path)
            if plan.method == FINETUNED:
                trained = [pair.input for pair in plan.pairs]
                own = Finetuned.of(self._context, path, adapter_id, trained)
                done |= self._battery(engine, rows).finetuned(own)
                first[path] = FINETUNED, named(FINETUNED, usual)
                continue
            twin = first.get(path)
            asked = Asked(
                plan.method, self.settings.answer_style, answers=usual,
                adapter_id=adapter_id, details={"pairs": len(plan.pairs), "dataset": _key(plan)},
            )  # fmt: skip
            same_as = None if twin is None else done[twin[1]]
            done[plan.method] = evaluate(self._context, engine, rows, asked, same_as)
            if twin is None:
                first[path] = plan.method, plan.method
            else:
                same[plan.method] = twin[0]


def _key(plan: _Plan) -> str:
    """What decides a training beside model, options and seed: its pairs and how they are asked for."""
    own_way = "leave one out " if isinstance(plan.prompts, LeaveOneOut) else ""
    return hashlib.sha256((own_way + pairs_key(plan.pairs)).encode()).hexdigest()
