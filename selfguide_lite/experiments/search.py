"""One parameter fits all: the setting whose worst gain over the best prompting, over several tasks, is the largest.

Every task's evaluation set is split: the validation rows choose, the rest score what was chosen. Settings that differ
in a filter alone see the same generations; those that come out with the same pairs share a finetune. All of it lies in
one folder, so the same search goes on where it was stopped.
"""

import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.lock import exclusive
from selfguide_lite.core.paths import slug
from selfguide_lite.core.settings import Settings
from selfguide_lite.evaluate.battery import Battery, Finetuned
from selfguide_lite.evaluate.evaluation import Evaluation
from selfguide_lite.evaluate.statistics import Gain
from selfguide_lite.evaluate.verdict import best_of, crossed_gain
from selfguide_lite.experiments.context import ExperimentContext, pairs_key
from selfguide_lite.finetune.isolated import kept_process
from selfguide_lite.methods.names import FINETUNED, named, usual_form
from selfguide_lite.own_data import OwnData
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import Pair, Store
from selfguide_lite.store.overlay import SettingsOverlay
from selfguide_lite.task import Task
from selfguide_lite.task.eval_rows import EvalRow, eval_rows, split_rows

# The paper's grid. A filter of None is the default of the task's kind.
TEMPERATURES: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9, 1.0)
EPOCHS: tuple[float, ...] = (1, 2, 3)
FILTERS: tuple[tuple[bool, bool | None], ...] = (
    (True, None),
    (True, False),
    (True, True),
    (False, False),
    (False, True),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One setting of the grid."""

    input_temperature: float
    epochs: float
    input_length_filter: bool
    output_length_filter: bool | None

    @property
    def changes(self) -> dict[str, Any]:
        """The fields of `Settings` that it sets."""
        fields: dict[str, Any] = {
            "input_temperature": self.input_temperature,
            "epochs": self.epochs,
            "input_length_filter": self.input_length_filter,
        }
        if self.output_length_filter is not None:
            fields["output_length_filter"] = self.output_length_filter
        return fields

    def __str__(self) -> str:
        output = {None: "by kind", True: "on", False: "off"}[self.output_length_filter]
        return (
            f"temperature {self.input_temperature:g}, epochs {self.epochs:g}, "
            f"length filters: inputs {'on' if self.input_length_filter else 'off'}, outputs {output}"
        )


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate's gains over the best prompting on each task's validation rows, and its worst one.

    :param failures: tasks on which it failed, with the reason; such a candidate is never chosen
    """

    candidate: Candidate
    gains: Mapping[str, Gain]
    failures: Mapping[str, str]

    @property
    def worst(self) -> float:
        """The smallest mean gain; minus infinity where a task failed."""
        return -math.inf if self.failures else min(gain.gain for gain in self.gains.values())

    @property
    def worst_task(self) -> str:
        """The task with the smallest gain, or one that failed."""
        if self.failures:
            return next(iter(self.failures))
        return min(self.gains, key=lambda name: self.gains[name].gain)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found.

    :param trials: in the order in which they were tried
    :param scores: the chosen setting's gains on the rows that did not choose it
    """

    best: Trial
    trials: tuple[Trial, ...]
    scores: Mapping[str, Gain]
    seed: int
    grid: int

    def settings_yaml(self) -> str:
        """Return the chosen setting as a file that `run --settings` takes."""
        lines = [
            f"# Chosen by `selfguide search` (seed {self.seed}, {len(self.trials)} of {self.grid} settings tried): the",
            "# largest worst gain over the best prompting on validation rows, "
            f"{self.best.worst:+.3f} (task {json.dumps(self.best.worst_task)}).",
        ]
        lines += [f"{key}: {json.dumps(value)}" for key, value in self.best.candidate.changes.items()]
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return the search for programs; gains are shares of 1."""
        return {
            "best": self.best.candidate.changes,
            "worst": self.best.worst,
            "seed": self.seed,
            "grid": self.grid,
            "trials": [
                {
                    **trial.candidate.changes,
                    "worst": None if trial.failures else trial.worst,
                    "gains": {name: gain.gain for name, gain in trial.gains.items()},
                    "failures": dict(trial.failures),
                }
                for trial in self.trials
            ],
            "scores": {name: asdict(gain) for name, gain in self.scores.items()},
        }


def grid(
    tasks: Sequence[Task],
    temperatures: Sequence[float] = TEMPERATURES,
    epochs: Sequence[float] = EPOCHS,
    filters: Sequence[tuple[bool, bool | None]] = FILTERS,
) -> list[Candidate]:
    """Return all candidates, the defaults first where the grid has them.

    A filter by the task's kind is left out where all tasks are of one kind: it is one of the others then.
    """
    if len({task.kind for task in tasks}) == 1:
        filters = [pair for pair in filters if pair[1] is not None] or list(filters)
    found = [
        Candidate(temperature, count, *pair)
        for temperature, count, pair in itertools.product(temperatures, epochs, filters)
    ]
    rules = tasks[0].rules

    def unusual(one: Candidate) -> bool:
        return rules.resolve(Settings(**one.changes)) != rules.resolve(Settings())

    return sorted(found, key=unusual)


def within_budget(candidates: Sequence[Candidate], budget: int | None, seed: int) -> list[Candidate]:
    """Return the first candidate and a random choice of the others, `budget` in all; None: all of them."""
    if budget is None or budget >= len(candidates):
        return list(candidates)
    rest = list(candidates[1:])
    random.Random(f"{seed}/search").shuffle(rest)
    return [candidates[0], *rest[: budget - 1]]


def search(
    tasks: Sequence[Task],
    folder: Path,
    *,
    candidates: Sequence[Candidate] | None = None,
    budget: int | None = None,
    validation: float = 0.1,
    options: RunOptions | None = None,
) -> Found:
    """Try settings on tasks and choose one for all of them.

    :param folder: for the databases and adapters; a search in it goes on
    :param candidates: None: the whole grid
    :param budget: try only so many of them, the first and others at random
    :param validation: share of each task's evaluation rows that chooses; the rest scores what was chosen
    :param options: its settings are those that all candidates have in common
    :raises SelfguideError: where a task has no evaluation set, or every candidate failed
    """
    if not tasks:
        raise SelfguideError("a search needs at least one task")
    if len({slug(task.name) for task in tasks}) < len(tasks):
        raise SelfguideError("two of the tasks have the same name; give each its own")
    everything = list(candidates or grid(tasks))
    tools = ExperimentContext.of(options)
    job, seed = _Search(folder, tools), tools.seed
    split = {task.name: split_rows(eval_rows(task), validation, seed) for task in tasks}
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "search.db"), kept_process():
        trials = []
        for candidate in within_budget(everything, budget, seed):
            trial = job.trial(candidate, tasks, {name: rows[0] for name, rows in split.items()})
            trials.append(trial)
            job.tools.listener.note(f"{candidate}: worst gain {trial.worst:+.3f} ({trial.worst_task})")
        best = max(trials, key=lambda trial: trial.worst)
        if best.failures:
            name, reason = next(iter(best.failures.items()))
            raise SelfguideError(f"no setting works for every task; the first failed on {name!r}: {reason}")
        scores = job.trial(best.candidate, tasks, {name: rows[1] for name, rows in split.items()}, last=True).gains
    return Found(best, tuple(trials), scores, seed, len(everything))


