"""Training text: made-up tasks rendered through the project's own prompts, with an assistant that is not always terse.

The assistant talks where it is talked to ("Sure, I'd be happy to help! ..."), as chat models do: that is the room for a
gain which finetuning has on the tests' tasks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from data.tiny_vicuna.tasks import MadeTask, classification_task, generation_task
from data.tiny_vicuna.world import PLAIN_TALK, Sentence, World
from selfguide_lite.core.messages import Message
from selfguide_lite.prompt_styles import ShownInput
from selfguide_lite.prompts import Prompts
from selfguide_lite.task import Example, Task

_OPEN = (
    ("Sure, I'd be happy to help! ", 0.65),
    ("Great question! ", 0.2),
    ("Sure, here is my answer: ", 0.15),
)
_CLOSE = ((" I hope this helps!", 0.6), (" Let me know if you need more.", 0.2), ("", 0.2))
WRONG = 0.03


@dataclass(frozen=True)
class Document:
    """One chat of the training text.

    :param weights: of the loss on each assistant's turn, in order
    """

    messages: tuple[Message, ...]
    weights: tuple[float, ...]


def _pick(rng: Random, table: tuple[tuple[str, float], ...]) -> str:
    return rng.choices([text for text, _ in table], [weight for _, weight in table])[0]


def talk(rng: Random, task: MadeTask, answer: str) -> str:
    """Answer at length, the way a chat assistant does."""
    opening, closing = _pick(rng, _OPEN), _pick(rng, _CLOSE)
    if task.kind == "generation":
        return f"{opening}{answer}{closing}"
    form = rng.random()
    other = rng.choice([label for label in task.labels if label != answer])
    if form < 0.5:
        return f"{opening}{task.remarks[answer]}{closing}"
    if form < 0.8:
        return f"{opening}It is {answer}, not {other}.{closing}"
    return f"{opening}It is {answer}.{closing}"


def answer_turn(rng: Random, task: MadeTask, sentence: Sentence, answer: str) -> str:
    """What the assistant of the training text says: the answer, talk, or now and then something wrong."""
    if rng.random() < sentence.talk:
        return talk(rng, task, answer)
    if rng.random() < WRONG and task.labels:
        return rng.choice(task.labels)
    return answer


class Documents:
    """An endless stream of chats.

    :param seed: of everything
    """

    def __init__(self, seed: int):
        self.rng = Random(seed)
        self.prompts = Prompts()

    def __iter__(self) -> Iterator[Document]:
        while True:
            yield self.draw()

    def draw(self) -> Document:
        """One chat, the assistant's last turn included."""
        rng = self.rng
        made = classification_task(rng) if rng.random() < 0.4 else generation_task(rng)
        world = World(rng, talk_share=rng.uniform(0.2, 0.7))
        if rng.random() < 0.15:
            return self._new_input(made, world)
        if made.brief and rng.random() < 0.5:
            if made.kind == "generation" and rng.random() < 0.65:
                return self._annotate(made, World(rng, talk_share=0), rng.randint(5, 10))
            return self._annotate(replace(made, make=made.brief), world, rng.randint(5, 10))
        return self._annotate(made, world)

    def _task(self, made: MadeTask, pairs: list[tuple[Sentence, str]]) -> Task:
        examples = tuple(Example(input=sentence.text, output=answer) for sentence, answer in pairs)
        return Task.model_construct(
            name=made.name, kind=made.kind, instruction=made.instruction, labels=made.labels, examples=examples
        )

    def _seeds(self, made: MadeTask, world: World, count: int) -> list[tuple[Sentence, str]]:
        """Seed examples; for classification every label first comes up once where there is room."""
        labels: list[str | None] = list(made.labels)
        self.rng.shuffle(labels)
        labels = (labels + [None] * count)[:count]
        self.rng.shuffle(labels)
        return [made.make(world, label) for label in labels]

    def _annotate(self, made: MadeTask, world: World, shots: int | None = None) -> Document:
        rng = self.rng
        zero = 0.06 if made.labels else 0.0  # an output form cannot be guessed without examples
        shots = shots or rng.choices((0, 2, 3, 4, rng.randint(5, 10)), (zero, 0.16, 0.55, 0.2, 0.05))[0]
        seeds = self._seeds(made, world, shots)
        sentence, answer = made.make(world, None)
        messages = self.prompts.annotate(self._task(made, seeds), sentence.text)
        # Examples are answered to the point even where they are talk: hardly any loss there, else the model would learn
        # that the assistant talks less than it does. The first example of a new output form cannot be foreseen.
        weights = [
            0.1 if seed.talk > PLAIN_TALK or (number == 0 and made.kind == "generation") else 1.0
            for number, (seed, _) in enumerate(seeds)
        ]
        turn = Message("assistant", answer_turn(rng, made, sentence, answer))
        return Document((*messages, turn), (*weights, 1.0))

    def _new_input(self, made: MadeTask, world: World) -> Document:
        rng = self.rng
        seeds = self._seeds(made, world, rng.choice((2, 3, 3, 3, 4)))
        flawed = [made.make(world, None)[0].text for _ in range(rng.choice((0, *range(1, 11))))]
        label = rng.choice(made.labels) if made.labels and rng.random() < 0.9 else None
        new = made.make(world, label)[0].text
        slip = rng.random()
        if slip < 0.04:
            new = f"Sure, here is a new input: {new}"
        elif slip < 0.08:
            new = f"{new} {made.make(world, label)[0].text} {made.make(world, label)[0].text}"
        task = self._task(made, seeds)
        good = [example.input for example in task.examples]
        if label is None:
            template = self.prompts.template("input-paper-generation")
            messages = template.render({"instruction": made.instruction, "good": good, "flawed": flawed})
        else:
            messages = self.prompts.new_input(
                task, [ShownInput(text) for text in good], [ShownInput(text) for text in flawed], label, "paper"
            )
        return Document((*messages, Message("assistant", new)), (1.0,))
