"""What is measured: the requests of each workload, the same for every contender."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from selfguide_lite.core.resources import resource
from selfguide_lite.llm.base import Request, ScoreRequest
from selfguide_lite.prompt_styles import ShownInput
from selfguide_lite.prompts import Prompts
from selfguide_lite.task import Task, load_task
from selfguide_lite.task.eval_rows import load_eval

INPUTS, SAMPLES, LENGTH = 8, 10, 40
PREFIX, OWN = 450, 50
ROUNDS, PER_ROUND = 40, 10
TREE_INPUTS, SCORE_INPUTS, OBJECT_INPUTS = 20, 64, 20
_WORDS = ("the", "and", "is", "of", "to", "in", "it", "that", "yes", "no", "good", "bad", "one", "two", "hello", "end")


def annotate(count: Callable[[str], int]) -> list[Request]:
    """8 inputs x 10 samples x 40 tokens behind a shared prefix of 450 tokens, temperature 1.

    :param count: the model's token count of a text
    """
    rng = np.random.default_rng(7)

    def text(size: int, before: str = "") -> str:
        words = before
        while count(words) < size:
            words += str(rng.choice(_WORDS)) + " "
        return words

    prefix = text(PREFIX)
    return [
        Request(
            f"annotate/{number}",
            text(PREFIX + OWN, f"{prefix}{number} ").strip(),
            n=SAMPLES,
            temperature=1.0,
            top_k=40,
            max_tokens=LENGTH,
            seed=1,
        )
        for number in range(INPUTS)
    ]


def _tasks() -> list[tuple[Task, list[str]]]:
    """The demo tasks with their evaluation inputs; those with a schema have a workload of their own."""
    return [entry for entry in _all_tasks() if not entry[0].rules.structured]


def _all_tasks() -> list[tuple[Task, list[str]]]:
    tasks = [load_task(path) for path in sorted(Path(resource("data/tasks")).glob("*.yaml"))]
    return [(task, [row.input for row in load_eval(task.eval)]) for task in tasks if task.eval is not None]


def _task(kind: str) -> tuple[Task, list[str]]:
    """The first demo task of a kind, with its evaluation inputs."""
    return next(entry for entry in _tasks() if entry[0].kind == kind)


def tree(number: int = TREE_INPUTS) -> list[list[Request]]:
    """10 samples of an answer at temperature 0.2, to some inputs of every demo task; a list for each task."""
    prompts = Prompts()
    return [
        [
            Request(
                f"tree/{task.name}/{n}",
                prompts.annotate(task, text),
                n=SAMPLES,
                temperature=0.2,
                top_k=10,
                max_tokens=LENGTH,
                seed=1,
            )
            for n, text in enumerate(inputs[:number])
        ]
        for task, inputs in _tasks()
    ]


def objects(number: int = OBJECT_INPUTS) -> list[Request]:
    """An object to each of some inputs of every demo task with a schema."""
    prompts = Prompts()
    return [
        Request(
            f"objects/{task.name}/{n}",
            prompts.annotate(task, text),
            max_tokens=task.settings.output_max_tokens,
            schema=task.answer_schema,
        )
        for task, inputs in _all_tasks()
        if task.rules.structured
        for n, text in enumerate(inputs[:number])
    ]


def classify(number: int = SCORE_INPUTS) -> tuple[list[ScoreRequest], list[Request]]:
    """A classification task's inputs: to be scored, and to be sampled 10 times."""
    task, inputs = _task("classification")
    prompts = Prompts()
    scored: list[ScoreRequest] = []
    sampled: list[Request] = []
    for n, text in enumerate(inputs[:number]):
        messages = prompts.annotate(task, text)
        scored.append(ScoreRequest(f"classify/{n}", messages, task.labels))
        sampled.append(
            Request(f"classify/{n}", messages, n=SAMPLES, temperature=0.2, top_k=10, max_tokens=LENGTH, seed=1)
        )
    return scored, sampled


def generate() -> list[list[Request]]:
    """40 rounds of 10 prompts that ask for new inputs, as synthesis writes them."""
    task, inputs = _task("generation")
    prompts = Prompts()
    rng = np.random.default_rng(3)
    rounds: list[list[Request]] = []
    for number in range(ROUNDS):
        requests: list[Request] = []
        for prompt in range(PER_ROUND):
            good = [ShownInput(task.examples[i].input) for i in rng.permutation(len(task.examples))]
            most = int(rng.integers(1, 11)) if number else 0
            flawed = [ShownInput(inputs[i]) for i in rng.choice(len(inputs), most, replace=False)]
            requests.append(
                Request(
                    f"generate/{number}/{prompt}",
                    prompts.new_input(task, good, flawed, None, "paper"),
                    temperature=0.8,
                    top_k=40,
                    max_tokens=120,
                    seed=1,
                )
            )
        rounds.append(requests)
    return rounds
