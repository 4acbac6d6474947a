"""A thinking block is cut from an answer, and the store keeps the whole text."""

from pathlib import Path

import pytest

from selfguide_lite.core.settings import Settings
from selfguide_lite.llm.base import Completion
from selfguide_lite.llm.thinking import without_thinking
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.store.query import query
from selfguide_lite.synthesis.generate import InputPrompt, _new_input
from selfguide_lite.task import Example, Task


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>\nIs it?\n</think>\n\nyes", "yes"),
        ("<think>\n\n</think>\n\nyes", "yes"),
        ("Is it? It is.\n</think>\n\nyes", "yes"),  # the opening mark stood in the prompt
        ("<think>\nIs it? Is it?", ""),  # cut off while it thought
        ("[THINK]hm[/THINK]yes", "yes"),
        ("yes", "yes"),
        ("a <think> b", "a <think> b"),
        ("the tags <think> and </think> mark a block", "the tags <think> and </think> mark a block"),
        ("", ""),
    ],
)
def test_cut(text: str, answer: str) -> None:
    assert without_thinking(text) == answer


def test_the_store_keeps_the_whole_text(tmp_path: Path) -> None:
    whole = "<think>\nhm\n</think>\n\nA red sky"
    task = Task(name="sky", kind="generation", instruction="Say it.", examples=(Example(input="a", output="b"),))
    with Store.open(tmp_path / "sky.db") as store:
        task_id = store.add_task(task)
        run_id = store.start_run(task_id, "generate", None, Settings(), 0, None)
        done = Completion("k", 0, "A red sky", "stop", 1, 2, -1.0, raw=whole)
        prompt = InputPrompt(0, 0, None, (0,), (), ())
        input_id = store.add_input(_new_input(task_id, run_id, prompt, done))
        plain = store.add_input(NewInput(task_id, run_id, 0, 1, "A blue sky"))
        outputs = [NewOutput(input_id, run_id, 0, "yes", raw="<think></think>yes"), NewOutput(plain, run_id, 0, "no")]
        assert store.add_outputs(outputs) == 2
        assert store.add_outputs(outputs) == 0  # a second time changes nothing
    statement = (
        "SELECT ifnull(i.text, o.text), r.text FROM raw_text AS r LEFT JOIN input AS i"
        " ON i.id = r.input_id LEFT JOIN output AS o ON o.id = r.output_id ORDER BY r.rowid"
    )
    with query(tmp_path / "sky.db", statement) as (_, rows):
        assert [tuple(row) for row in rows] == [("A red sky", whole), ("yes", "<think></think>yes")]
