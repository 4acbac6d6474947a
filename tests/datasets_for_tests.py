"""A small finished dataset in a store, as the stages before training leave it."""

from pathlib import Path

from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.task import Task

THINGS = ("sky", "sea", "leaf", "rose", "sun", "crow", "snow", "coal")
COLOURS = ("blue", "green", "red", "gold")

TASK = Task.model_validate(
    {
        "name": "colours",
        "kind": "generation",
        "instruction": "Name a colour for the thing.",
        "examples": [
            {"input": "a sky with the number 17", "output": "blue"},
            {"input": "a leaf with the number 4", "output": "green"},
            {"input": "a rose with the number 1024", "output": "red"},
        ],
        "settings": {
            "output_length_filter": False,
            "input_length_filter": False,
            "near_duplicate_threshold": None,
            "min_steps": 1,
        },
    }
)


def filled(path: Path, n: int = 16, task: Task = TASK) -> Path:
    """Write a database with n pairs that passed the filters."""
    with Store.open(path) as store:
        task_id = store.add_task(task)
        run = store.start_run(task_id, "generate", None, Settings(), 0, None)
        for number in range(n):
            text = f"a {THINGS[number % len(THINGS)]} with the number {number * 7}"
            added = store.add_input(NewInput(task_id, run, 0, number, text))
            answer = COLOURS[number % len(COLOURS)] if task is TASK else task.labels[number % len(task.labels)]
            store.add_outputs([NewOutput(added, run, 0, answer)])
        assert len(store.pairs(task_id)) == n
    return path
