"""Self-training: the finetuned model looks at the labels of all kept inputs once more.

It has learnt the task from pairs that the plain model agreed with, and is the better judge of the rest. Its shares
take the place of the plain model's in the view `vote`; calibration, agreement and balance work on them as before.
"""

from selfguide_lite.llm.base import Engine, ScoreRequest
from selfguide_lite.llm.shares import shares
from selfguide_lite.methods.asking import answer_prompt
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Relabel, ScoredInput
from selfguide_lite.store.runs import NewRun
from selfguide_lite.synthesis.annotate import check_too_long


def is_relabelled(context: RunContext, adapter_id: int) -> bool:
    """Whether the labels of all kept inputs have been scored with this adapter."""
    return context.store.relabelled_by(context.task_id) == adapter_id


def relabel(context: RunContext, engine: Engine, adapter_id: int) -> None:
    """Score the labels of every kept input with the finetuned model; all scores are committed together.

    An input that does not fit the context keeps the shares that it has.

    :param engine: with the adapter on
    :param adapter_id: of that adapter, in the store
    """
    store, task_id, listener = context.store, context.task_id, context.listener
    task, style = context.task, context.settings.answer_style
    if is_relabelled(context, adapter_id):
        listener.done("relabel", "the finetuned model's labels were in the store")
        return
    inputs = store.scored_inputs(task_id)
    listener.start("relabel", len(inputs))
    ask = answer_prompt(context.prompts, style)
    requests = (ScoreRequest(str(place), ask(task, one.text), task.labels) for place, one in enumerate(inputs))
    found: list[Relabel] = []
    for ready, scores in enumerate(engine.score(requests), 1):
        shown = inputs[int(scores.key)]
        if scores.error is not None:
            check_too_long(engine, ask(task, shown.text), shown.id, scores.error)
            found += _as_before(shown)
        else:
            logprobs = dict(zip(task.labels, scores.logprobs, strict=True))
            share = dict(zip(task.labels, shares(scores.logprobs), strict=True))
            found += [Relabel(output, share[label], logprobs[label]) for label, output in shown.outputs.items()]
        listener.advance("relabel", ready)
    template = context.prompts.template("annotate")
    model_id = store.add_model(engine.info)
    run = NewRun(task_id, "relabel", model_id, context.settings, context.seed, template, adapter_id=adapter_id)
    store.replace_relabels(run, found)
    listener.funnel(store.funnel(task_id))
    listener.done("relabel", f"{len(inputs)} inputs answered again, {len(store.pairs(task_id))} pairs in the dataset")


def _as_before(shown: ScoredInput) -> list[Relabel]:
    return [Relabel(output, shown.shares[label]) for label, output in shown.outputs.items()]
