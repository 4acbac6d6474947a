"""SELF-GUIDE again from the model that it made, as long as the validation score rises.

Every round is a run of its own: the last round's adapter is merged into its model, and the result writes, answers and
is finetuned like any other. The evaluation set is split; its validation rows decide when to stop, the rest score.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.errors import SelfguideError
from selfguide_lite.evaluate.evaluation import Evaluation
from selfguide_lite.evaluate.methods import FEW_SHOT, SELFGUIDE
from selfguide_lite.evaluate.rows import EvalRow, eval_rows, split_rows
from selfguide_lite.evaluate.statistics import Gain
from selfguide_lite.evaluate.tools import Tools
from selfguide_lite.places import files_dir
from selfguide_lite.progress import Listener
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import Store
from selfguide_lite.task import Task

# What a round's model is written as: near enough to lossless, and half of 16 bits.
_KIND = "q8_0"


@dataclass(frozen=True, slots=True)
class Round:
    """One round of SELF-GUIDE.

    :param number: counted from 1
    :param model: GGUF that wrote the data and was finetuned: the first model, or the last round's merged
    :param adapter: GGUF adapter for `model`
    :param rise: of the validation score over the round before, over few-shot prompting in the first
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

    :param gain: of the best round over few-shot prompting of the first model, on the rows that decided nothing
    """

    task: str
    rounds: tuple[Round, ...]
    best: Round
    gain: Gain

    def as_json(self) -> dict[str, Any]:
        """Return the rounds for programs, with the fields that `run --json` has."""
        gain = self.gain
        return {
            "task": self.task,
            "pairs": self.best.pairs,
            "adapter": str(self.best.adapter),
            "model": str(self.best.model),
            "gain": {
                "metric": gain.metric,
                "n": gain.n,
                "before": gain.before,
                "after": gain.after,
                "low": gain.low,
                "high": gain.high,
            },
            "rounds": [
                {"round": one.number, "pairs": one.pairs, "rise": one.rise.gain, "db": str(one.db)}
                for one in self.rounds
            ],
            "best_round": self.best.number,
        }


def run_rounds(
    task: Task,
    db: Path,
    rounds: int,
    *,
    model: Path | None = None,
    validation: float = 0.2,
    settings: Mapping[str, Any] | None = None,
    prompts: Prompts | None = None,
    seed: int = 42,
    listener: Listener | None = None,
    **engine_options: Any,
) -> Rounds:
    """Run SELF-GUIDE up to so many times, each from the model that the last one made.

    :param db: the first round's database; those of the others lie among its files
    :param rounds: at most, 1 or more
    :param validation: share of the evaluation rows that decides when to stop
    :param settings: fields of `Settings` to change, over those of the task
    :raises SelfguideError: where the task has no evaluation set, or a round cannot be done
    """
    from selfguide_lite.gguf.merge import merge
    from selfguide_lite.pipeline import run

    chosen, rest = split_rows(eval_rows(task), validation, seed)
    tools = Tools.of(model, settings, prompts, seed, listener, engine_options)
    unscored = task.model_copy(update={"eval": None})

    def before(rows: list[EvalRow]) -> Evaluation:
        return _scored(tools, db, task.name, tools.model, None, rows)

    done: list[Round] = []
    best: Round | None = None
    last: Evaluation | None = None
    current = tools.model
    for number in range(1, rounds + 1):
        place = db if number == 1 else files_dir(db) / f"round-{number}.db"
        try:
            result = run(
                unscored, place, model=current, settings=tools.changes, prompts=tools.prompts, seed=seed + number - 1,
                listener=tools.listener, **engine_options,
            )  # fmt: skip
        except SelfguideError as error:
            if best is None:
                raise
            tools.listener.note(f"round {number} came to nothing: {error}")
            break
        assert result.adapter is not None  # a run with a local model has one
        score = _scored(tools, place, task.name, current, result.adapter, chosen)
        rise = score.gain_over(last or before(chosen))
        this = Round(number, place, current, result.adapter, result.pairs, rise)
        done.append(this)
        tools.listener.note(f"round {number}: validation score {score.mean:.3f}, {100 * rise.gain:+.1f} points")
        if best is not None and rise.gain <= 0:
            break
        best, last = this, score
        if number < rounds:
            merged = files_dir(db) / f"round-{number}.gguf"
            current = merge(current, result.adapter, merged, _KIND)
    assert best is not None
    after = _scored(tools, best.db, task.name, best.model, best.adapter, rest)
    return Rounds(task.name, tuple(done), best, after.gain_over(before(rest)))


def _scored(
    tools: Tools, db: Path, task_name: str, model: Path, adapter: Path | None, rows: list[EvalRow]
) -> Evaluation:
    with Store.open(db) as store, tools.opened(model) as engine:
        task_id = store.only_task_id(task_name)
        if adapter is None:
            return tools.score(store, task_id, engine, rows, FEW_SHOT)
        engine.set_adapter(adapter)
        known = store.latest_adapter(task_id)
        return tools.score(store, task_id, engine, rows, SELFGUIDE, adapter_id=known.id if known else None)
