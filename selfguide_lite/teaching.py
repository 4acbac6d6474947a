"""A model finetuned with the full prompt teaches one with a short prompt: its answers to the kept inputs are learnt.

On text that people wrote a finetuned model is mostly right more often than the prompting whose labels it learnt
(docs/results.md). Labels only; it knows nothing of how models are trained.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from selfguide_lite.core.files import read_object, write_object
from selfguide_lite.evaluate.answering import score_labels
from selfguide_lite.methods.asking import FULL, answer_prompt
from selfguide_lite.methods.calibration import calibrated, likeliest, wanted_shares
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Pair, PoolInput

Opened = Callable[[], Any]  # opens an engine, as a context manager
_KEPT = "taught.json"  # in the teacher's folder: its answers, which a run that goes on does not ask for again


def taught_pairs(context: RunContext, opened: Opened, folder: Path, pairs: Sequence[Pair]) -> list[Pair]:
    """Return the kept inputs with the teacher's answers, calibrated over them; of each label the surest.

    Every label has as many as the rarest one, where the setting `balance` says so.

    :param opened: opens an engine with the teacher's adapter; not called where its answers are known
    :param folder: of the teacher; its answers are kept there
    :param pairs: of the dataset; those that a person answered stay as they are, the others' answers are not looked at
    """
    certain = {pair.input_id: pair for pair in pairs if pair.by_hand is not None}
    asked = [one for one in context.store.pool(context.task_id) if one.id not in certain]
    shares = _shares(context, opened, folder, asked)
    answered = [one for one in asked if one.id in shares]
    task, settings = context.task, context.store.settings(context.task_id)
    if settings.get("calibrate") and len(answered) >= int(settings["calibrate_min_inputs"]):
        prior = {label: sum(row[label] for row in shares.values()) / len(shares) for label in task.labels}
        shares = {key: calibrated(row, prior, wanted_shares(task)) for key, row in shares.items()}
    made = [Pair(one.id, one.text, likeliest(shares[one.id])) for one in answered]
    sure = {pair.input_id: shares[pair.input_id][pair.output] for pair in made}
    chosen = _balanced(made, certain.values(), sure, task.labels) if settings.get("balance") else made
    places = {one.id: place for place, one in enumerate(asked)}
    return [*sorted(chosen, key=lambda pair: places[pair.input_id]), *certain.values()]


def _balanced(
    made: Sequence[Pair], certain: Collection[Pair], sure: Mapping[int, float], labels: Sequence[str]
) -> list[Pair]:
    """Leave as many of every label as the rarest has, those that a person answered among them."""
    given = {label: sum(pair.output == label for pair in certain) for label in labels}
    by_label = {label: [pair for pair in made if pair.output == label] for label in labels}
    most = min(given[label] + len(by_label[label]) for label in labels)
    chosen: list[Pair] = []
    for label, found in by_label.items():
        found.sort(key=lambda pair: (-sure[pair.input_id], pair.input_id))
        chosen += found[: max(0, most - given[label])]
    return chosen


def _shares(
    context: RunContext, opened: Opened, folder: Path, inputs: Sequence[PoolInput]
) -> dict[int, dict[str, float]]:
    """Return the teacher's shares of the labels by input; an input that does not fit the context has none."""
    task, listener = context.task, context.listener
    texts = [one.text for one in inputs]
    examples = [(one.input, one.output) for one in task.examples]
    asked = [context.prompts.answer_template(FULL).sha256, task.question, task.labels, examples, texts]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    place = folder / _KEPT
    known = read_object(place)
    if known.get("asked_sha256") != key:
        listener.start("annotate", len(texts))
        ask = answer_prompt(context.prompts, FULL)
        with opened() as engine:
            found = score_labels(engine, task, ask, texts, lambda ready: listener.advance("annotate", ready))
        listener.done("annotate", f"the finetuned model answered {len(found)} inputs, which the next training learns")
        known = {"asked_sha256": key, "shares": {str(number): list(row) for number, row in found.items()}}
        write_object(place, known)
    return {
        one.id: dict(zip(task.labels, known["shares"][str(number)], strict=True))
        for number, one in enumerate(inputs)
        if str(number) in known["shares"]
    }
