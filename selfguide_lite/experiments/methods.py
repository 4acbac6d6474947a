"""What SELF-GUIDE is compared with, as changes of three small things: the store's filters, its pairs, the prompts.

A filter is a view, so an ablation needs no data of its own: `SettingsOverlay` shows the same generations under
other settings.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.llm.base import Engine
from selfguide_lite.methods.asking import Ask
from selfguide_lite.methods.names import FEW_SHOT, FEW_SHOT_FINETUNING, FINETUNED, SELF_ICL, ZERO_SHOT, names_of
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import Pair
from selfguide_lite.task import Example, Task


@dataclass(frozen=True, slots=True)
class Ablation:
    """SELF-GUIDE without one of its parts.

    :param changes: settings that leave the part out
    :param regenerates: whether its inputs must be written again; otherwise they are seen through other filters
    :param samples: whether it is about sampled answers: where a run scores labels, which is exact and leaves nothing
        to vote on, its inputs are answered again
    :param labelled: whether only kinds of task with labels have this part
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    regenerates: bool = False
    samples: bool = False
    labelled: bool = False


ABLATIONS: tuple[Ablation, ...] = (
    Ablation("no noise filter", {"noise_filter": False}),
    Ablation("no length filter", {"input_length_filter": False, "output_length_filter": False}),
    Ablation("sampled answers", samples=True, labelled=True),
    Ablation("no self-consistency", {"consistency_filter": False}, samples=True),
    Ablation("no label condition", {"label_condition": False}, regenerates=True, labelled=True),
    Ablation("random labels", {"random_labels": True}, labelled=True),
)
# Where a person gave rows with answers: what these teach alone, and what the self-made pairs teach without them.
GIVEN_ALONE = "given rows alone"
SELF_MADE_ALONE = Ablation("self-made pairs alone", {"given_weight": 0})
OF_GIVEN_ROWS: tuple[str, ...] = (GIVEN_ALONE, SELF_MADE_ALONE.name)


def methods_of(kind: str) -> list[str]:
    """Return the methods that fit a kind of task, in the table's order, ablations left out."""
    prompting = names_of((ZERO_SHOT, FEW_SHOT, SELF_ICL), kind)
    return [*prompting, FEW_SHOT_FINETUNING, *names_of((FINETUNED,), kind)]


class LeaveOneOut(Prompts):
    """Prompts for finetuning on the seed examples: an example's prompt shows only the others, not its own answer."""

    def annotate(self, task: Task, text: str, examples: Sequence[Example] | None = None) -> tuple[Message, ...]:
        """Messages for one input, with every example but the one whose input it is."""
        shown = task.examples if examples is None else examples
        return super().annotate(task, text, [example for example in shown if example.input != text])

    @classmethod
    def like(cls, prompts: Prompts) -> "LeaveOneOut":
        """Return these with the templates of other prompts."""
        return cls(prompts.folder)


def seed_pairs(task: Task) -> list[Pair]:
    """Return the seed examples as training pairs; their numbers are negative, since no input row has them."""
    return [Pair(-number, example.input, example.output) for number, example in enumerate(task.examples, 1)]


def self_icl(prompts: Prompts, examples: Sequence[Example]) -> Ask:
    """Return what asks with given examples, the same for every input, so that engines compute them once."""
    return lambda task, text: prompts.annotate(task, text, examples)


def icl_examples(
    task: Task, pairs: Sequence[Pair], engine: Engine, prompts: Prompts, inputs: Sequence[str], seed: int
) -> list[Example]:
    """Return the seed examples and after them as many self-made pairs as fit the context with any of the inputs.

    :param inputs: those to be answered; room for an answer, at most a quarter of the context, is kept free
    :param seed: fixes which pairs are taken, labels in turn
    :raises SelfguideError: where not even one pair fits
    """
    room = engine.n_ctx - min(task.settings.output_max_tokens, engine.n_ctx // 4)
    longest = max(inputs, key=lambda text: engine.count_tokens(prompts.annotate(task, text, ())))
    made = [Example(input=pair.input, output=pair.output) for pair in in_turn(pairs, seed, task)]

    def shown(count: int) -> list[Example]:
        return [*task.examples, *made[:count]]

    def fits(count: int) -> bool:
        return engine.count_tokens(prompts.annotate(task, longest, shown(count))) <= room

    # Doubling and halving: few prompts are rendered and counted.
    low, high = 0, 1
    while high <= len(made) and fits(high):
        low, high = high, high * 2
    high = min(high, len(made) + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    if not low:
        raise SelfguideError(
            f"task {task.name!r}: {SELF_ICL}: the context of {engine.n_ctx} tokens has no room for a self-made pair"
        )
    return shown(low)


def in_turn(pairs: Sequence[Pair], seed: int, task: Task) -> list[Pair]:
    """Return pairs in a random order in which labels take turns: any first part of it is as balanced as it can be."""
    shuffled = list(pairs)
    random.Random(f"{seed}/{task.name}/order").shuffle(shuffled)
    if not task.rules.labelled:
        return shuffled
    groups = [[pair for pair in shuffled if pair.output == label] for label in task.labels]
    longest = max(map(len, groups), default=0)
    return [group[place] for place in range(longest) for group in groups if place < len(group)]


def variant_db(folder: Path, name: str) -> Path:
    """Return the database of a variant that needs generations of its own."""
    return folder / f"{name.replace(' ', '-')}.db"
