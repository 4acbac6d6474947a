"""The first stage: rounds of prompts in which the model writes new inputs for a task.

Each prompt shows the seed inputs and a few of the inputs made so far and asks for one more; what passes the filters
joins the pool that later rounds draw from. Prompts that share a draw differ in their last turn alone, so that the
engine reads what they show once. Knows nothing of what the filters are: the pool is a view of the store.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.core.settings import Settings
from selfguide_lite.diagnosis import no_new_inputs
from selfguide_lite.llm.base import Completion, Engine, Request
from selfguide_lite.prompt_styles import ShownInput, input_style
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import LabelledInput, NewInput, PoolInput, Store
from selfguide_lite.synthesis.goal import Progress
from selfguide_lite.synthesis.objects import TEXTS, best_texts, draw_objects, writes_output_first
from selfguide_lite.synthesis.runs import recorded_run
from selfguide_lite.task import Task

_SHORT_TOKEN = 2.5  # characters of a token in text whose tokens are short
_FEWEST_TOKENS = 32
_EVERY_ROUND = 100  # a pool is read again when it has grown by about a share of 1 / this
_MIXED = 1000  # so many inputs are put in turn by label
_FUNNEL_PAUSE = 20  # times as long as counting the funnel takes, until it is counted again


@dataclass(frozen=True, slots=True)
class InputPrompt:
    """One prompt for one new input, with all that is needed to render it again.

    :param seed_inputs: positions of the seed examples in the order in which they are shown
    :param pool_inputs: the pool inputs that are shown
    """

    round: int
    prompt: int
    label: str | None
    seed_inputs: tuple[int, ...]
    pool_inputs: tuple[LabelledInput, ...]
    messages: tuple[Message, ...]


def generate(context: RunContext, engine: Engine, after_round: Callable[[], None] | None = None) -> None:
    """Write new inputs until every prompt of every round is answered, going on where the store stops.

    Each completion is committed as it comes. A prompt is fixed by the seed, the task, its round, its number and the
    pool as it was when its round began, or one before it (see `pool_round`), so a run that was stopped asks what a run
    left alone would have asked.

    :param after_round: called before every round but the first: answers what the pool holds, so that later prompts
        show only inputs whose answer is the label they were asked for
    :raises SelfguideError: where the instruction and examples alone are over the prompt budget, the engine fails, or
        pairs are the goal and nothing is answered
    """
    store, task_id, settings, listener = context.store, context.task_id, context.settings, context.listener
    task = context.task
    if settings.pairs is not None and after_round is None:
        raise SelfguideError(
            f"task {task.name}: the setting pairs counts answered inputs, which are there in `selfguide run`; "
            "here give --set pairs=null and a number of rounds"
        )
    left = inputs_left(store, task_id, settings)
    total = settings.rounds * settings.prompts_per_round
    ready = total - sum(map(len, left.values()))
    if not left:
        listener.done("generate", f"{total} inputs were in the store")
        return
    progress = Progress(context, total, ready)
    progress.start()
    budget = prompt_budget(engine.n_ctx, settings)
    output_first = writes_output_first(task, settings)
    draws = PromptSampler(task, context.prompts, settings, context.seed, engine.count_tokens, budget)
    again = 0.0
    template = context.prompts.input_template(task, settings.input_style)
    longest = Longest.of(store, task_id, settings)
    with recorded_run(context, "generate", engine, template) as run:
        everything = store.agreeing_pool(task_id)
        since = min(left) if (first := store.first_round_like(run.id)) is None else first
        for drawn_from, rounds in groupby(left, key=pool_round):
            earlier = [one for one in everything if one.round is None or one.round < drawn_from]
            idle = rounds_without_input(earlier, drawn_from, since)
            if idle >= settings.patience_rounds:
                run.reason = "fruitless"
                listener.note(no_new_inputs(idle, len(everything), store.funnel(task_id)))
                break
            # Inputs of a person's own are there before the first round, and are shown with their answers.
            if after_round is not None and (drawn_from or any(one.round is None for one in everything)):
                after_round()
                everything = store.agreeing_pool(task_id)
            numbers = list(rounds)
            if progress.enough(left[numbers[0]]):
                run.reason = "enough pairs"
                break
            agreeing = settings.annotate_each_round
            pool = [
                shown
                for shown in everything
                if (shown.round is None or shown.round < drawn_from) and not (agreeing and shown.agrees is False)
            ]
            for round_ in numbers:
                asked: dict[int, str] = {}
                if output_first:
                    last = {number: draws.seed_order(round_, number)[-1] for number in left[round_]}
                    asked = draw_objects(context, engine, round_, last, pool)
                drawn = {
                    input_key(round_, number): draws.prompt(round_, number, pool, asked.get(number))
                    for number in left[round_]
                }
                requests = (_request(key, prompt, context, longest, output_first) for key, prompt in drawn.items())
                completions = engine.complete(requests)
                if output_first and task.answer_schema is not None:
                    made = {input_key(round_, number): text for number, text in asked.items()}
                    completions = best_texts(completions, made, task.answer_schema)
                for completion in completions:
                    prompt = drawn[completion.key]
                    if completion.finish_reason == "error":
                        raise SelfguideError(f"input of round {round_}, prompt {prompt.prompt}: {completion.error}")
                    store.add_input(_new_input(task_id, run.id, prompt, completion))
                    progress.written(completion.completion_tokens)
            before, everything = len(everything), store.agreeing_pool(task_id)
            newest = everything[-1].text if len(everything) > before else None
            progress.kept(len(everything), newest)
            began = time.monotonic()
            if began > again:  # counting all rows takes a while in a large store
                listener.funnel(store.funnel(task_id))
                now = time.monotonic()
                again = now + max(1.0, _FUNNEL_PAUSE * (now - began))
    listener.funnel(store.funnel(task_id))
    kept = sum(one.round is not None for one in store.pool(task_id))
    listener.done("generate", f"{kept} of {progress.ready} inputs passed the filters")


def pool_round(round_: int) -> int:
    """Return the round whose beginning fixes the pool that a round draws from.

    Up to round 200 that is the round itself, then one in 2, from round 400 on one in 4, and so on. Reading a pool takes
    as long as it is large: read whenever it has grown by a hundredth, it costs every input the same.
    """
    step = 1 << max(0, (round_ // _EVERY_ROUND).bit_length() - 1)
    return round_ - round_ % step


def inputs_left(store: Store, task_id: int, settings: Settings) -> dict[int, list[int]]:
    """Return the numbers of the prompts still to be answered, by round, without the rounds that are complete."""
    done = store.requests_done(task_id)
    left = {
        round_: [number for number in range(settings.prompts_per_round) if (round_, number) not in done]
        for round_ in range(settings.rounds)
    }
    return {round_: numbers for round_, numbers in left.items() if numbers}


def prompt_budget(n_ctx: int, settings: Settings) -> int:
    """Return how many tokens a prompt may have: the setting, or what the model's context leaves beside an answer.

    A quarter of a small context is kept for the answer; one that needs more is cut there, and the filters see it.
    """
    return min(settings.prompt_budget, n_ctx - min(settings.input_max_tokens, n_ctx // 4))


def input_key(round_: int, number: int) -> str:
    """Return the engine's key for a prompt, which with the seed fixes what is sampled."""
    return f"input/{round_}/{number}"


