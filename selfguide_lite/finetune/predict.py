"""Answers a stream of inputs with the prompt that the model was finetuned on, many at once, in their order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from selfguide_lite.llm.base import Engine, Request
from selfguide_lite.prompts import Prompts
from selfguide_lite.task import Task, last_label

_AHEAD = 256  # inputs that are read before the first of them is answered


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's answer to one input.

    :param label: for classification the label in it, if there is one
    :param error: why there is no answer
    """

    input: str
    output: str
    label: str | None = None
    error: str | None = None


def predict(engine: Engine, task: Task, prompts: Prompts, inputs: Iterable[str], max_tokens: int) -> Iterator[Answer]:
    """Yield the greedy answer to each input, in their order.

    :param inputs: read lazily, a few hundred ahead
    :param max_tokens: of an answer
    """
    waiting = iter(inputs)
    while block := list(islice(waiting, _AHEAD)):
        requests = [
            Request(key=str(number), messages=prompts.annotate(task, text), max_tokens=max_tokens)
            for number, text in enumerate(block)
        ]
        ready: dict[int, Answer] = {}
        following = 0
        for completion in engine.complete(requests):
            number = int(completion.key)
            text = completion.text.strip()
            label = last_label(text, task.labels) if task.labels else None
            ready[number] = Answer(block[number], text, label, completion.error)
            while following in ready:
                yield ready.pop(following)
                following += 1
