"""The two demo tasks with fields: which direction keeps more right pairs, and what the finetune is worth.

`python -m data.results.fields`; what is missing is run, a database each. With SmolLM2 whole runs are done, with Gemma 3
270M the data are written. `make docs` puts the tables into docs/fields.md.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.gemma import fetch
from data.results.grounding import grounding, shown
from data.results.record import read, settings_sha256, write_down
from selfguide_lite import RunOptions, RunResult, Store, Task, load_task, run
from selfguide_lite.cli.common import given_settings
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.resources import resource
from selfguide_lite.evaluate.by_field import field_scores
from selfguide_lite.llm import model_path
from selfguide_lite.report.progress import RUN_STAGES, listener_for
from selfguide_lite.store.fields import field_summary

TASKS = ("rental-adverts", "support-mails")
DIRECTIONS = ("input-first", "output-first")
SMOLLM2, GEMMA = "SmolLM2-135M-Instruct", "Gemma 3 270M"
MODELS = {"smollm2": SMOLLM2, "gemma3": GEMMA}
DATA_ROUNDS = 1  # of a run that only writes data: 40 prompts
KEPT = Path(__file__).parent / "field_runs"
_TEMPLATES = {
    "input-first": ("annotate.j2", "input-chat-turns.j2"),
    "output-first": ("annotate.j2", "input-chat-turns.j2", "object-chat-turns.j2"),
}


@dataclass(frozen=True, slots=True)
class FieldRun:
    """One run.

    :param model: a key of `MODELS`; only SmolLM2 is finetuned
    :param changed: settings over the defaults, for a trial
    """

    task: str
    model: str
    direction: str
    seed: int
    changed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """A file name that no other run has."""
        return f"{self.task}-{self.model}-{self.direction}-{self.seed}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the run changes."""
        fewer = {} if self.model == "smollm2" else {"rounds": DATA_ROUNDS}
        return {"direction": self.direction, **fewer, **self.changed}

    def loaded(self) -> Task:
        """Return the task with the run's settings."""
        return RunOptions(settings=self.settings).set_for(load_task(resource("data/tasks") / f"{self.task}.yaml"))

    def decided_by(self) -> dict[str, str]:
        """Return hashes of what decides the run beside model and seed."""
        task = self.loaded()
        templates = [resource("prompts") / name for name in _TEMPLATES[self.direction]]
        texts = [resource("data/tasks") / f"{self.task}{end}" for end in (".yaml", ".eval.jsonl")]
        return {
            "defaults_sha256": settings_sha256([task.rules.resolve(task.settings)], templates),
            "task_sha256": " ".join(file_sha256(path)[:16] for path in texts),
        }


def planned(seeds: Sequence[int], changed: Mapping[str, Any] | None = None) -> Iterator[FieldRun]:
    """Yield all runs in the order in which they are worth doing, should time run out."""
    for seed in seeds:
        for model in MODELS:
            for task in TASKS:
                for direction in DIRECTIONS:
                    yield FieldRun(task, model, direction, seed, changed or {})


def measure(one: FieldRun, folder: Path, kept: Path) -> dict[str, Any]:
    """Do a run, or what is left of it, write down what is kept of it and return that.

    :param folder: of the databases
    :param kept: folder of the records; one that was made with today's defaults is not made again
    """
    place = kept / f"{one.key}.json"
    decided = one.decided_by()
    done = read(place)
    if decided.items() <= done.items() and "error" not in done:
        return done
    model = model_path(None) if one.model == "smollm2" else fetch()
    base = {
        "task": one.task,
        "model": MODELS[one.model],
        "direction": one.direction,
        "seed": one.seed,
        **decided,
        "model_sha256": file_sha256(model),
    }

    def job() -> dict[str, Any]:
        task, db = one.loaded(), folder / f"{one.key}.db"
        with listener_for(False, RUN_STAGES) as listener:
            options = RunOptions(
                model=model, settings=one.settings, seed=one.seed, listener=listener, train=one.model == "smollm2"
            )
            try:
                result = run(task, db, options)
            except SelfguideError:
                found = _data(task, db, one.seed) if db.exists() else {}
                if found.get("inputs") and not found["pairs"]:  # that none is left is a finding too
                    return found
                raise
        return {**_data(task, db, one.seed), **_scores(task, result)}

    return write_down(place, folder, base, job)


