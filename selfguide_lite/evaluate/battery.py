"""Everything a finetuned model is compared with, on the same rows, and the result.

First the plain model by every way of prompting, then the same loaded model with the adapter. A calibrated method is
calibrated by its own model's and prompt's mean answer over inputs without answers, never over evaluation rows.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from selfguide_lite.evaluate.asked import Asked
from selfguide_lite.evaluate.evaluation import Evaluation, calibrate, evaluate, macro_f1_of
from selfguide_lite.evaluate.prior import prior_of
from selfguide_lite.evaluate.statistics import Gain
from selfguide_lite.evaluate.verdict import Verdict, best_of, judge, unmeasured
from selfguide_lite.methods.asking import FULL, PROMPTED, is_taught, prepare
from selfguide_lite.methods.names import FINETUNED, AnswerForm, answer_forms, is_finetuned, named
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Adapter, PoolInput, Store, VerdictRow
from selfguide_lite.task import Task, fold
from selfguide_lite.task.eval_rows import EvalRow


@dataclass(frozen=True, slots=True)
class Measurement:
    """All methods on the same rows.

    :param evaluations: by method, prompting first
    """

    task: Task
    evaluations: Mapping[str, Evaluation]
    verdict: Verdict

    @property
    def gain(self) -> Gain | None:
        """Over the best prompting; None where it was not measured."""
        return self.verdict.gain

    @property
    def best_prompting(self) -> Evaluation | None:
        """The prompting with the highest mean over all rows."""
        return self._best(finetuned=False)

    @property
    def best_finetuned(self) -> Evaluation | None:
        """The finetuned variant with the highest mean over all rows; None where no model was finetuned."""
        return self._best(finetuned=True)

    def _best(self, finetuned: bool) -> Evaluation | None:
        chosen = {name: one.scores for name, one in self.evaluations.items() if is_finetuned(name) == finetuned}
        return self.evaluations[best_of(chosen)] if chosen else None

    @property
    def means(self) -> dict[str, float]:
        """Each method's mean score, as a share of 1."""
        return {name: evaluation.mean for name, evaluation in self.evaluations.items()}

    @property
    def macro_f1(self) -> dict[str, float]:
        """Each method's macro-F1 as a share of 1; nothing where the kind has no labels."""
        if not self.task.rules.labelled:
            return {}
        return {name: macro_f1_of(self.task, evaluation) for name, evaluation in self.evaluations.items()}


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A finetuned model as it is evaluated.

    :param path: the GGUF adapter
    :param id: in the store; None for one that is no row of it
    :param style: how the answers that it learnt were asked for
    :param trained: the inputs that it was trained on
    """

    path: Path
    id: int | None
    style: str
    trained: frozenset[str]

    @classmethod
    def of(
        cls,
        context: RunContext,
        path: Path,
        adapter_id: int | None = None,
        trained: Collection[str] | None = None,
    ) -> Self:
        """Fill in what the store knows of an adapter.

        :param trained: None: the inputs of the dataset as it is; all kept ones where a teacher's answers were learnt
        """
        store, task_id = context.store, context.task_id
        known = store.trained_style(adapter_id) if adapter_id is not None else None
        style = known or context.settings.answer_style
        if trained is None:
            trained = [pair.input for pair in store.pairs(task_id)]
            # A teacher's answers to other kept inputs were learnt too.
            if is_taught(context.task, style, teacher=context.settings.teacher):
                trained += [shown.text for shown in store.pool(task_id)]
        return cls(path, adapter_id, style, frozenset(map(fold, trained)))


@dataclass(frozen=True, slots=True)
class Battery:
    """What all methods of one comparison have in common."""

    context: RunContext
    engine: Any
    rows: Sequence[EvalRow]

    def prompting(self) -> dict[str, Evaluation]:
        """Evaluate every way of prompting the plain model."""
        self._load(None)
        pool = self.kept()
        done: dict[str, Evaluation] = {}
        for family, style in PROMPTED.items():
            done |= self.asked(Asked(family, style, prompt=style), pool)
        return done

    def finetuned(self, adapter: Finetuned, only: Collection[AnswerForm] | None = None) -> dict[str, Evaluation]:
        """Evaluate a finetuned model, with the prompt that it was trained on.

        :param only: how its answers are read; None: in every way
        """
        self._load(adapter.path)
        # Of what it was trained on it is surer than of anything else.
        pool = [shown for shown in self.kept() if fold(shown.text) not in adapter.trained]
        prompt = adapter.style
        if adapter.id is None:  # then only its content tells it from another
            from selfguide_lite.core.hashing import file_sha256

            prompt += f" {file_sha256(adapter.path)}"
        details = {} if adapter.style == FULL else {"answer_style": adapter.style}
        asked = Asked(FINETUNED, adapter.style, prompt=prompt, adapter_id=adapter.id, details=details)
        return self.asked(asked, pool, only)

    def asked(
        self, asked: Asked, pool: Sequence[PoolInput], only: Collection[AnswerForm] | None = None
    ) -> dict[str, Evaluation]:
        """Evaluate one way of asking the loaded model: its free text, its scores, and these calibrated.

        :param asked: its method is the family's name
        :param pool: inputs without answers, to calibrate by
        :param only: how answers are read; None: as is usual for the family
        """
        context, family, done = self.context, asked.method, dict[str, Evaluation]()
        forms = [form for form in answer_forms(family, context.task.kind) if only is None or form in only]
        ways = {form: replace(asked, method=named(family, form), answers=form) for form in forms}
        prepare(self.engine, context.task, asked.prompt_maker(context.prompts))
        # Scores come first: they tell most of what is written as free text.
        for form in sorted(forms, key=lambda form: form == "free"):
            this = ways[form]
            if form != "calibrated":
                text = ways.get("free") if form == "scored" else None
                done[this.method] = evaluate(context, self.engine, self.rows, this, text=text)
                continue
            prior = prior_of(context, self.engine, pool, this)
            if prior is not None:
                scored = done[named(family, "scored")]
                done[this.method] = calibrate(context.store, context.task_id, scored, prior, this.method)
        return {way.method: done[way.method] for way in ways.values() if way.method in done}

    def kept(self) -> list[PoolInput]:
        """Return the kept inputs; their answers are not looked at."""
        context = self.context
        return context.store.pool(context.task_id) if context.task.rules.labelled else []

    def _load(self, adapter: Path | None) -> None:
        loaded = self.engine.info.adapter
        if loaded != (None if adapter is None else str(adapter)):
            self.engine.set_adapter(adapter)


def measure(
    context: RunContext,
    engine: Any,
    rows: Sequence[EvalRow],
    adapter: Adapter | Path | None,
    trained: Collection[str] | None = None,
) -> Measurement:
    """Evaluate every way of prompting and the finetuned model on the same rows, and write down the result.

    :param rows: where there are none, nothing is asked and the verdict says so
    :param engine: of a model file: it is given the adapter after the plain model was asked
    :param adapter: of the store, or a file that is not in it, whose verdict is not kept; None: prompting alone
    :param trained: the inputs that the adapter was trained on; None: those of the dataset
    :raises SelfguideError: where the engine fails, or nothing is left to evaluate
    """
    battery, task = Battery(context, engine, rows), context.task
    known = adapter if isinstance(adapter, Adapter) else None
    evaluations: dict[str, Evaluation] = {}
    if rows:
        prompting = battery.prompting()
        finetuned: dict[str, Evaluation] = {}
        if adapter is not None:
            place = adapter if isinstance(adapter, Path) else Path(adapter.path)
            adapter_id = None if known is None else known.id
            finetuned = battery.finetuned(Finetuned.of(context, place, adapter_id, trained))
        verdict = judge(prompting, finetuned, task.kind, context.seed)
        evaluations = {**prompting, **finetuned}
    else:
        verdict = unmeasured(task.kind)
    if known is not None:
        keep_verdict(context.store, context.task_id, verdict, evaluations, known.id)
    return Measurement(task, evaluations, verdict)


def keep_verdict(
    store: Store, task_id: int, verdict: Verdict, evaluations: Mapping[str, Evaluation], adapter_id: int | None
) -> None:
    """Write a verdict down, for `predict` and the report."""
    gain = verdict.gain
    winner = evaluations.get(verdict.winner)
    store.add_verdict(
        VerdictRow(
            id=0,
            task_id=task_id,
            adapter_id=adapter_id,
            metric=verdict.metric,
            data_sha256=winner.data_sha256 if winner else "",
            n=verdict.n,
            over=gain.over if gain else None,
            before=gain.before if gain else None,
            after=gain.after if gain else None,
            low=gain.low if gain else None,
            high=gain.high if gain else None,
            sentence=verdict.sentence,
            winner_id=winner.id if winner else None,
        ),
    )
