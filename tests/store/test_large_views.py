"""Large databases: what commands and views take, and that their memory does not grow with the rows.

`make test` runs it small. `make proof PROOF=large_views` makes 10,000,000 inputs with an answer each and prints the
table of docs/performance.md; SELFGUIDE_LARGE_ROWS=100000 tries it. It needs 2 kB of disk an input.
"""

import os
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from large_databases import Kind, large_task, make_large
from metered import took

from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.store.filter_views import view_files
from selfguide_lite.store.similar import BANDS

ROWS = int(os.environ.get("SELFGUIDE_LARGE_ROWS", "10000000"))
_KINDS: tuple[Kind, ...] = ("generation", "classification")
_VIEWS = ("input_verdict", "vote", "answer_verdict", "pair", "dataset", "funnel")
_COMMANDS = ("status", "dataset -o pairs.jsonl", "dataset -o pairs.parquet", "report -o report.html", "show 17")
_MOST_MEMORY = 700 * 2**20  # bytes, of any view or command at any size: mostly what Python's packages take
COUNT = """
import sys
from selfguide_lite.store import Store
with Store.open(sys.argv[1], read_only=True) as store:
    print(store.connection.execute(f"SELECT count(*) FROM {sys.argv[2]}").fetchone()[0])
"""
# Writes ten inputs with their answers as a run does, one by one.
WRITE = """
import sys
from selfguide_lite.store import NewInput, NewOutput, Store
with Store.open(sys.argv[1]) as store:
    for n in range(10):
        shown = store.add_input(NewInput(1, 1, 10**8, n, f"a text that no other input has, number {n} of the last"))
        store.add_outputs([NewOutput(shown, 1, 0, "an answer that is long enough to be kept, as it seems to me")])
"""


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", _KINDS)
def test_large_views(tmp_path: Path, kind: Kind) -> None:
    db = tmp_path / "large.db"
    make_large(db, ROWS, kind)
    print(f"\n{kind}, {ROWS:,} inputs: {db.stat().st_size / 2**20:,.0f} MB", flush=True)
    programs = {f"count of `{view}`": ["-c", COUNT, str(db), view] for view in _VIEWS}
    programs |= {f"`{words}`": ["-m", "selfguide_lite", *words.split(), "-d", str(db)] for words in _COMMANDS}
    programs |= {"ten inputs written": ["-c", WRITE, str(db)]}
    for name, words in programs.items():
        used = took(words, tmp_path)
        print(used.row(name), flush=True)
        assert used.memory < _MOST_MEMORY, name


@pytest.mark.parametrize("kind", _KINDS)
def test_a_large_database_is_as_a_run_would_have_written_it(tmp_path: Path, kind: Kind) -> None:
    """The same texts, put in one by one through the store, have the same verdicts."""
    made, written = tmp_path / "made.db", tmp_path / "written.db"
    make_large(made, 300, kind)
    verdicts = "SELECT id, reason FROM input_verdict ORDER BY id"
    pairs = "SELECT input_id, input, output, round(share, 9), round(confidence, 9) FROM dataset ORDER BY input_id"
    with Store.open(made) as store, Store.open(written) as other:
        ask = store.connection.execute
        assert ask("PRAGMA foreign_key_check").fetchall() == []
        assert ask("SELECT count(*) FROM input_band").fetchone() == (300 * BANDS,)
        found = {reason for _, reason in ask(verdicts)}
        assert found >= {None, "duplicate", "noise", "length"}
        task_id = other.add_task(large_task(kind))
        run = other.start_run(task_id, "generate", None, large_task(kind).settings, 1, None)
        for input_id, round_, prompt, text, label in ask(
            "SELECT id, round, prompt, text, label FROM input ORDER BY id"
        ):
            assert other.add_input(NewInput(task_id, run, round_, prompt, text, label)) == input_id
        for row in ask("SELECT input_id, sample, text, method, weight FROM output ORDER BY id"):
            other.add_outputs([NewOutput(row[0], run, *row[1:])])
        for statement in (verdicts, pairs, "SELECT * FROM funnel ORDER BY stage, reason"):
            assert other.connection.execute(statement).fetchall() == ask(statement).fetchall()


def test_pairs_are_read_one_by_one(tmp_path: Path) -> None:
    db = tmp_path / "large.db"
    make_large(db, 200, "generation")
    with Store.open(db, read_only=True) as store:
        one_by_one = store.each_pair(1)
        assert not isinstance(one_by_one, list)
        assert list(one_by_one) == store.pairs(1)
        assert store.pair_count(1) == len(store.pairs(1)) > 100


def steps(store: Store, read: Callable[[], object]) -> int:
    """How many hundred steps SQLite takes for a read: what it does, however busy the machine is."""
    counter = count()
    store.connection.set_progress_handler(lambda: next(counter) < 0, 100)
    read()
    return next(counter)


@pytest.mark.slow
@pytest.mark.parametrize("kind", _KINDS)
def test_four_times_the_rows_take_four_times_the_work(tmp_path: Path, kind: Kind) -> None:
    found: list[dict[str, int]] = []
    for rows in (500, 2_000):
        db = tmp_path / f"{rows}.db"
        make_large(db, rows, kind)
        with Store.open(db, read_only=True) as store:
            reads: dict[str, Callable[[], object]] = {
                view: partial(store._rows, f"SELECT * FROM {view}") for view in sorted(view_files())
            }
            reads |= {
                "pairs": lambda: store.pairs(1),
                "balance": lambda: store.label_balance(1),
                "confidences": lambda: store.confidence_counts(1, 0.3),
                "lengths": lambda: (store.text_lengths(1, "input"), store.text_lengths(1, "output")),
                "twins": lambda: store.near_twins(1, 30),
                "outcomes": lambda: store.input_outcomes(1, 7),
                "unanswered": lambda: store.unanswered(1, "sample", 1),
            }
            found.append({name: steps(store, read) for name, read in reads.items()})
    few, many = found
    for name, taken in many.items():
        assert taken <= 5 * few[name] + 100, (name, few[name], taken)
