"""Output first (arXiv 2303.04132): an object is made up, then two texts are asked for that contain it.

What an object is drawn from depends on the seed, the task, the round and what was there when the round began, so a run
that was stopped draws the same ones again. The model makes up texts, numbers and dates. The rest is as in the example
that is shown last where the text is asked for: which values are missing, and what is chosen from a list. For a small
model writes much as in that example, and chooses the same from a list again and again.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.core.settings import Settings
from selfguide_lite.fields import Field, Schema, found_object, is_in, judged, judged_values, object_text, values_of
from selfguide_lite.llm.base import Completion, Engine, Request
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import LabelledInput
from selfguide_lite.task import Task

TEXTS = 2  # written for an object; the one that says most of it stays


def writes_output_first(task: Task, settings: Settings) -> bool:
    """Tell whether objects are made up before the texts that contain them.

    :raises SelfguideError: where that is asked for and the task's answers are no objects
    """
    if settings.direction != "output-first":
        return False
    if task.answer_schema is None:
        raise SelfguideError(
            f"task {task.name}: direction output-first needs a schema, and a {task.kind} task has none; leave it out"
        )
    return True


def draw_objects(
    context: RunContext, engine: Engine, round_: int, numbers: Mapping[int, int], pool: Sequence[LabelledInput]
) -> dict[int, str]:
    """Return an object for each prompt of a round, by the prompt's number, in the form of the examples.

    :param numbers: of the prompts that are still to be answered, each with the example that its object takes after
    :param pool: the inputs that had passed the filters when the round began; some of their objects are shown
    :raises SelfguideError: where the engine fails
    """
    task, settings = context.task, context.settings
    made = [one.label for one in pool if one.label is not None]
    budget = _budget(context, engine)

    def requests() -> Iterator[Request]:
        for number in numbers:
            first = number - number % settings.prompts_per_draw
            rng = random.Random(f"{context.seed}/{task.name}/{round_}/{first}/object")
            shown = [example.output for example in task.examples]
            rng.shuffle(shown)
            earlier = rng.sample(made, min(settings.max_pool_inputs, len(made)))
            yield Request(
                key=f"object/{round_}/{number}",
                messages=_within(context, engine, budget, earlier, shown),
                temperature=settings.input_temperature,
                top_k=settings.input_top_k,
                max_tokens=settings.output_max_tokens,
                seed=context.seed,
                schema=task.answer_schema,
            )

    found: dict[int, str] = {}
    for completion in engine.complete(requests()):
        number = int(completion.key.rpartition("/")[2])
        text = task.rules.parse(completion.text, task.labels)
        if completion.finish_reason == "error" or text is None:
            raise SelfguideError(
                f"object of round {round_}, prompt {number}: {completion.error or 'it does not fit the schema'}"
            )
        assert task.answer_schema is not None
        found[number] = _after_example(task.answer_schema, text, task.examples[numbers[number]].output)
    return found


def best_texts(completions: Iterable[Completion], made: Mapping[str, str], schema: Schema) -> Iterator[Completion]:
    """Yield for each object the text that says most of its values, as soon as all its texts are there.

    :param made: the objects by the keys of the requests
    """
    waiting: dict[str, list[Completion]] = {}
    for completion in completions:
        texts = waiting.setdefault(completion.key, [])
        texts.append(completion)
        if completion.finish_reason == "error":
            yield completion
        elif len(texts) == TEXTS:
            values = list(judged_values(schema, made[completion.key]))
            texts.sort(key=lambda text: text.sample)
            yield max(texts, key=lambda text: _faithfulness(text, values))
            del waiting[completion.key]


def _faithfulness(text: Completion, values: Sequence[tuple[Field, Any]]) -> tuple[bool, int]:
    """Return whether a text came to its end, and how many values it says."""
    return text.finish_reason != "length", sum(is_in(field, value, text.text) for field, value in values)


def _after_example(schema: Schema, made: str, example: str) -> str:
    """Return an object with an example's choices, and with values where the example has some, and nowhere else.

    :param example: an object of the schema
    """
    values, model = (values_of(schema, found_object(text) or {}) for text in (made, example))
    for one in schema.fields:
        if not judged(one) or None in (model[one.name], values[one.name]):
            values[one.name] = model[one.name]
    return object_text(schema, values)


def _budget(context: RunContext, engine: Engine) -> int:
    """Return how many tokens a prompt for an object may have: the setting, or what the context leaves beside one."""
    settings, schema = context.settings, context.task.answer_schema
    assert schema is not None
    room = max(engine.smallest_object(schema) + 1, min(settings.output_max_tokens, engine.n_ctx // 4))
    return min(settings.prompt_budget, engine.n_ctx - room)


def _within(
    context: RunContext, engine: Engine, budget: int, earlier: Sequence[str], shown: Sequence[str]
) -> tuple[Message, ...]:
    """Return the prompt that shows as many of the earlier objects as its tokens allow, and the examples' own."""
    for count in range(len(earlier), -1, -1):
        messages = context.prompts.new_object(context.task, [*earlier[:count], *shown])
        if engine.count_tokens(messages) <= budget:
            break
    return messages
