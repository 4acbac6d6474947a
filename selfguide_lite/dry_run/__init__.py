"""What a run would ask and what it would cost, before it is begun. Writes nothing.

Rates are measured on this machine with this model and this task's own prompts, for a few seconds a stage.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from selfguide_lite.core.messages import Message
from selfguide_lite.core.settings import Settings
from selfguide_lite.gguf.trainable import why_not_trainable
from selfguide_lite.llm.base import Engine, Request, ScoreRequest
from selfguide_lite.methods.asking import is_taught
from selfguide_lite.own_data import OwnData
from selfguide_lite.prompt_styles.answers import hidden_examples
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import LabelledInput
from selfguide_lite.synthesis.annotate import samples_of
from selfguide_lite.synthesis.generate import PromptSampler, prompt_budget
from selfguide_lite.task import Task

_MEASURE_SECONDS = 2.0
_ROW_BYTES = 450  # of a text's row in the database beside the text itself, indexes included
_TRAIN_COST = 3.0  # a training step over a token costs about as much as computing it three times as a prompt


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of the run.

    :param prompts: what is asked, as examples: a title, the messages and their number of tokens
    :param requests: how many such prompts will be sent
    :param samples: answers to each
    :param seconds: estimate for this machine; None where there is no ground for one
    :param bytes: of disk, estimated
    """

    stage: str
    prompts: tuple[tuple[str, tuple[Message, ...], int], ...]
    requests: int
    samples: int
    seconds: float | None
    bytes: int


