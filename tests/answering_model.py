"""A database whose task the tiny model answers by scores that are calibrated by a prior: no training is needed."""

from collections.abc import Sequence
from pathlib import Path

from selfguide_lite import Task, load_task
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.resources import resource
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import NewEvaluation, NewInput, PriorKey, Store
from selfguide_lite.task.eval_rows import load_eval

TINY = resource("data/tiny_vicuna/tiny-vicuna.gguf")
CALIBRATED = "few-shot calibrated"
_TASKS = resource("tests/tiny_tasks/cheer-or-grumble.yaml").parent


def answering(path: Path, name: str = "cheer-or-grumble") -> Path:
    """Make a database; for classification `few-shot calibrated` has a prior that leans to the first label."""
    task = load_task(_TASKS / f"{name}.yaml").model_copy(update={"eval": None})
    with Store.open(path) as store:
        task_id = store.add_task(task)
        if task.labels:
            info = ModelInfo("tiny", str(TINY), file_sha256(TINY), "llama", 4_000_000)
            model_id, template = store.add_model(info), Prompts().template("annotate")
            shares = {label: 0.8 if not n else 0.2 / (len(task.labels) - 1) for n, label in enumerate(task.labels)}
            prior = store.add_prior(PriorKey(task_id, model_id, None, "few-shot", template.sha256, "0"), 40, shares)
            made = store.add_evaluation(
                task_id,
                NewEvaluation(
                    method=CALIBRATED, metric="exact match", model_id=model_id, template=template, prior_id=prior.id
                ),
            )
            store.finish_evaluation(made, 0.5, 0.4, 0.6)
    return path


def with_pool(store: Store, task: Task, texts: Sequence[str]) -> int:
    """Put a task with kept inputs into a store, and return its id; no filter may reject one."""
    task_id = store.add_task(task)
    run = store.start_run(task_id, "generate", None, task.settings, 42, None)
    for number, text in enumerate(texts):
        store.add_input(NewInput(task_id, run, 0, number, text))
    assert len(store.pool(task_id)) == len(texts)
    return task_id


def inputs(count: int, name: str = "cheer-or-grumble") -> list[str]:
    """Return so many different inputs of a task's evaluation set."""
    rows = list(dict.fromkeys(row.input for row in load_eval(_TASKS / f"{name}.eval.jsonl")))
    assert len(rows) >= count
    return rows[:count]
