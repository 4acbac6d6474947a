"""The second stage: the model answers every input that passed the filters, by ordinary few-shot prompting.

Method `sample` draws several answers, as the paper does; `mbr` draws several, and the one most like the others wins;
`greedy` takes the likeliest one; `score` computes the exact share of each label in one pass; `asked` takes the object
that an input was written from. Which answer wins is decided by the store's views.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.settings import Settings
from selfguide_lite.fields import says_all
from selfguide_lite.llm.base import Completion, Engine, Request, ScoreRequest, Scores
from selfguide_lite.llm.shares import shares
from selfguide_lite.methods.asking import prepare
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Method, NewOutput, PoolInput
from selfguide_lite.synthesis.consensus import consensus_weights
from selfguide_lite.synthesis.objects import writes_output_first
from selfguide_lite.synthesis.runs import recorded_run
from selfguide_lite.task import Task


def annotate(context: RunContext, engine: Engine) -> None:
    """Answer every input of the pool that has no answers yet; an input's answers are committed together.

    The seed and an input's text fix its samples, whatever else is asked and in whatever order.

    :raises SelfguideError: where the engine fails, or a generation task is to be scored
    """
    store, task_id, settings, listener = context.store, context.task_id, context.settings, context.listener
    task = context.task
    method = settings.method or "sample"
    check_method(task, settings)
    waiting = store.unanswered(task_id, method, samples_of(settings))
    total = len(store.pool(task_id))
    if not waiting:
        listener.done("annotate", f"the answers to {total} inputs were in the store")
        return
    ready = total - len(waiting)
    listener.start("annotate", total, ready)
    template = context.prompts.answer_template()
    prepare(engine, task, context.prompts.annotate)
    with recorded_run(context, "annotate", engine, template) as run:
        if method == "score":
            answers = _scored(context, waiting, engine, run.id)
        elif method == "asked":
            answers = _asked(context, waiting, engine, run.id)
        else:
            answers = _sampled(context, waiting, engine, run.id)
        for tokens, outputs in answers:
            store.add_outputs(outputs)
            ready += 1
            listener.advance("annotate", ready, tokens, text=_best(outputs))
        listener.funnel(store.funnel(task_id))
    listener.done("annotate", f"{total} inputs answered, {store.pair_count(task_id)} pairs in the dataset")


def check_method(task: Task, settings: Settings) -> None:
    """Refuse a way of answering that is not for a task.

    :raises SelfguideError: saying which one is
    """
    if settings.method == "asked" and not writes_output_first(task, settings):
        raise SelfguideError(
            f"task {task.name}: method asked takes the object that an input was written from: it goes with --set "
            "direction=output-first"
        )
    if settings.method == "score" and not task.rules.labelled:
        raise SelfguideError(
            f"task {task.name}: only labels can be scored, and the kind {task.kind} has none; use --set method=sample"
        )


def samples_of(settings: Settings) -> int:
    """Return how many answers an input gets: one where the likeliest is taken."""
    return 1 if settings.method in ("greedy", "asked") else settings.samples


def answer_key(text: str) -> str:
    """Return the engine's key for the answers to an input: by its text, since ids depend on the order of arrival."""
    return "answer/" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def _free_key(shown: PoolInput, asked: Mapping[str, PoolInput]) -> str:
    """Return an input's key, not that of an equal text that is being answered (a user may keep duplicates)."""
    key = answer_key(shown.text)
    return f"{key}/{shown.id}" if key in asked else key