@dataclass(frozen=True, slots=True)
class DryRun:
    """The plan of a whole run.

    :param untrainable: why the model cannot be finetuned here; None where it can, or a server writes the data
    :param notes: how the estimates came about
    """

    task: str
    model: str
    n_ctx: int
    stages: tuple[StagePlan, ...]
    untrainable: str | None
    notes: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Of all stages for which there is an estimate."""
        return sum(stage.seconds or 0.0 for stage in self.stages)

    @property
    def bytes(self) -> int:
        """Of disk, over all stages."""
        return sum(stage.bytes for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        """Return the plan for a program to read."""
        return {**asdict(self), "seconds": self.seconds, "bytes": self.bytes}


def dry_run(
    task: Task, settings: Settings, engine: Engine, prompts: Prompts, *, seed: int = 42, eval_rows: int = 0
) -> DryRun:
    """Work out what a run would ask, and measure for a few seconds what that would take.

    :param settings: of the run; those left open get the defaults of the task's kind
    :param eval_rows: number of examples that would be evaluated, by every method
    :raises SelfguideError: where the instruction and examples do not fit the prompt budget, or a file of the user's own
        inputs or rows cannot be read
    """
    settings = task.rules.resolve(settings)
    own = [one for _, part in OwnData.of(task).parts for one in part]
    added = sum(one.answer is None for one in own)
    given = len(own) - added
    budget = prompt_budget(engine.n_ctx, settings)
    seeds = [LabelledInput(-1 - i, example.input) for i, example in enumerate(task.examples)]
    # Later prompts show inputs that are yet to be made; the seed inputs stand in for them.
    stand_ins = [LabelledInput(-1 - i, seeds[i % len(seeds)].text) for i in range(settings.max_pool_inputs)]
    sampler = PromptSampler(task, prompts, settings, seed, engine.count_tokens, budget)
    first = sampler.prompt(0, 0, [])
    later = max(
        (sampler.prompt(1, number, stand_ins) for number in range(settings.prompts_per_round)),
        key=lambda prompt: len(prompt.pool_inputs),
    )
    total = settings.rounds * settings.prompts_per_round
    answered = total + added
    hidden = hidden_examples(task, settings.answer_style)
    trained = answered + given * settings.given_weight + len(hidden) * settings.example_weight
    trainings = 2 if is_taught(task, settings.answer_style, teacher=settings.teacher) else 1
    per_input, texts = _measure_inputs(sampler, engine, stand_ins)
    per_answer = _measure_answers(task, settings, engine, prompts, seed, texts)
    greedy = settings.model_copy(update={"method": "sample", "samples": 1, "output_temperature": 0.0})
    per_greedy = _measure_answers(task, greedy, engine, prompts, seed, texts) if eval_rows else 0.0
    # As evaluate/battery.py asks: free text few-shot and finetuned, and where there are labels, scores of these two and
    # zero-shot; in generation free text of all three. What calibration asks besides is little.
    # Objects are asked for zero-shot, few-shot freely and under the schema, and finetuned.
    free, scored = (2, 3) if task.rules.labelled else (4, 0) if task.rules.structured else (3, 0)
    per_row = free * per_greedy + scored * (per_answer if settings.method == "score" else per_greedy)
    asked = (free + scored) * eval_rows
    samples = len(task.labels) if settings.method == "score" else samples_of(settings)
    answer = prompts.annotate(task, task.examples[0].input)
    answer_tokens = engine.count_tokens(answer)
    pair_tokens = answer_tokens + fmean(engine.count_tokens(example.output) for example in task.examples)
    prompt_rate = _measure_prefill(engine, answer)
    length = fmean(len(example.input.encode()) for example in task.examples)
    output_length = fmean(len(example.output.encode()) for example in task.examples)
    shown = (
        "with later prompts (up to "
        f"{settings.max_pool_inputs} inputs made before; here the seed inputs stand in for them)"
    )
    stages = (
        StagePlan(
            "generate",
            (
                ("in the first round", first.messages, engine.count_tokens(first.messages)),
                (shown, later.messages, engine.count_tokens(later.messages)),
            )
            if total
            else (),
            total,
            1,
            per_input * total,
            round(total * (_ROW_BYTES + 2 * length)),
        ),
        StagePlan(
            "annotate",
            (("for each input that was kept", answer, answer_tokens),),
            answered,
            samples,
            per_answer * answered,
            round(answered * samples * (_ROW_BYTES / 2 + output_length)),
        ),
        StagePlan(
            "train",
            (),
            trained,
            1,
            _TRAIN_COST * trainings * trained * settings.epochs * pair_tokens / prompt_rate,
            round(2.5 * engine.info.parameters),
        ),
        StagePlan("evaluate", (), asked, 1, eval_rows * per_row, _ROW_BYTES * asked),
    )
    return DryRun(
        task=task.name,
        model=engine.info.name,
        n_ctx=engine.n_ctx,
        stages=stages if eval_rows else stages[:-1],
        untrainable=why_not_trainable(Path(engine.info.path)) if engine.info.path else None,
        notes=(
            f"measured for a few seconds here: {per_input:.3g} s an input, {per_answer:.3g} s an input's answers",
            "counted as if the filters kept every input: fewer kept ones cost less",
            *(
                [f"of your own: {added:,} inputs are answered, {given:,} rows are trained on as they are"]
                if own
                else []
            ),
            *(["a model with the full prompt is trained first"] if trainings > 1 else []),
            "the time of the training is a rough guess, mostly too long, from the rate at which prompts are read",
        ),
    )


def _measure_inputs(sampler: PromptSampler, engine: Engine, pool: list[LabelledInput]) -> tuple[float, list[str]]:
    """Return seconds an input, and the inputs that were written for it."""
    settings = sampler.settings
    began = time.perf_counter()

    def requests() -> Iterator[Request]:
        for number in range(settings.rounds * settings.prompts_per_round):
            if number and time.perf_counter() - began > _MEASURE_SECONDS:
                return
            prompt = sampler.prompt(1, number, pool)
            yield Request(
                key=f"dry/{number}",
                messages=prompt.messages,
                temperature=settings.input_temperature,
                top_k=settings.input_top_k,
                max_tokens=settings.input_max_tokens,
                seed=sampler.seed,
            )

    texts = [done.text.strip() for done in engine.complete(requests())]
    return (time.perf_counter() - began) / max(1, len(texts)), [text for text in texts if text]


def _measure_answers(
    task: Task, settings: Settings, engine: Engine, prompts: Prompts, seed: int, texts: list[str]
) -> float:
    """Return seconds for all answers to one input.

    :param texts: inputs to answer; where there are none, those of the examples
    """
    inputs = texts or [example.input for example in task.examples]
    began = time.perf_counter()
    asked = 0

    def waiting() -> Iterator[tuple[str, tuple[Message, ...]]]:
        nonlocal asked
        for text in inputs:
            if asked and time.perf_counter() - began > _MEASURE_SECONDS:
                return
            asked += 1
            yield f"dry/{asked}", prompts.annotate(task, text)

    if settings.method == "score":
        for _ in engine.score(ScoreRequest(key, messages, task.labels) for key, messages in waiting()):
            pass
    else:
        sampled = (
            Request(
                key=key,
                messages=messages,
                n=samples_of(settings),
                temperature=0.0 if settings.method in ("greedy", "asked") else settings.output_temperature,
                schema=task.answer_schema,
                top_k=settings.output_top_k,
                max_tokens=settings.output_max_tokens,
                seed=seed,
            )
            for key, messages in waiting()
        )
        for _ in engine.complete(sampled):
            pass
    return (time.perf_counter() - began) / max(1, asked)


def _measure_prefill(engine: Engine, messages: tuple[Message, ...]) -> float:
    """Return prompt tokens a second, on prompts of which nothing is in the cache: the best of three."""
    rates = []
    for _ in range(3):
        fresh = (Message("user", f"{time.time_ns()} {messages[0].content}"), *messages[1:])
        began = time.perf_counter()
        for _ in engine.complete([Request(key="dry/prefill", messages=fresh, max_tokens=1)]):
            pass
        rates.append(engine.count_tokens(fresh) / max(1e-6, time.perf_counter() - began))
        if rates[-1] < 200:  # a large model: what it takes matters more than a busy machine
            break
    return max(rates)
