"""`python data/results.py`: run every demo task with default settings and write the tables that stand in the README.

A second call goes on where the first stopped; what is finished is not done again. `--compare` adds all other methods,
the ablations and the learning curve, `--search N` the search for one setting among N of the grid. Prints the tables and
last one line of JSON. `--keep data/results` puts the tables where the README takes them from (`make docs`).
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selfguide_lite import SelfguideError, load_task, run
from selfguide_lite.evaluate import Gain
from selfguide_lite.evaluate.comparison import compare
from selfguide_lite.evaluate.search import grid, search, write_settings
from selfguide_lite.evaluate.tables import comparisons_markdown, found_markdown, markdown_table, points
from selfguide_lite.files import atomic_write
from selfguide_lite.report.progress import RUN_STAGES, listener_for
from selfguide_lite.task import Task

_TASKS = Path(__file__).resolve().parent / "tasks"
_CURVE = (25, 50, 100, 200)  # numbers of pairs
_HEAD = ["task", "kind", "pairs", "metric", "best prompting", "before", "after", "gain, 95 % interval", "seconds"]


def measured(task: Task, stem: Path, model: Path | None, seed: int) -> dict[str, Any]:
    """Do the whole job for a task, or what is left of it, and return its result with the time that it took in all.

    :param stem: where its files lie: the database, and a JSON file with the result and the time so far
    """
    kept = stem.with_suffix(".json")
    done: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if done.get("seed") != seed:
        done = {}
    if done.get("result") and "error" not in done["result"]:
        return done
    before, begun = float(done.get("seconds", 0.0)), time.monotonic()
    answer: dict[str, Any] | None = None
    try:
        with listener_for(False, RUN_STAGES) as listener:
            result = run(task, stem.with_suffix(".db"), model=model, seed=seed, listener=listener)
        answer = result.as_json()
    except SelfguideError as error:
        answer = {"task": task.name, "pairs": 0, "adapter": None, "gain": None, "error": str(error)}
    finally:  # also when interrupted: the time counts on
        done = {"kind": task.kind, "seed": seed, "result": answer, "seconds": before + time.monotonic() - begun}
        _write(kept, json.dumps(done))
    return done


def row(done: Mapping[str, Any]) -> list[str]:
    """Return a task's line of the table, scores in percent."""
    result = done["result"]
    head = [result["task"], done["kind"], str(result["pairs"])]
    if result["gain"] is None:
        return [*head, "", "", "", "", result.get("error") or result["verdict"], f"{done['seconds']:.0f}"]
    gain = Gain(**result["gain"])
    return [
        *head,
        gain.metric,
        gain.over,
        f"{gain.before:.1%}",
        f"{gain.after:.1%}",
        points(gain),
        f"{done['seconds']:.0f}",
    ]


def main() -> None:
    """Run the tasks and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/results"), help="folder of the databases and the tables")
    parser.add_argument("--model", type=Path, help="GGUF file instead of the embedded model")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--compare", action="store_true", help="also other methods, ablations, learning curve (long)")
    parser.add_argument("--search", type=int, metavar="N", help="also search for a setting, trying N of them (long)")
    parser.add_argument("--validation", type=float, default=0.2, help="share of the rows that chooses the setting")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder that gets a copy of the tables")
    parser.add_argument("tasks", nargs="*", type=Path, help="task files; all demo tasks where none is given")
    given = parser.parse_args()
    paths: Sequence[Path] = given.tasks or sorted(_TASKS.glob("*.yaml"))
    given.out.mkdir(parents=True, exist_ok=True)

    def show(name: str, table: str) -> None:
        for folder in filter(None, (given.out, given.keep)):
            _write(folder / name, f"Seed {given.seed}.\n\n{table}\n")
        print(f"{table}\n")

    answers = [measured(load_task(path), given.out / path.stem, given.model, given.seed) for path in paths]
    show("table.md", markdown_table(_HEAD, [row(answer) for answer in answers]))
    if given.compare:
        comparisons = []
        for path in paths:
            try:
                with listener_for(False) as listener:
                    db = given.out / f"{path.stem}.db"
                    comparisons.append(
                        compare(
                            load_task(path), db, model=given.model, curve=_CURVE, seed=given.seed, listener=listener
                        )
                    )
            except SelfguideError as error:
                print(f"{path.stem}: left out: {error}")
        show("methods.md", comparisons_markdown(comparisons))
    if given.search:
        tasks = [load_task(path) for path in paths]
        with listener_for(False) as listener:
            found = search(
                tasks,
                given.out / "search",
                model=given.model,
                candidates=grid(tasks),
                budget=given.search,
                validation=given.validation,
                seed=given.seed,
                listener=listener,
            )
        write_settings(found, given.out / "search" / "settings.yaml")
        show("search.md", found_markdown(found))
    print(json.dumps({"seed": given.seed, "tasks": [answer["result"] for answer in answers]}))


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