def _sampled(
    context: RunContext, waiting: Sequence[PoolInput], engine: Engine, run_id: int
) -> Iterator[tuple[int, list[NewOutput]]]:
    """Yield each input's answers with the number of generated tokens, once all its samples are there."""
    task, prompts, settings = context.task, context.prompts, context.settings
    method: Method = settings.method or "sample"
    asked: dict[str, PoolInput] = {}
    open_answers: dict[str, list[Completion]] = {}

    def requests() -> Iterator[Request]:
        for shown in waiting:
            key = _free_key(shown, asked)
            asked[key] = shown
            yield Request(
                key=key,
                messages=prompts.annotate(task, shown.text),
                n=samples_of(settings),
                temperature=0.0 if method in ("greedy", "asked") else settings.output_temperature,
                top_k=settings.output_top_k,
                max_tokens=settings.output_max_tokens,
                seed=context.seed,
                schema=task.answer_schema,
            )

    for completion in engine.complete(requests()):
        if completion.key not in asked:
            continue  # a further sample of a prompt that failed
        shown = asked[completion.key]
        if completion.finish_reason == "error":
            _check_too_long(engine, prompts, task, shown, completion.error)
            asked.pop(completion.key)
            open_answers.pop(completion.key, None)
            yield 0, [_unanswerable(shown, run_id, sample, method) for sample in range(samples_of(settings))]
            continue
        answers = open_answers.setdefault(completion.key, [])
        answers.append(completion)
        if len(answers) == samples_of(settings):
            del asked[completion.key], open_answers[completion.key]
            answers.sort(key=lambda answer: answer.sample)
            texts = [answer.text.strip() for answer in answers]
            weights = consensus_weights(texts) if method == "mbr" else [1.0] * len(texts)
            yield (
                sum(answer.completion_tokens for answer in answers),
                [
                    NewOutput(
                        input_id=shown.id,
                        run_id=run_id,
                        sample=answer.sample,
                        text=text,
                        method=method,
                        weight=weight,
                        logprob=answer.mean_logprob,
                        finish_reason=answer.finish_reason,
                        prompt_tokens=answer.prompt_tokens,
                        completion_tokens=answer.completion_tokens,
                        raw=answer.raw,
                    )
                    for answer, text, weight in zip(answers, texts, weights, strict=True)
                ],
            )


def _asked(
    context: RunContext, waiting: Sequence[PoolInput], engine: Engine, run_id: int
) -> Iterator[tuple[int, list[NewOutput]]]:
    """Yield for each input the object that it was written from.

    Where the input lacks a value of it, the answer is marked as absent, for the filter `ungrounded`. A person's own
    inputs are answered greedily.
    """
    schema = context.task.answer_schema
    assert schema is not None
    made = {one.id: one.label for one in context.store.agreeing_pool(context.task_id)}
    for shown in waiting:
        if (text := made.get(shown.id)) is not None:
            reason = "stop" if says_all(schema, text, shown.text) else "absent"
            yield 0, [NewOutput(shown.id, run_id, 0, text, method="asked", finish_reason=reason)]
    own = [shown for shown in waiting if made.get(shown.id) is None]
    if own:
        yield from _sampled(context, own, engine, run_id)


def _scored(
    context: RunContext, waiting: Sequence[PoolInput], engine: Engine, run_id: int
) -> Iterator[tuple[int, list[NewOutput]]]:
    """Yield for each input every label with its share."""
    task, prompts = context.task, context.prompts
    asked: dict[str, PoolInput] = {}

    def requests() -> Iterator[ScoreRequest]:
        for shown in waiting:
            key = _free_key(shown, asked)
            asked[key] = shown
            yield ScoreRequest(key, prompts.annotate(task, shown.text), task.labels)

    for scores in engine.score(requests()):
        shown = asked.pop(scores.key)
        if scores.error is not None:
            _check_too_long(engine, prompts, task, shown, scores.error)
            yield 0, [_unanswerable(shown, run_id, 0, "score")]
            continue
        yield len(task.labels), _label_rows(task, shown, scores, run_id)


def _label_rows(task: Task, shown: PoolInput, scores: Scores, run_id: int) -> list[NewOutput]:
    return [
        NewOutput(
            input_id=shown.id,
            run_id=run_id,
            sample=number,
            text=label,
            method="score",
            weight=share,
            logprob=logprob,
            prompt_tokens=scores.prompt_tokens,
        )
        for number, (label, share, logprob) in enumerate(
            zip(task.labels, shares(scores.logprobs), scores.logprobs, strict=True)
        )
    ]


def _unanswerable(shown: PoolInput, run_id: int, sample: int, method: Method) -> NewOutput:
    """An empty answer for an input that does not fit the model's context: asked once, rejected by the filters."""
    return NewOutput(
        input_id=shown.id,
        run_id=run_id,
        sample=sample,
        text="",
        method=method,
        weight=1.0,
        finish_reason="error",
    )


def _check_too_long(engine: Engine, prompts: Prompts, task: Task, shown: PoolInput, error: str | None) -> None:
    """Pass where the prompt does not fit the context; any other failure of the engine ends the run.

    :raises SelfguideError: with the engine's own words
    """
    room = 0 if task.answer_schema is None else engine.smallest_object(task.answer_schema)
    if engine.count_tokens(prompts.annotate(task, shown.text)) + room < engine.n_ctx - 1:
        raise SelfguideError(f"answer to input {shown.id}: {error}")


def _best(outputs: Sequence[NewOutput]) -> str:
    return max(outputs, key=lambda output: output.weight).text
