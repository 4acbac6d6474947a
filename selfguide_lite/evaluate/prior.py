"""What a model with a prompt answers on average, over inputs whose answers nobody knows: what calibration divides by.

Never over evaluation rows: they are balanced by hand, and a user's inputs are not.
"""

import hashlib
import json
from collections.abc import Sequence

from selfguide_lite.evaluate.answering import score_labels
from selfguide_lite.evaluate.asked import Asked
from selfguide_lite.llm.base import Engine
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import PoolInput, Prior, PriorKey, Store
from selfguide_lite.task import Task

MIN_INPUTS = 20  # the mean of fewer says more of these inputs than of the model
FEW_INPUTS = 40


def prior_of(context: RunContext, engine: Engine, inputs: Sequence[PoolInput], asked: Asked) -> Prior | None:
    """Return the mean share of each label, from the store where it is known; None where there are too few inputs.

    :param inputs: without evaluation rows, and without what the adapter was trained on
    """
    store, task_id, listener, prompts = context.store, context.task_id, context.listener, context.prompts
    method, prompt = asked.method, asked.prompt
    if len(inputs) < MIN_INPUTS:
        listener.note(
            f"{method} is left out: {len(inputs)} inputs without answers to calibrate by, {MIN_INPUTS} are needed"
        )
        return None
    if len(inputs) < FEW_INPUTS:
        listener.note(f"{method} is calibrated by only {len(inputs)} inputs")
    task = context.task
    model_id, template = store.add_model(engine.info), asked.template(prompts)
    key = PriorKey(task_id, model_id, asked.adapter_id, prompt, template.sha256, _inputs_hash(inputs))
    known = store.find_prior(key)
    if known is not None:
        return known
    scored: dict[int, tuple[float, ...]] = {}
    if prompt == "few-shot" and engine.info.adapter is None:
        scored = _annotated(store, task, task_id, model_id, template.sha256)
    missing = [shown for shown in inputs if shown.id not in scored]
    if missing:
        listener.start("evaluate", len(missing))
        found = score_labels(
            engine,
            task,
            asked.prompt_maker(prompts),
            [shown.text for shown in missing],
            lambda ready: listener.advance("evaluate", ready),
        )
        scored |= {missing[place].id: shares for place, shares in found.items()}
        listener.done("evaluate", f"{method}: its mean answer over {len(inputs)} inputs without answers")
    rows = [scored[shown.id] for shown in inputs if shown.id in scored]
    if len(rows) < MIN_INPUTS:
        listener.note(f"{method} is left out: too few of the inputs fit the model's context")
        return None
    means = {label: sum(row[place] for row in rows) / len(rows) for place, label in enumerate(task.labels)}
    return store.add_prior(key, len(rows), means)


def _annotated(
    store: Store, task: Task, task_id: int, model_id: int, template_sha256: str
) -> dict[int, tuple[float, ...]]:
    """Return the shares that annotation has computed already with this model and the few-shot prompt, by input."""
    found: dict[int, dict[str, float]] = {}
    for row in store.label_scores(task_id, model_id, template_sha256):
        if row.settings.get("answer_style", "few-shot") == "few-shot":
            found.setdefault(row.input_id, {})[row.label] = row.share
    return {
        input_id: tuple(given[label] for label in task.labels)
        for input_id, given in found.items()
        if all(label in given for label in task.labels)
    }


def _inputs_hash(inputs: Sequence[PoolInput]) -> str:
    texts = json.dumps([shown.text for shown in inputs], ensure_ascii=False)
    return hashlib.sha256(texts.encode(errors="surrogatepass")).hexdigest()
