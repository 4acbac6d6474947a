"""Does a result hang on the training's seed and length? Five trainings on the same pairs, no two alike in either.

`python -m data.results.stability`; what is missing is run, one training after the other. Needs the databases of the
table's runs with seed 1.
"""

import argparse
import json
import math
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from data.results.plan import DEFAULT, planned
from data.results.record import load, read
from selfguide_lite.core.files import atomic_write
from selfguide_lite.evaluate.answering import score_labels
from selfguide_lite.experiments.context import ExperimentContext, pairs_key
from selfguide_lite.experiments.tables import markdown_table
from selfguide_lite.methods.asking import answer_prompt
from selfguide_lite.methods.calibration import likeliest
from selfguide_lite.report.progress import PlainLines
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import Store
from selfguide_lite.task import Task
from selfguide_lite.task.eval_rows import eval_rows

TASKS = ("sms-spam", "sst2", "subj")
TRAININGS = ((1, 2), (2, 3), (3, 4), (4, 6), (5, 8))  # seed of the training, passes over the pairs
KEPT = Path(__file__).parent / "trainings"
# Of before 2026-11-30: in Q8_0, with the rate of a short training whatever the steps.
EARLIER = Path(__file__).parent / "trainings_one_rate"
GOAL = 3.0  # points of standard deviation


def measure(name: str, shared: Path, folder: Path, kept: Path) -> None:
    """Do one task's trainings, or what is left of them, and write down what came of each.

    :param folder: of the runs' databases
    :param kept: folder of what is written down
    """
    plan = next(one for one in planned(shared) if (one.name, one.seed, one.variant) == (name, 1, DEFAULT))
    task = load(plan, folder)
    with Store.open(folder / f"{plan.key}.db", read_only=True) as store:
        pairs = store.pairs(store.only_task_id(task.name))
    for seed, epochs in TRAININGS:
        place = kept / f"{name}-{seed}.json"
        steps = math.ceil(epochs * len(pairs) / task.settings.batch_size)
        known = {"task": name, "seed": seed, "epochs": epochs, "steps": steps, "pairs_sha256": pairs_key(pairs)}
        if known.items() <= read(place).items():
            continue
        settings = task.rules.resolve(task.settings.changed({"min_steps": steps, "max_steps": steps}))
        tools = ExperimentContext.of(RunOptions(seed=seed, listener=PlainLines()))
        at = folder / "trainings" / f"{name}-{seed}"
        adapter = tools.train_beside(at.with_suffix(".db"), task, pairs, at, settings)
        answer = {**known, "pairs": len(pairs), **accuracy(tools, task, adapter)}
        with atomic_write(place) as temporary:
            temporary.write_text(json.dumps(answer) + "\n", encoding="utf-8")
        print(answer, flush=True)


def accuracy(tools: ExperimentContext, task: Task, adapter: Path) -> dict[str, float]:
    """Return the share of evaluation rows whose likeliest label is right, and how often that is the first label."""
    rows = eval_rows(task)
    with tools.opened() as engine:
        engine.set_adapter(adapter)
        found = score_labels(engine, task, answer_prompt(tools.prompts, "few-shot"), [row.input for row in rows])
    chosen = [likeliest(dict(zip(task.labels, found[place], strict=True))) for place in range(len(rows))]
    right = fmean(label == row.references[0] for label, row in zip(chosen, rows, strict=True))
    return {"accuracy": right, "first": fmean(label == task.labels[0] for label in chosen)}


def section(kept: Path = KEPT, earlier: Path = EARLIER) -> list[str]:
    """Return the lines of the results' page; none where nothing was measured."""
    now, before = _table(kept), _table(earlier)
    if not now and not before:
        return []
    lines = [
        "## Trainings on the same pairs",
        "",
        "The pairs of seed 1. Each training has a seed of its own and a length of its own, all else is the default.",
        "Exact match by label scores on the 300 rows. `python -m data.results.stability` makes it. The goal is a",
        f"standard deviation of at most {GOAL:.0f} points. Seed and length change together here: which of the two a",
        "result depends on is not separated.",
        "",
    ]
    if now:
        lines += [now, ""]
    if before:
        lines += [
            "### The same at one rate, in Q8_0, until 2026-11-30",
            "",
            "Every training had the learning rate of a short one, however long it was. Today a longer one has a lower",
            "rate, so that it goes about as far. These are pairs of other runs.",
            "",
            before,
            "",
        ]
    return lines


def _table(kept: Path) -> str:
    done: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(kept.glob("*.json")):
        one = read(path)
        done.setdefault(one["task"], []).append(one)
    header = ["task", "pairs", *(f"seed {seed}, {epochs} passes" for seed, epochs in TRAININGS), "mean", "deviation"]
    rows = []
    for name, found in done.items():
        by_seed = {one["seed"]: 100 * one["accuracy"] for one in found}
        shown = [f"{by_seed[seed]:.1f}" if seed in by_seed else "" for seed, _ in TRAININGS]
        spread = f"{stdev(by_seed.values()):.1f}" if len(by_seed) > 1 else ""
        rows.append([name, str(found[0]["pairs"]), *shown, f"{fmean(by_seed.values()):.1f}", spread])
    return markdown_table(header, rows) if rows else ""


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with tasks/ and ni/")
    parser.add_argument("--out", type=Path, default=Path("out/results"), help="folder of the databases")
    parser.add_argument("--kept", type=Path, default=KEPT, help="folder of what is kept of each training")
    parser.add_argument("--task", action="append", choices=TASKS, help="only this task; may be given several times")
    given = parser.parse_args()
    given.kept.mkdir(parents=True, exist_ok=True)
    for name in given.task or TASKS:
        measure(name, given.shared, given.out, given.kept)


if __name__ == "__main__":
    main()
