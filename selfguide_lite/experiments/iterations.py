"""SELF-GUIDE again from the model that it made, as long as the validation score rises.

Every round is a run of its own: the last round's adapter is merged into its model, and the result writes, answers and
is finetuned like any other. The evaluation set is split; its validation rows decide when to stop, the rest score.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.paths import files_dir
from selfguide_lite.evaluate.battery import Battery, Finetuned, keep_verdict
from selfguide_lite.evaluate.evaluation import Evaluation, clean_rows
from selfguide_lite.evaluate.statistics import Gain
from selfguide_lite.evaluate.verdict import Verdict, best_of, judge
from selfguide_lite.experiments.context import ExperimentContext
from selfguide_lite.finetune.isolated import kept_process
from selfguide_lite.methods.names import FINETUNED, AnswerForm, named, usual_form
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import Store
from selfguide_lite.task import Task
from selfguide_lite.task.eval_rows import EvalRow, eval_rows, split_rows

# What a round's model is written as: near enough to lossless, and half of 16 bits.
_KIND = "q8_0"


@dataclass(frozen=True, slots=True)
class Iteration:
    """One round of SELF-GUIDE.

    :param number: counted from 1
    :param model: GGUF that wrote the data and was finetuned: the first model, or the last round's merged
    :param adapter: GGUF adapter for `model`
    :param rise: of the validation score over the round before, over the best prompting in the first
    """

    number: int
    db: Path
    model: Path
    adapter: Path
    pairs: int
    rise: Gain


@dataclass(frozen=True, slots=True)
class Rounds:
    """All rounds that were run; the last one is not the best where its validation score did not rise.

    :param verdict: on the best round against prompting the first model, on the rows that decided nothing
    :param means: each method's mean score on these rows
    """

    task: str
    rounds: tuple[Iteration, ...]
    best: Iteration
    verdict: Verdict
    means: Mapping[str, float]

    @property
    def gain(self) -> Gain | None:
        """Of the best round over the best prompting; None where there were too few rows."""
        return self.verdict.gain

    def as_json(self) -> dict[str, Any]:
        """Return the rounds for programs, with the fields that `run --json` has."""
        return {
            "task": self.task,
            "pairs": self.best.pairs,
            "adapter": str(self.best.adapter),
            "model": str(self.best.model),
            "gain": None if self.gain is None else asdict(self.gain),
            "methods": dict(self.means),
            "verdict": self.verdict.sentence,
            "rounds": [
                {"round": one.number, "pairs": one.pairs, "rise": one.rise.gain, "db": str(one.db)}
                for one in self.rounds
            ],
            "best_round": self.best.number,
        }


@kept_process()
def run_rounds(
    task: Task,
    db: Path,
    rounds: int,
    *,
    validation: float = 0.2,
    options: RunOptions | None = None,
) -> Rounds:
    """Run SELF-GUIDE up to so many times, each from the model that the last one made.

    :param db: the first round's database; those of the others lie among its files
    :param rounds: at most, 1 or more
    :param validation: share of the evaluation rows that decides when to stop
    :param options: each round has a seed of its own, counted up from the given one
    :raises SelfguideError: where the task has no evaluation set, or a round cannot be done
    """
    from selfguide_lite.gguf.merge import merge
    from selfguide_lite.pipeline import run

    options = options or RunOptions()
    chosen, rest = split_rows(eval_rows(task), validation, options.seed)
    tools = ExperimentContext.of(options)
    job = _Job(task, tools)

    done: list[Iteration] = []
    best: Iteration | None = None
    last: Evaluation | None = None
    current = tools.model
    for number in range(1, rounds + 1):
        place = db if number == 1 else files_dir(db) / f"round-{number}.db"
        try:
            seed = options.seed + number - 1
            this_round = replace(options, model=current, settings=tools.changes, seed=seed, measure=False)
            result = run(task, place, this_round)
        except SelfguideError as error:
            if best is None:
                raise
            tools.listener.note(f"round {number} failed: {error}")
            break
        assert result.adapter is not None  # a run with a local model has one
        usual = usual_form(task.kind)
        made = _Finetune(place, current, result.adapter)
        score = job.finetuned(made, chosen, (usual,))[named(FINETUNED, usual)]
        rise = score.gain_over(last or job.best_prompting(db, chosen))
        this = Iteration(number, place, current, result.adapter, result.pairs, rise)
        done.append(this)
        tools.listener.note(f"round {number}: validation score {score.mean:.3f}, {100 * rise.gain:+.1f} points")
        if best is not None and rise.gain <= 0:
            break
        best, last = this, score
        if number < rounds:
            merged = files_dir(db) / f"round-{number}.gguf"
            current = merge(current, result.adapter, merged, _KIND)
    assert best is not None
    for place in {db, best.db}:  # a row that any of the two generated would be scored for one side alone
        with Store.open(place, read_only=True) as store:
            rest = clean_rows(store, store.only_task_id(task.name), rest)[0]
    if not rest:
        raise SelfguideError(f"task {task.name!r}: every evaluation row is among the generated inputs")
    prompting = job.prompting(db, rest)
    finetuned = job.finetuned(_Finetune(best.db, best.model, best.adapter), rest)
    verdict = judge(prompting, finetuned, task.kind, options.seed)
    evaluations = {**prompting, **finetuned}
    with Store.open(best.db) as store:
        task_id = store.only_task_id(task.name)
        known = store.latest_adapter(task_id)
        here = evaluations if best.db == db else finetuned  # a later round's database has no prompting in it
        keep_verdict(store, task_id, verdict, here, known.id if known else None)
    return Rounds(task.name, tuple(done), best, verdict, {name: one.mean for name, one in evaluations.items()})


@dataclass(frozen=True, slots=True)
class _Finetune:
    """A round's model with its adapter, and the database that they are of."""

    db: Path
    model: Path
    adapter: Path


@dataclass(frozen=True, slots=True)
class _Job:
    """What all rounds have in common."""

    task: Task
    tools: ExperimentContext

    def prompting(self, db: Path, rows: list[EvalRow]) -> dict[str, Evaluation]:
        with Store.open(db) as store, self.tools.opened() as engine:
            task_id = store.only_task_id(self.task.name)
            return Battery(self.tools.of_task(store, task_id, self.task.settings), engine, rows).prompting()

    def best_prompting(self, db: Path, rows: list[EvalRow]) -> Evaluation:
        done = self.prompting(db, rows)
        return done[best_of({name: one.scores for name, one in done.items()})]

    def finetuned(
        self, made: _Finetune, rows: list[EvalRow], only: tuple[AnswerForm, ...] | None = None
    ) -> dict[str, Evaluation]:
        with Store.open(made.db) as store, self.tools.opened(made.model) as engine:
            settings = self.tools.set_for(self.task).settings
            context = self.tools.of_task(store, store.only_task_id(self.task.name), settings)
            known = store.latest_adapter(context.task_id)
            tuned = Finetuned.of(context, made.adapter, known.id if known else None)
            return Battery(context, engine, rows).finetuned(tuned, only)
