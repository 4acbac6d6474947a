"""From the dataset's pairs to token rows: the prompt by the very code that inference uses, then the answer and the end.

Knows nothing of torch.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from selfguide_lite.core.messages import Message
from selfguide_lite.llm.chat import ChatFormat

Ask = Callable[[str], Sequence[Message]]


class TextPair(Protocol):
    """What is learnt: an input and its answer."""

    @property
    def input(self) -> str: ...
    @property
    def output(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One training example.

    :param ids: tokens of the prompt, the answer and the end
    :param answer_start: where the answer begins; the loss counts from there on
    """

    ids: tuple[int, ...]
    answer_start: int

    @property
    def labels(self) -> list[int]:
        """The tokens to predict, -100 where the loss does not count."""
        return [-100] * self.answer_start + list(self.ids[self.answer_start :])


@dataclass(frozen=True, slots=True)
class Rows:
    """A dataset as tokens.

    :param left_out: pairs that were longer than the limit; they are never cut
    :param longest: tokens of the longest pair that was met, left out or not
    """

    rows: tuple[Row, ...]
    left_out: int
    longest: int

    @property
    def sha256(self) -> str:
        """Hash of all tokens and of where the answers begin."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(f"{row.answer_start}:{','.join(map(str, row.ids))};".encode())
        return digest.hexdigest()


def make_rows(pairs: Iterable[TextPair], ask: Ask, chat: ChatFormat, max_seq_length: int) -> Rows:
    """Render and tokenize pairs.

    :param ask: makes the prompt for an input
    :param max_seq_length: tokens of prompt, answer and end token together
    """
    rows: list[Row] = []
    left_out = longest = 0
    for pair in pairs:
        messages = ask(pair.input)
        prompt = chat.prompt(messages)
        ids = (*prompt, *chat.answer(messages, pair.output))
        longest = max(longest, len(ids))
        if len(ids) > max_seq_length:
            left_out += 1
        else:
            rows.append(Row(ids, len(prompt)))
    return Rows(tuple(rows), left_out, longest)


def padded(rows: Sequence[Row], pad: int) -> dict[str, list[list[int]]]:
    """Return a batch as lists of equal length: `input_ids`, `labels`, `attention_mask`, filled up on the right."""
    width = max(len(row.ids) for row in rows)
    return {
        "input_ids": [[*row.ids, *[pad] * (width - len(row.ids))] for row in rows],
        "labels": [[*row.labels, *[-100] * (width - len(row.ids))] for row in rows],
        "attention_mask": [[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows],
    }