@dataclass(frozen=True, slots=True)
class PromptSampler:
    """Draws the prompts for new inputs; each depends on these fields and the arguments alone.

    :param count_tokens: length of a prompt in tokens
    :param budget: the most tokens a prompt may have; over it, fewer pool inputs are drawn
    """

    task: Task
    prompts: Prompts
    settings: Settings
    seed: int
    count_tokens: Callable[[Sequence[Message]], int]
    budget: int

    def prompt(self, round_: int, number: int, pool: Sequence[LabelledInput], asked: str | None = None) -> InputPrompt:
        """Draw one prompt.

        :param pool: the inputs that had passed the filters when the round began, in order
        :param asked: the object that the input is to contain, where objects are made up first; it is shown the seed
            inputs alone, since others may lack values of their objects
        :raises SelfguideError: where the prompt without any pool input is over budget, saying by how much
        """
        task, settings = self.task, self.settings
        first, rng = self._draw(round_, number)
        seed_inputs = self._shuffled(rng)
        if asked is not None:
            pool = ()
        label = asked or self._label(round_, number, rng if number == first else None)
        style = input_style(settings.input_style)
        most = min(settings.max_pool_inputs, len(pool))
        count = rng.randint(1, most) if most and style.shows_few else most
        seeds = [_seed_input(task, at, asked is not None) for at in seed_inputs]
        while True:
            pool_inputs = tuple(rng.sample(pool, count) if style.shows_few else _labels_in_turn(rng, pool, count))
            shown = [_pool_input(task, one, asked is not None) for one in pool_inputs]
            messages = self.prompts.new_input(task, seeds, shown, label, settings.input_style)
            length = self.count_tokens(messages)
            if length <= self.budget:
                return InputPrompt(round_, number, label, tuple(seed_inputs), pool_inputs, messages)
            if not count:
                raise SelfguideError(
                    f"task {task.name}: the instruction and the examples alone make a prompt of {length} tokens, "
                    f"{length - self.budget} over the budget of {self.budget}: shorten them, raise --set "
                    "prompt_budget, or take a model with a longer context"
                )
            count -= 1

    def seed_order(self, round_: int, number: int) -> list[int]:
        """Return the positions of the seed examples in the order in which a prompt shows them."""
        return self._shuffled(self._draw(round_, number)[1])

    def _draw(self, round_: int, number: int) -> tuple[int, random.Random]:
        """Return the first prompt of a prompt's draw, and the random stream of the draw."""
        first = number - number % self.settings.prompts_per_draw
        return first, random.Random(f"{self.seed}/{self.task.name}/{round_}/{first}")

    def _shuffled(self, rng: random.Random) -> list[int]:
        order = list(range(len(self.task.examples)))
        rng.shuffle(order)
        return order

    def _label(self, round_: int, number: int, rng: random.Random | None) -> str | None:
        """Return the label whose input a prompt asks for; None where it asks for any.

        :param rng: of the draw, for its first prompt; the others of the draw have a random stream of their own
        """
        task, settings = self.task, self.settings
        if not task.rules.labelled or not settings.label_condition:
            return None
        if settings.label_order == "in-turn":
            return task.labels[(round_ * settings.prompts_per_round + number) % len(task.labels)]
        return (rng or random.Random(f"{self.seed}/{task.name}/{round_}/{number}")).choice(task.labels)