@dataclass(frozen=True, slots=True)
class _Search:
    folder: Path
    tools: ExperimentContext

    def trial(
        self, candidate: Candidate, tasks: Sequence[Task], rows: Mapping[str, Sequence[EvalRow]], last: bool = False
    ) -> Trial:
        """Return a candidate's gains on the given rows: what the plain model does, the finetunes, their scores.

        :param last: whether the rows score what was chosen: then the gain is cross-fitted over all variants. Rows that
            choose are few, and what is chosen by is one variant against the prompting that is best on these very rows
        """
        failures: dict[str, str] = {}
        before: dict[str, dict[str, Evaluation]] = {}
        pairs: dict[str, list[Pair]] = {}
        with self.tools.opened() as engine:
            for task in tasks:
                try:
                    pairs[task.name], before[task.name] = self._written(candidate, task, rows[task.name], engine)
                except SelfguideError as error:
                    failures[task.name] = str(error)
        adapters: dict[str, Path] = {}
        for task in tasks:
            if task.name in failures:
                continue
            try:
                adapters[task.name] = self._trained(candidate, task, pairs[task.name])
            except SelfguideError as error:
                failures[task.name] = str(error)
        gains: dict[str, Gain] = {}
        with self.tools.opened() as engine:
            for task in tasks:
                if task.name not in adapters:
                    continue
                changed = self.tools.set_for(task, candidate.changes)
                trained = [pair.input for pair in pairs[task.name]]
                with Store.open(self._db(candidate, task)) as store:
                    view = self._view(store, changed.settings, task)
                    battery = self._battery(view, changed, rows[task.name], engine)
                    adapter = Finetuned.of(battery.context, adapters[task.name], trained=trained)
                    usual = usual_form(task.kind)
                    after = battery.finetuned(adapter, None if last else (usual,))
                done = before[task.name]
                if last:
                    gains[task.name] = crossed_gain(done, after, self.tools.seed).gain
                else:
                    best = best_of({name: one.scores for name, one in done.items()})
                    gains[task.name] = after[named(FINETUNED, usual)].gain_over(done[best])
        return Trial(candidate, gains, failures)

    def _battery(self, store: Store, task: Task, rows: Sequence[EvalRow], engine: Any) -> Battery:
        task_id = store.only_task_id(task.name)
        return Battery(self.tools.of_task(store, task_id, task.settings), engine, rows)

    def _view(self, store: Store, settings: Settings, task: Task) -> SettingsOverlay:
        """Return a database as a candidate's filters show it."""
        settings = task.rules.resolve(settings)
        names = ("input_length_filter", "output_length_filter")
        return SettingsOverlay(store, {name: getattr(settings, name) for name in names})

    def _db(self, candidate: Candidate, task: Task) -> Path:
        return self.folder / f"{slug(task.name)}-t{candidate.input_temperature:g}.db"

    def _written(
        self, candidate: Candidate, task: Task, rows: Sequence[EvalRow], engine: Any
    ) -> tuple[list[Pair], dict[str, Evaluation]]:
        """Return a task's pairs under a candidate's filters and what prompting does."""
        usual = self.tools.set_for(task, {"input_temperature": candidate.input_temperature})
        settings = usual.settings.changed(candidate.changes)
        with Store.open(self._db(candidate, task)) as store:
            task_id = store.add_task(usual)
            OwnData.of(task).take_in(store, task_id, eval_rows(task), self.tools.listener)
            self.tools.write(store, task_id, engine, task.rules.resolve(usual.settings))
            view = self._view(store, settings, task)
            self.tools.answer(view, task_id, engine, task.rules.resolve(settings))
            return view.pairs(task_id), self._battery(view, task, rows, engine).prompting()

    def _trained(self, candidate: Candidate, task: Task, pairs: Sequence[Pair]) -> Path:
        settings = task.rules.resolve(self.tools.set_for(task, candidate.changes).settings)
        place = self.folder / "adapters" / f"{slug(task.name)}-{pairs_key(pairs)[:16]}-e{candidate.epochs:g}"
        return self.tools.train_beside(self.folder / "trainings.db", task, pairs, place, settings)


def write_settings(found: Found, path: Path) -> None:
    """Write the chosen setting as a file that `run --settings` takes."""
    with atomic_write(path) as temporary:
        temporary.write_text(found.settings_yaml(), encoding="utf-8")
