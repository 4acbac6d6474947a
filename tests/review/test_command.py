"""Reviewing in the terminal, and what the command says of the data."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from stories import SHOP

from selfguide_lite.cli import main
from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewInput, NewOutput, Store


@pytest.fixture
def db(tmp_path: Path) -> Path:
    task = SHOP.model_copy(update={"settings": Settings(calibrate=False, near_duplicate_threshold=None, balance=False)})
    with Store.open(tmp_path / "a.db") as store:
        store.add_task(task)
        run = store.start_run(1, "generate", None, task.settings, 1, None)
        for number, thing in enumerate(("lamp", "\x1b[31mred\x1b[0m soup", "boat", "coat", "violin")):
            made = store.add_input(NewInput(1, run, 0, number, f"What about the {thing}?", "happy"))
            share = 0.6 + number / 20
            store.add_outputs(
                [NewOutput(made, run, 0, "happy", "score", share), NewOutput(made, run, 1, "upset", "score", 1 - share)]
            )
    return tmp_path / "a.db"


@pytest.mark.slow
def test_the_terminal_does_the_same(db: Path) -> None:
    words = ["review", "-d", str(db), "--terminal", "--order", "doubt", "--reviewer", "Ada"]
    done = CliRunner().invoke(main, words, input="?a" + "ua" + "r" + "2" + "eangry\n" + "eupset\n" + "iA boat.\n")
    assert done.exit_code == 0, done.output
    assert "not one of the labels" in done.output and "\x1b[31m" not in done.output
    with Store.open(db, read_only=True) as store:
        rows = store._rows("SELECT input_id, verdict, answer, input FROM review ORDER BY id")
    assert rows == [
        (1, "accept", "happy", None),
        (1, "undo", None, None),
        (1, "accept", "happy", None),
        (2, "reject", None, None),
        (3, "edit", "upset", None),
        (4, "edit", "upset", None),
        (5, "edit", "happy", "A boat."),
    ]
    stopped = CliRunner().invoke(main, words, input="q")
    assert stopped.exit_code == 0 and "0 judged" in stopped.output


def test_a_random_sample_says_how_good_the_data_is(db: Path) -> None:
    nothing = CliRunner().invoke(main, ["review", "-d", str(db), "--quality"])
    assert "Nothing was reviewed at random yet" in nothing.output
    done = CliRunner().invoke(main, ["review", "-d", str(db), "--terminal", "--sample", "4"], input="aaar")
    assert done.exit_code == 0 and "3 of 4 kept pairs are right: 75% (30% to 95%)" in done.output, done.output
    told = CliRunner().invoke(main, ["review", "-d", str(db), "--quality", "--json"])
    (row,) = json.loads(told.output)
    assert (row["name"], row["n"], row["right"]) == ("kept", 4, 3) and row["low"] == pytest.approx(0.3006, abs=1e-4)
    assert CliRunner().invoke(main, ["review", "-d", str(db), "--sample", "4", "--order", "doubt"]).exit_code == 2


def test_noise_terms_in_the_terminal(db: Path) -> None:
    words = ["review", "-d", str(db), "--terminal"]
    done = CliRunner().invoke(main, words, input="nthe boat\nn\nnthe coat\ny\nsq")
    assert "0 judged" in done.output  # one was skipped
    with Store.open(db, read_only=True) as store:
        assert "the coat" in store.noise_terms(1) and "the boat" not in store.noise_terms(1)
