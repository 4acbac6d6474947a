"""The conversation in the terminal: probabilities, before and after, and inputs that are kept."""

import json
from pathlib import Path

import yaml
from answering_model import CALIBRATED, TINY, answering, inputs
from click.testing import CliRunner

from selfguide_lite.chat import Chat
from selfguide_lite.cli import main
from selfguide_lite.core.lock import exclusive
from selfguide_lite.prediction import Choice, PredictOptions, Predictor, Way, load
from selfguide_lite.store import Store
from selfguide_lite.store.versions import versions
from selfguide_lite.task import Example


def test_inputs_are_answered_and_kept(tmp_path: Path) -> None:
    db = answering(tmp_path / "a.db")
    text = inputs(1)[0]
    typed = ["", ":nothing", ":keep", text, ":keep", ":keep angry", ":keep Grumble", ":keep grumble", ":quit", "never"]
    result = CliRunner().invoke(
        main, ["chat", "-d", str(db), "-m", str(TINY), "--method", CALIBRATED], input="\n".join(typed) + "\n"
    )
    assert result.exit_code == 0, result.output
    assert "no such command" in result.output and "There is no input to keep yet." in result.output
    assert "cheer" in result.output and "%" in result.output and "is not one of the labels" in result.output
    with Store.open(db, read_only=True) as store:
        rows = store._rows("SELECT text, answer, source FROM input WHERE origin = 'given' ORDER BY id")
    with load(db, PredictOptions(model=TINY, method=CALIBRATED)) as model:
        (label,) = model.predict([text])
    assert rows[0] == (text, label, "chat") and {row[1] for row in rows} == {label, "grumble"}


def test_an_input_becomes_an_example_of_the_task(tmp_path: Path) -> None:
    db = answering(tmp_path / "a.db")
    held_out, text = inputs(2)
    (tmp_path / "held.jsonl").write_text(json.dumps({"input": held_out, "output": "cheer"}) + "\n", encoding="utf-8")
    with Store.open(db) as store, load(db, PredictOptions(model=TINY, method=CALIBRATED)) as model:
        store.add_task(store.task(1).model_copy(update={"eval": tmp_path / "held.jsonl"}))
        before = store.task(1)
        chat = Chat(store, 1, model)
        chat.say(held_out)
        assert "evaluation set" in (chat.say(":keep --example") or "")
        chat.say(text)
        assert "is not one of the labels" in (chat.say(":keep --example angry") or "")
        assert len(versions(store, 1)) == 1
        told = chat.say(":keep --example Grumble") or ""
        assert "already" in (chat.say(":keep --example") or "")
        with exclusive(db):
            assert "another run" in (chat.say(":keep") or "")
        after = store.task(1)
        more = (*before.examples, Example(input=text, output="grumble"))
        assert after == before.model_copy(update={"examples": more})
        assert [version.number for version in versions(store, 1)] == [1, 2]
        assert store._value("SELECT count(*) FROM input") == 0
    said, _, lines = told.partition("\n")
    assert said.startswith(f"kept as example {len(after.examples)}: grumble")
    assert yaml.safe_load(lines) == [{"input": text, "output": "grumble"}]  # as it goes into the task file


def test_before_and_after_stand_side_by_side(tmp_path: Path) -> None:
    """The model without an adapter stands in for the finetuned one: both columns are the same then."""
    db = answering(tmp_path / "a.db")
    with Store.open(db) as store, load(db, PredictOptions(model=TINY, method="few-shot scored")) as plain:
        choice = plain.choice
        finetuned = Choice(choice.task, Way("finetuned scored"), choice.base, None)
        chat = Chat(store, 1, Predictor(finetuned, plain.engine, plain.prompts))
        told = chat.say(inputs(1)[0])
        assert told is not None
        head, *rows = told.splitlines()
        assert head.split() == ["before", "after"] and len(rows) == 2
        assert all(row.split()[1] == row.split()[2] for row in rows) and sum("*" in row for row in rows) == 1
        assert chat.say(":quit") is None
