"""How fast the views and the writes are, as shares of what they are measured against.

`make test` runs it small. `SELFGUIDE_BENCH_INPUTS=100000 pytest tests/store/test_size.py -s` makes the README's table:
100,000 inputs and 1,000,000 outputs. Times are of the processor, so a busy machine tells the same.
"""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.task import Example, Task, fold

pytestmark = pytest.mark.slow

INPUTS = int(os.environ.get("SELFGUIDE_BENCH_INPUTS", "2000"))
SAMPLES = 10
WORDS = [f"word{n}" for n in range(300)] + ["the", "of", "a", "input", "sun", "rain"]


def sentence(dice: random.Random) -> str:
    return " ".join(dice.choices(WORDS, k=dice.randint(7, 17)))


def fill(path: Path, inputs: int, kind: str) -> None:
    """Fill a database with a tenth of duplicates, some noise, and answers of which about half are equal."""
    dice = random.Random(1)
    labels = ("good", "bad", "so so") if kind == "classification" else ()
    examples = tuple(
        Example(input=" ".join(dice.choices(WORDS, k=k)), output=labels[0] if labels else " ".join(WORDS[:k]))
        for k in (6, 12, 18)
    )
    task = Task(name="t", kind=kind, instruction="say", labels=labels, examples=examples, settings=Settings())  # type: ignore[arg-type]
    with Store.open(path) as store:
        task_id = store.add_task(task)
        run = store.start_run(task_id, "generate", None, task.settings, 1, None)
        store.connection.execute("BEGIN")
        texts: list[str] = []
        for _ in range(inputs):
            texts.append(dice.choice(texts).upper() if texts and dice.random() < 0.1 else sentence(dice))
        store.connection.executemany(
            "INSERT INTO input(task_id, run_id, round, prompt, text, length, folded, seed_inputs, pool_inputs,"
            " finish_reason, prompt_tokens, completion_tokens, mean_logprob, sketched)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, '[0, 1, 2]', '[1, 2, 3]', 'stop', 300, 20, -1.5, 1)",
            ((task_id, run, n // 10, n % 10, text, len(text), fold(text)) for n, text in enumerate(texts)),
        )
        store.connection.executemany(
            "INSERT INTO output(input_id, run_id, sample, text, length, label, answer_length, weight, logprob,"
            " finish_reason, prompt_tokens, completion_tokens, answer_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 1, -1.5, 'stop', 300, 20, ?)",
            answers(dice, inputs, run, labels),
        )
        store.connection.execute("COMMIT")


def answers(dice: random.Random, inputs: int, run: int, labels: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    output_id = 0
    for shown in range(1, inputs + 1):
        likely = labels or [sentence(dice) for _ in range(3)]
        first: dict[str, int] = {}
        for sample in range(SAMPLES):
            output_id += 1
            text = dice.choice(likely) if dice.random() < 0.7 else likely[0] if labels else sentence(dice)
            yield (
                shown,
                run,
                sample,
                text,
                len(text),
                text if labels else None,
                len(text),
                first.setdefault(text, output_id),
            )


def seconds(store: Store, statement: str) -> float:
    """Return the processor time of a statement with all its rows read into Python; the better of two."""
    times = []
    for _ in range(2):
        start = time.process_time()
        rows = store.connection.execute(statement).fetchall()
        times.append(time.process_time() - start)
        del rows
    return min(times)


@pytest.mark.parametrize("kind", ["classification", "generation"])
def test_the_views_keep_pace_with_reading_the_rows(tmp_path: Path, kind: str) -> None:
    found: dict[int, dict[str, float]] = {}
    for inputs in (INPUTS // 10, INPUTS):
        path = tmp_path / f"{inputs}.db"
        fill(path, inputs, kind)
        with Store.open(path, read_only=True) as store:
            found[inputs] = {
                "read": seconds(store, "SELECT * FROM input") + seconds(store, "SELECT * FROM output"),
                "dataset": seconds(store, "SELECT count(*) FROM dataset"),
                "funnel": seconds(store, "SELECT * FROM funnel"),
            }
            assert store.connection.execute("SELECT count(*) FROM dataset").fetchone()[0] > inputs / 10
    small, large = found[INPUTS // 10], found[INPUTS]
    for view in ("dataset", "funnel"):
        share, growth = large[view] / large["read"], large[view] / small[view]
        print(
            f"\n{kind}, {INPUTS:,} inputs, {INPUTS * SAMPLES:,} outputs: {view} {large[view]:.3f} s,"
            f" {share:.2f} times reading all rows ({large['read']:.3f} s); {growth:.1f} times a tenth of the rows"
        )
        full = INPUTS >= 50_000  # at small sizes fixed costs and the clock's grain weigh more
        assert share <= (2 if full else 3)
        assert growth <= (12 if full else 18)


def test_committing_each_text_as_it_comes(tmp_path: Path) -> None:
    """A round of ten inputs with ten answers each: a commit for every input and one for its answers."""
    dice = random.Random(2)
    store = Store.open(tmp_path / "a.db")
    task = Task(
        name="t", kind="generation", instruction="say", examples=(Example(input=sentence(dice), output=sentence(dice)),)
    )
    task_id = store.add_task(task)
    run = store.start_run(task_id, "generate", None, task.settings, 1, None)
    rounds = iter(range(10**9))

    def write() -> None:
        round_ = next(rounds)
        for prompt in range(10):
            shown = store.add_input(NewInput(task_id, run, round_, prompt, sentence(dice)))
            few = [sentence(dice) for _ in range(3)]
            store.add_outputs([NewOutput(shown, run, sample, dice.choice(few)) for sample in range(SAMPLES)])

    for _ in range(20):  # the first ones open files and fill caches
        write()
    start = time.process_time()
    for _ in range(20):
        write()
    each = (time.process_time() - start) / 200
    print(f"\nwriting an input and its ten answers: {each * 1000:.2f} ms of the processor")
    store.close()
    assert each < 0.01
