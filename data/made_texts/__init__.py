"""Evaluation rows of the two demo tasks with fields, made by a seeded script from sentences written for this project.

Each text is put together from facts: every fact has many ways to be said, the order changes, and facts that are not
asked for stand between them (a deposit, a floor, a second date). Then some texts get typing errors, lower case or
missing marks. What is right is known, since the facts came first. They are made texts and no people's own: a model that
is good at them is good at their many forms, and real adverts and e-mails have more.

`python -m data.made_texts` writes data/tasks/rental-adverts.eval.jsonl and data/tasks/support-mails.eval.jsonl.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

ROWS = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A text with what is right about it."""

    input: str
    output: dict[str, Any]


def rows_of(make: Callable[[Random], Row], seed: int, count: int = ROWS) -> list[Row]:
    """Return rows whose texts all differ.

    :param make: writes one
    """
    random = Random(seed)
    found: dict[str, Row] = {}
    while len(found) < count:
        row = make(random)
        found.setdefault(row.input, row)
    return list(found.values())
