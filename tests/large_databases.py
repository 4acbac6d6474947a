"""Makes large databases fast: rows put in by SQL in big transactions, through the store's own tables and triggers.

Texts have 60 to 100 characters. Of the inputs some repeat an earlier one or change a word of it, some are noise, too
short, too long or empty. The same sizes give the same rows.
"""

import json
import random
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from selfguide_lite.store import Store
from selfguide_lite.store.similar import BANDS, FLOOR, jaccard, shingles
from selfguide_lite.store.triggers import contains_or_begins
from selfguide_lite.task import Example, Task, fold

Kind = Literal["classification", "generation"]
LABELS = ("praise", "complaint", "question")
_SYLLABLES = ("ba", "co", "di", "fu", "ga", "he", "li", "mo", "nu", "pe", "ra", "si", "to", "ve", "wa", "ze")
_WORDS = [one + other + end for one in _SYLLABLES for other in _SYLLABLES for end in ("", "n", "rs", "te")]
_PHRASES = [
    " ".join(dice.choices(_WORDS, k=3)) for dice in (random.Random(0),) for _ in range(50_000)
]  # chosen from, they make a text in half the time
_BATCH = 100_000  # rows a transaction
_NOISE = "Sure, "  # how noise begins; no other text has a noise term
_BACK = 1_000  # an input repeats one of so many before it
_PROMPTS = 10  # a round


def large_task(kind: Kind) -> Task:
    """The task of a large database, with the default filters of its kind."""
    outputs = LABELS if kind == "classification" else tuple(_text(random.Random(n)) for n in range(3))
    return Task(
        name="large",
        kind=kind,
        instruction="Answer the message.",
        labels=LABELS if kind == "classification" else (),
        examples=tuple(Example(input=_text(random.Random(9 + n)), output=output) for n, output in enumerate(outputs)),
    )


def make_large(path: Path, inputs: int, kind: Kind) -> None:
    """Make a database of so many inputs, each with one answer: for classification a score for every label.

    The bands by which near duplicates are found are as many as a run writes, of numbers drawn by chance; the pairs in
    `near_twin` are computed.
    """
    with Store.open(path) as store:
        task = large_task(kind)
        task_id = store.add_task(task)
        run = store.start_run(task_id, "generate", None, task.settings, 1, None)
        connection = store.connection
        # Nobody reads it yet: no log, and pages are kept until they are full. What refers to another row is right.
        for pragma in ("journal_mode = DELETE", "journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA foreign_keys = OFF")
        triggers = {table: _drop_trigger(connection, f"{table}_noise_found") for table in ("input", "output")}
        dice = random.Random(1)
        twins: list[tuple[int, int, float]] = []
        _insert(
            connection,
            "input(task_id, run_id, round, prompt, label, text, length, folded, seed_inputs, pool_inputs,"
            " finish_reason, prompt_tokens, completion_tokens, mean_logprob, sketched)",
            (
                (
                    task_id, run, n // _PROMPTS, n % _PROMPTS, LABELS[n % 3] if task.labels else None, text, len(text),
                    fold(text), "[0, 1, 2]", "[1, 2, 3]", "stop", 300, 20, -1.5, 1,
                )
                for n, text in enumerate(_inputs(dice, inputs, twins))
            ),
        )  # fmt: skip
        _insert(
            connection,
            "output(id, input_id, run_id, sample, method, text, length, label, answer_length, weight, logprob,"
            " finish_reason, prompt_tokens, completion_tokens, answer_id)",
            (_scores if task.labels else _answers)(dice, inputs, run),
        )
        _insert(connection, "near_twin", iter(sorted(twins)))
        connection.execute(
            # Numbers in their order, each of an input far from that of the last one: the table is filled from its end.
            "INSERT INTO input_band SELECT (n - ?1 / 2) * (9223372036854775807 / ?1) * 2 + abs(random() % 1000),"
            " n * 7368787 % ?2 + 1"
            " FROM (SELECT (i.id - 1) * ?3 + b.value AS n FROM input AS i NOT INDEXED CROSS JOIN json_each(?4) AS b)",
            (inputs * BANDS, inputs, BANDS, json.dumps(list(range(BANDS)))),
        )
        for table, trigger in triggers.items():
            connection.execute(
                f"INSERT INTO {table}_noise SELECT x.id, t.term FROM {table} AS x CROSS JOIN noise_term AS t"
                f" WHERE x.text GLOB '{_NOISE}*' AND {contains_or_begins('x.text', 't.term')}"
            )
            connection.execute(trigger)
        connection.execute("PRAGMA journal_mode = WAL")


def _drop_trigger(connection: sqlite3.Connection, name: str) -> str:
    """Drop a trigger and return its SQL: that of noise looks for every term in every text."""
    (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    connection.execute(f"DROP TRIGGER {name}")
    return str(sql)


def _insert(connection: sqlite3.Connection, table: str, rows: Iterator[tuple[Any, ...]]) -> None:
    while batch := list(islice(rows, _BATCH)):
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(batch[0]))})", batch)
        connection.execute("COMMIT")


def _text(dice: random.Random) -> str:
    return " ".join(dice.choices(_PHRASES, k=4 + (dice.random() < 0.5))).capitalize() + "."


def _inputs(dice: random.Random, inputs: int, twins: list[tuple[int, int, float]]) -> Iterator[str]:
    """The inputs' texts. Those that resemble an earlier one are noted with their similarity."""
    earlier: dict[int, str] = {}  # the last ones that are like no other, by their ids
    for number in range(1, inputs + 1):
        kind = dice.random()
        if kind < 0.1 and earlier:
            other = dice.choice(list(islice(reversed(earlier), 10)))
            words = earlier[other].split(" ")
            if kind < 0.05:
                yield " ".join(words).upper()
                continue
            words[dice.randrange(len(words))] = dice.choice(_WORDS)
            text = " ".join(words)
            similarity = jaccard(shingles(fold(text)), shingles(fold(earlier[other])))
            if similarity >= FLOOR and fold(text) != fold(earlier[other]):
                twins.append((number, other, similarity))
            yield text
        elif kind < 0.11:
            yield _NOISE + "here is a new one: " + _text(dice)
        elif kind < 0.12:
            yield dice.choice(("", "So.", " ".join(_text(dice) for _ in range(5))))
        else:
            text = _text(dice)
            earlier[number] = text
            if len(earlier) > _BACK:
                del earlier[next(iter(earlier))]
            yield text


def _scores(dice: random.Random, inputs: int, run: int) -> Iterator[tuple[Any, ...]]:
    """A score for every label of each input; the label that was asked for is mostly the likeliest."""
    number = 0
    for shown in range(1, inputs + 1):
        right = (shown - 1) % 3 if dice.random() < 0.8 else dice.randrange(3)
        shares = [dice.random() + (2.0 if place == right else 0.3) for place in range(3)]
        for place, label in enumerate(LABELS):
            number += 1
            yield (
                number, shown, run, place, "score", label, len(label), label, len(label), shares[place] / sum(shares),
                -1.5, "stop", 300, 2, number,
            )  # fmt: skip


def _answers(dice: random.Random, inputs: int, run: int) -> Iterator[tuple[Any, ...]]:
    for shown in range(1, inputs + 1):
        kind = dice.random()
        text = _text(dice)
        if kind < 0.02:
            text = _NOISE + "here is my answer: " + text
        elif kind < 0.04:
            text = dice.choice(("", "No.", " ".join(_text(dice) for _ in range(5))))
        yield shown, shown, run, 0, "sample", text, len(text), None, len(text), 1.0, -1.5, "stop", 300, 20, shown