def _seed_input(task: Task, at: int, with_object: bool) -> ShownInput:
    example = task.examples[at]
    if with_object:
        return ShownInput(example.input, example.output)
    label = task.rules.parse(example.output, task.labels) if task.rules.labelled else None
    return ShownInput(example.input, label, task.label_meanings.get(label or ""))


def _pool_input(task: Task, shown: LabelledInput, with_object: bool) -> ShownInput:
    if with_object:
        return ShownInput(shown.text, shown.label or shown.answer)
    label = (shown.answer or shown.label) if task.rules.labelled else None
    return ShownInput(shown.text, label, task.label_meanings.get(label or ""))


def _labels_in_turn(rng: random.Random, pool: Sequence[LabelledInput], count: int) -> list[LabelledInput]:
    """Draw inputs at random such that labels take turns as far as they go."""
    if len(pool) > _MIXED:
        pool = rng.sample(pool, _MIXED)
    groups: dict[str | None, list[LabelledInput]] = {}
    for shown in rng.sample(pool, len(pool)):
        groups.setdefault(shown.answer if shown.round is None else shown.label, []).append(shown)
    order = rng.sample(list(groups.values()), len(groups))
    drawn = [group[place] for place in range(len(pool)) for group in order if place < len(group)] if count else []
    return drawn[:count]


@dataclass(frozen=True, slots=True)
class Longest:
    """How long an input may get while it is written.

    :param chars: 0: no bound
    """

    tokens: int
    chars: int

    @classmethod
    def of(cls, store: Store, task_id: int, settings: Settings) -> "Longest":
        """Return the setting, or less where the length filter drops longer ones.

        A text ends with the first character too many, so that the filter drops it still. A server goes by tokens: one
        of common text has about four characters, and a text that is cut has more characters than the filter lets
        through as long as its tokens have two and a half.
        """
        for bound in store.length_bounds(task_id):
            if bound.part == "input" and bound.enabled and math.isfinite(bound.high):
                few = max(_FEWEST_TOKENS, math.ceil(bound.high / _SHORT_TOKEN))
                return cls(max(1, min(settings.input_max_tokens, few)), math.ceil(bound.high) + 1)
        return cls(settings.input_max_tokens, 0)


def rounds_without_input(pool: Sequence[PoolInput], round_: int, since: int = 0) -> int:
    """Return how many rounds just before this one have added nothing to the pool.

    :param since: the first round that counts: those before it were asked of another model, or with other settings
    """
    fruitful = max((shown.round for shown in pool if shown.round is not None), default=-1)
    return max(0, round_ - 1 - max(fruitful, since - 1))


def _request(key: str, prompt: InputPrompt, context: RunContext, longest: Longest, output_first: bool) -> Request:
    """Return the request for an input. A text for an object that is there already is to follow it, not to vary."""
    settings = context.settings
    return Request(
        key=key,
        messages=prompt.messages,
        n=TEXTS if output_first else 1,
        temperature=settings.output_temperature if output_first else settings.input_temperature,
        top_k=settings.output_top_k if output_first else settings.input_top_k,
        max_tokens=longest.tokens,
        max_chars=longest.chars,
        seed=context.seed,
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
        seed_inputs=prompt.seed_inputs,
        pool_inputs=tuple(shown.id for shown in prompt.pool_inputs),
        raw=completion.raw,
    )
