"""The first stage: rounds of prompts in which the model writes new inputs for a task.

Each prompt shows the seed inputs and a few of the inputs made so far and asks for one more; what passes the filters
joins the pool that later rounds draw from. Knows nothing of what the filters are: the pool is a view of the store.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfguide_lite.errors import SelfguideError
from selfguide_lite.llm.base import Completion, Engine, Message, Request
from selfguide_lite.progress import Listener, Silent
from selfguide_lite.prompts import Prompts
from selfguide_lite.settings import Settings
from selfguide_lite.store import NewInput, PoolInput, Store
from selfguide_lite.synthesis.runs import recorded_run
from selfguide_lite.task import Task


@dataclass(frozen=True, slots=True)
class InputPrompt:
    """One prompt for one new input, with all that is needed to render it again.

    :param good: positions of the seed examples in the order in which they are shown
    :param flawed: the pool inputs that are shown
    """

    round: int
    prompt: int
    label: str | None
    good: tuple[int, ...]
    flawed: tuple[PoolInput, ...]
    messages: tuple[Message, ...]


def generate(
    store: Store,
    task_id: int,
    engine: Engine,
    prompts: Prompts,
    settings: Settings,
    seed: int,
    listener: Listener | None = None,
) -> None:
    """Write new inputs until every prompt of every round is answered, going on where the store stops.

    Each completion is committed as it comes. A prompt is fixed by the seed, the task, its round, its number and the
    pool as it was when its round began, so a run that was stopped asks what a run left alone would have asked.

    :param settings: those of the task with what was given for this call
    :param seed: fixes prompts and samples
    :raises SelfguideError: where the instruction and examples alone are over the prompt budget, or the engine fails
    """
    listener = listener or Silent()
    task = store.task(task_id)
    settings = settings.resolve(task.kind)
    left = inputs_left(store, task_id, settings)
    total = settings.rounds * settings.prompts_per_round
    ready = total - sum(map(len, left.values()))
    if not left:
        listener.done("generate", f"{total} inputs were in the store")
        return
    listener.start("generate", total, ready)
    budget = prompt_budget(engine, settings)
    said = 0.0
    template = prompts.input_template(task)
    with recorded_run(store, task_id, "generate", engine, settings, seed, template, listener) as run:
        everything = store.pool(task_id)
        since = min(left) if (first := store.first_round_like(run.id)) is None else first
        for round_, todo in left.items():
            pool = [shown for shown in everything if shown.round is None or shown.round < round_]
            barren = fruitless_rounds(pool, round_, since)
            if barren >= settings.fruitless_rounds:
                run.reason = "fruitless"
                listener.note(fruitless_advice(barren, len(pool)))
                break
            drawn = {
                input_key(round_, number): draw_prompt(
                    task, prompts, settings, seed, round_, number, pool, engine.count_tokens, budget
                )
                for number in todo
            }
            requests = (_request(key, prompt, settings, seed) for key, prompt in drawn.items())
            for completion in engine.complete(requests):
                prompt = drawn[completion.key]
                if completion.finish_reason == "error":
                    raise SelfguideError(f"input of round {round_}, prompt {prompt.prompt}: {completion.error}")
                store.add_input(_new_input(task_id, run.id, prompt, completion))
                ready += 1
                listener.advance("generate", ready, completion.completion_tokens)
            before, everything = len(everything), store.pool(task_id)
            newest = everything[-1].text if len(everything) > before else None
            listener.advance("generate", ready, 0, len(everything), newest)
            if time.monotonic() - said > 1:  # counting all rows takes a while in a large store
                listener.funnel(store.funnel(task_id))
                said = time.monotonic()
    listener.funnel(store.funnel(task_id))
    listener.done("generate", f"{len(store.pool(task_id))} of {ready} inputs passed the filters")


def inputs_left(store: Store, task_id: int, settings: Settings) -> dict[int, list[int]]:
    """Return the numbers of the prompts still to be answered, by round, without the rounds that are complete."""
    done = store.requests_done(task_id)
    left = {
        round_: [number for number in range(settings.prompts_per_round) if (round_, number) not in done]
        for round_ in range(settings.rounds)
    }
    return {round_: numbers for round_, numbers in left.items() if numbers}


def prompt_budget(engine: Engine, settings: Settings) -> int:
    """Return how many tokens a prompt may have: the setting, or what the model's context leaves beside an answer.

    A quarter of a small context is kept for the answer; one that needs more is cut there, and the filters see it.
    """
    return min(settings.prompt_budget, engine.n_ctx - min(settings.input_max_tokens, engine.n_ctx // 4))


def input_key(round_: int, number: int) -> str:
    """Return the engine's key for a prompt, which with the seed fixes what is sampled."""
    return f"input/{round_}/{number}"


