"""Evaluation sets: read, checked, split, freed of leaks; bad ones end in one clear line."""

import json

import pytest

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.task import Example, Task
from selfguide_lite.task.eval_rows import (
    EvalRow,
    eval_rows,
    load_eval,
    rows_hash,
    split_rows,
    unseen_labels,
    without_leaks,
)

TASK = Task(
    name="t",
    kind="classification",
    instruction="Say.",
    labels=("yes", "no", "maybe so"),
    examples=(Example(input="Is it?", output="yes"),),
)


def test_load_eval(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text(
        '\ufeff{"input": " a ", "output": "b"}\n\n{"input": "ü\\n2", "output": ["c", "d "]}\n', encoding="utf-8"
    )
    assert load_eval(path) == [EvalRow("a", ("b",)), EvalRow("ü\n2", ("c", "d"))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no evaluation rows"),
        ("\n \n", "holds no evaluation rows"),
        ('{"input": "a"}\n', "line 1: has no 'output'; it has 'input'"),
        ('{"input": "a", "output": "b"}\n{"question": "a", "output": "b"}\n', "line 2: has no 'input'"),
        ('{"input": "a", "output": ""}\n', "line 1: 'output' is empty"),
        ('{"input": "a", "output": ["b", " "]}\n', "line 1: 'output' is empty"),
        ('{"input": "a", "output": []}\n', "line 1: 'output' is an empty list"),
        ('{"input": " ", "output": "b"}\n', "line 1: 'input' is empty"),
        ('{"input": "a", "output": 3}\n', "line 1: 'output' is int, not a text"),
        ('{"input": "a", "output": null}\n', "line 1: 'output' is NoneType"),
        ('{"input": "a", "output": "\\ud800"}\n', "lone surrogate"),
        ("[1]\n", "line 1: not a JSON object"),
        ('{"input": \n', "line 1: not valid JSON"),
        ("[" * 100_000 + "\n", "line 1: not valid JSON"),
    ],
)
def test_bad_sets_are_one_clear_line(tmp_path, text, message):
    path = tmp_path / "e.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SelfguideError) as error:
        load_eval(path)
    assert str(path) in str(error.value) and message in str(error.value)
    assert "\n" not in str(error.value)


def test_unreadable_sets(tmp_path):
    with pytest.raises(SelfguideError, match="cannot read this evaluation set: No such file"):
        load_eval(tmp_path / "none.jsonl")
    with pytest.raises(SelfguideError, match="cannot read"):
        load_eval(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes('{"input": "é", "output": "b"}'.encode("latin-1"))
    with pytest.raises(SelfguideError, match="not UTF-8"):
        load_eval(tmp_path / "latin.jsonl")


def test_a_task_without_a_set(tmp_path):
    with pytest.raises(SelfguideError, match="has no evaluation set"):
        eval_rows(TASK)


def test_labels_are_checked(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps({"input": "a", "output": "Yes."}) + "\n", encoding="utf-8")
    rows = eval_rows(TASK, path)
    assert unseen_labels(TASK, rows) == ["no", "maybe so"]
    path.write_text(json.dumps({"input": "a", "output": "perhaps"}) + "\n", encoding="utf-8")
    with pytest.raises(SelfguideError, match="line 1: the answer 'perhaps' is not a label"):
        eval_rows(TASK, path)


def test_leaks_are_found_after_folding():
    rows = [EvalRow("Is  IT?", ("yes",)), EvalRow("Other", ("no",))]
    clean, leaked = without_leaks(rows, ["is it?"])
    assert (clean, leaked) == ([rows[1]], [rows[0]])


def test_the_split_is_stable_and_complete():
    rows = [EvalRow(f"row {number}", ("a",)) for number in range(50)]
    validation, test = split_rows(rows, 0.1)
    assert len(validation) == 5 and sorted(validation + test, key=rows.index) == rows
    assert split_rows(rows[::-1], 0.1)[0] == validation[::-1]
    assert split_rows(rows[:2], 0.001)[0] and split_rows(rows[:2], 1.0)[1]
    with pytest.raises(SelfguideError, match="cannot be split"):
        split_rows(rows[:1], 0.5)
    assert rows_hash(validation) != rows_hash(test)


@pytest.mark.parametrize("seed", range(20))
def test_the_split_has_every_label_in_proportion(seed):
    rows = [EvalRow(f"row {number}", ("Rare." if number % 5 == 0 else "often",)) for number in range(60)]
    validation, test = split_rows(rows, 0.2, seed)
    assert len(validation) == 12 and sum(row.references == ("Rare.",) for row in validation) in (2, 3)
    assert sorted(validation + test, key=rows.index) == rows
