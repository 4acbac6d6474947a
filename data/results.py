"""`python data/results.py`: run every demo task with default settings and write the table that stands in the README.

A second call goes on where the first stopped. Prints the table and last one line of JSON.
"""

import argparse
import json
import time
from pathlib import Path

from selfguide_lite import SelfguideError, load_task, run
from selfguide_lite.evaluate import Gain
from selfguide_lite.evaluate.comparison import compare
from selfguide_lite.evaluate.tables import comparisons_markdown
from selfguide_lite.files import atomic_write
from selfguide_lite.report.progress import RUN_STAGES, listener_for

_TASKS = Path(__file__).resolve().parent / "tasks"
_HEAD = "| task | kind | pairs | metric | before | after | gain, 95 % interval | seconds |\n" + "|---" * 8 + "|\n"


def row(name: str, kind: str, pairs: int, gain: Gain, seconds: float) -> str:
    """Return one line of the table, scores in percent."""
    points = f"{100 * gain.gain:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    scores = f"{gain.before:.1%} | {gain.after:.1%} | {points}"
    return f"| {name} | {kind} | {pairs} | {gain.metric} | {scores} | {seconds:.0f} |\n"


def main() -> None:
    """Run the tasks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/results"), help="folder of the databases and the table")
    parser.add_argument("--model", type=Path, help="GGUF file instead of the embedded model")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--compare", action="store_true", help="also all other methods and the ablations (long)")
    parser.add_argument("tasks", nargs="*", type=Path, help="task files; all demo tasks where none is given")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    table, answers = _HEAD, []
    for path in arguments.tasks or sorted(_TASKS.glob("*.yaml")):
        task = load_task(path)
        begun = time.monotonic()
        try:
            with listener_for(False, RUN_STAGES) as listener:
                result = run(
                    task,
                    arguments.out / f"{path.stem}.db",
                    model=arguments.model,
                    seed=arguments.seed,
                    listener=listener,
                )
        except SelfguideError as error:
            table += f"| {task.name} | {task.kind} | 0 | | | | {error} | {time.monotonic() - begun:.0f} |\n"
            continue
        if result.gain is not None:
            table += row(task.name, task.kind, result.pairs, result.gain, time.monotonic() - begun)
        answers.append(result.as_json())
    with atomic_write(arguments.out / "table.md") as temporary:
        temporary.write_text(f"Seed {arguments.seed}.\n\n{table}", encoding="utf-8")
    print(table)
    if arguments.compare:
        with listener_for(False) as listener:
            comparisons = [
                compare(
                    load_task(path),
                    arguments.out / f"{path.stem}.db",
                    model=arguments.model,
                    seed=arguments.seed,
                    listener=listener,
                )
                for path in arguments.tasks or sorted(_TASKS.glob("*.yaml"))
            ]
        methods = comparisons_markdown(comparisons)
        with atomic_write(arguments.out / "methods.md") as temporary:
            temporary.write_text(f"Seed {arguments.seed}.\n\n{methods}\n", encoding="utf-8")
        print(methods)
    print(json.dumps({"seed": arguments.seed, "tasks": answers}))


if __name__ == "__main__":
    main()