def draw_prompt(
    task: Task,
    prompts: Prompts,
    settings: Settings,
    seed: int,
    round_: int,
    number: int,
    pool: Sequence[PoolInput],
    count_tokens: Callable[[Sequence[Message]], int],
    budget: int,
) -> InputPrompt:
    """Draw one prompt; it depends on the arguments alone.

    :param pool: the inputs that had passed the filters when the round began, in order
    :param count_tokens: length of a prompt in tokens
    :param budget: the most tokens a prompt may have; over it, fewer pool inputs are drawn
    :raises SelfguideError: where the prompt without any pool input is over budget, saying by how much
    """
    chance = random.Random(f"{seed}/{task.name}/{round_}/{number}")
    good = list(range(len(task.examples)))
    chance.shuffle(good)
    conditioned = task.kind == "classification" and settings.label_condition
    label = chance.choice(task.labels) if conditioned else None
    most = min(settings.max_pool_inputs, len(pool))
    count = chance.randint(1, most) if most else 0
    while True:
        flawed = tuple(chance.sample(pool, count))
        messages = prompts.new_input(
            task, [task.examples[at].input for at in good], [shown.text for shown in flawed], label
        )
        length = count_tokens(messages)
        if length <= budget:
            return InputPrompt(round_, number, label, tuple(good), flawed, messages)
        if not count:
            raise SelfguideError(
                f"task {task.name}: the instruction and the examples alone make a prompt of {length} tokens, "
                f"{length - budget} over the budget of {budget}: shorten them, raise --set prompt_budget, "
                "or take a model with a longer context"
            )
        count -= 1


def fruitless_rounds(pool: Sequence[PoolInput], round_: int, since: int = 0) -> int:
    """Return how many rounds just before this one have added nothing to the pool.

    :param since: the first round that counts: those before it were asked of another model, or with other settings
    """
    fruitful = max((shown.round for shown in pool if shown.round is not None), default=-1)
    return max(0, round_ - 1 - max(fruitful, since - 1))


def fruitless_advice(rounds: int, kept: int) -> str:
    """Say why writing stopped early and what may help."""
    return (
        f"the last {rounds} rounds added nothing, so no more inputs are asked for ({kept} are kept); "
        "`selfguide show` tells why texts were dropped. More varied examples, a higher --set input_temperature, "
        "fewer noise terms or a larger model may help; --set fruitless_rounds tries for longer"
    )


def _request(key: str, prompt: InputPrompt, settings: Settings, seed: int) -> Request:
    return Request(
        key=key,
        messages=prompt.messages,
        temperature=settings.input_temperature,
        top_k=settings.input_top_k,
        max_tokens=settings.input_max_tokens,
        seed=seed,
    )


def _new_input(task_id: int, run_id: int, prompt: InputPrompt, completion: Completion) -> NewInput:
    return NewInput(
        task_id=task_id,
        run_id=run_id,
        round=prompt.round,
        prompt=prompt.prompt,
        label=prompt.label,
        text=completion.text.strip(),
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        mean_logprob=completion.mean_logprob,
        good=prompt.good,
        flawed=tuple(shown.id for shown in prompt.flawed),
    )