def _data(task: Task, db: Path, seed: int) -> dict[str, Any]:
    """Return what is kept of the pairs."""
    assert task.answer_schema is not None
    with Store.open(db, read_only=True) as store:
        task_id = store.only_task_id(task.name)
        pairs, funnel = store.pairs(task_id), store.funnel(task_id)
        summary = field_summary(store, task_id)
    inputs: Counter[str] = Counter({row.reason: row.n for row in funnel if row.stage == "input"})
    found = grounding(task.answer_schema, pairs)
    return {
        "inputs": inputs.total(),
        "kept_inputs": inputs["kept"],
        "kept_share": round(inputs["kept"] / max(1, inputs.total()), 3),
        "funnel": [[row.stage, row.reason, row.n] for row in funnel],
        "pairs": found.pairs,
        "right_pairs": found.right,
        "found_values": found.found,
        "given_values": found.given,
        "empty_shares": {one.field or "": round(one.empty_share, 3) for one in summary},
        "shown": shown(pairs, seed),
    }


def _scores(task: Task, result: RunResult) -> dict[str, Any]:
    """Return what is kept of the evaluation; nothing where no model was finetuned."""
    measured, gain = result.measurement, result.gain
    if measured is None:
        return {}
    by_field = {name: field_scores(task, one) for name, one in measured.evaluations.items()}
    return {
        "verdict": result.verdict,
        "gain": gain
        and {"over": gain.over, "before": gain.before, "after": gain.after, "low": gain.low, "high": gain.high},
        "rights": [],
        "methods": {name: [round(score, 4) for score in one.scores] for name, one in measured.evaluations.items()},
        "fields": {
            name: {
                "valid": one.valid,
                "exact": one.exact,
                "micro": round(one.micro, 4),
                "f1": {each.name: round(each.count.f1, 4) for each in one.fields},
            }
            for name, one in by_field.items()
            if one is not None
        },
    }


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, action="append", help="may be given several times; 1, 2 and 3 by default")
    parser.add_argument("--task", choices=TASKS, action="append", help="only this task")
    parser.add_argument("--model", choices=MODELS, action="append", help="only this model")
    parser.add_argument("--direction", choices=DIRECTIONS, action="append", help="only this direction")
    parser.add_argument("--most", type=int, help="stop after so many runs")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="a trial: with --out and --kept"
    )
    parser.add_argument("--out", type=Path, default=Path("out/results/fields"), help="folder of the databases")
    parser.add_argument("--kept", type=Path, default=KEPT, help="folder of what is kept of each run")
    given = parser.parse_args()
    if given.set and given.kept == KEPT:
        parser.error("--set makes no record of the table: name another folder with --kept")
    given.kept.mkdir(parents=True, exist_ok=True)
    given.out.mkdir(parents=True, exist_ok=True)
    runs = [
        one
        for one in planned(given.seed or (1, 2, 3), given_settings(None, given.set))
        if one.task in (given.task or TASKS)
        and one.model in (given.model or MODELS)
        and one.direction in (given.direction or DIRECTIONS)
    ]
    for number, one in enumerate(runs[: given.most], 1):
        print(f"[{number} of {len(runs)}] {one.key}", flush=True)
        done = measure(one, given.out, given.kept)
        print(done.get("error") or f"{done['pairs']} pairs, {done['right_pairs']} right. {done.get('verdict', '')}")


if __name__ == "__main__":
    main()
