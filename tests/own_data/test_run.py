"""Whole runs on a person's own inputs and rows, with the tiny model."""

import json
from pathlib import Path

import pytest
from needs import needs

from selfguide_lite import RunOptions, Store, Task, load_task, run
from selfguide_lite.core.progress import NullListener
from selfguide_lite.core.resources import resource
from selfguide_lite.experiments.comparison import compare
from selfguide_lite.experiments.methods import GIVEN_ALONE, OF_GIVEN_ROWS, SELF_MADE_ALONE
from selfguide_lite.llm import open_engine
from selfguide_lite.own_data import OwnData
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import OwnInput
from selfguide_lite.store.own import add_own_inputs
from selfguide_lite.synthesis import synthesize
from selfguide_lite.task.eval_rows import EvalRow, load_eval

needs("unsloth")
pytestmark = pytest.mark.slow

TINY = resource("tests/tiny_tasks/cheer-or-grumble.yaml")


class Notes(NullListener):
    """Remembers what was noted."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task with 60 inputs, 12 given rows and 24 evaluation rows, one of which is among the inputs."""
    made = tmp_path_factory.mktemp("own")
    rows = load_eval(TINY.with_name("cheer-or-grumble.eval.jsonl"))
    (made / "inputs.csv").write_text(
        "said\n" + "".join(f'"{row.input}"\n' for row in rows[:60]) + f'"{rows[-1].input}"\n', encoding="utf-8"
    )
    for name, part in (("rows", rows[60:72]), ("held", rows[-24:])):
        (made / f"{name}.jsonl").write_text(
            "".join(json.dumps({"input": row.input, "output": row.references[0]}) + "\n" for row in part),
            encoding="utf-8",
        )
    text = TINY.read_text(encoding="utf-8").replace("eval: cheer-or-grumble.eval.jsonl", "eval: held.jsonl")
    (made / "task.yaml").write_text(text + "inputs: inputs.csv\ntrain: rows.jsonl\n", encoding="utf-8")
    return made


def loaded(folder: Path) -> Task:
    return load_task(folder / "task.yaml")


def test_without_rounds_own_inputs_alone_are_answered_and_trained_on(folder: Path) -> None:
    notes = Notes()
    result = run(loaded(folder), folder / "a.db", RunOptions(settings={"rounds": 0, "epochs": 1}, listener=notes))
    assert any("inputs.csv: row 62" in note and "evaluation set" in note for note in notes.said)
    with Store.open(folder / "a.db", read_only=True) as store:
        stages = dict(store._rows("SELECT origin, count(*) FROM input GROUP BY origin"))
        assert stages == {"added": 60, "given": 12}
        assert store._value("SELECT count(DISTINCT input_id) FROM output") >= 50
        assert (
            store._value("SELECT count(*) FROM output WHERE input_id IN (SELECT id FROM input WHERE answer <> '')") == 0
        )
        pairs = store.pairs(1)
        assert sum(pair.by_hand == "given" for pair in pairs) == 12 and result.pairs == len(pairs) > 30
    assert result.adapter is not None and result.adapter.is_file()
    again = run(loaded(folder), folder / "a.db", RunOptions(settings={"rounds": 0, "epochs": 1}))
    assert again.pairs == result.pairs


def test_compare_shows_given_rows_alone_self_made_alone_and_both(folder: Path) -> None:
    table = compare(
        loaded(folder), folder / "a.db", methods=[*OF_GIVEN_ROWS, "finetuned scored"],
        options=RunOptions(settings={"rounds": 0, "epochs": 1}),
    )  # fmt: skip
    both = table.line("finetuned scored").pairs
    assert table.line(GIVEN_ALONE).pairs == 12
    made = table.line(SELF_MADE_ALONE.name).pairs
    assert both is not None and made is not None and 12 < made < both
    assert {"few-shot", GIVEN_ALONE, SELF_MADE_ALONE.name, "finetuned scored"} <= {line.method for line in table.lines}


def test_without_given_rows_compare_has_no_such_lines(folder: Path) -> None:
    table = compare(
        loaded(folder).model_copy(update={"train": None}), folder / "b.db", methods=["few-shot", *OF_GIVEN_ROWS],
        options=RunOptions(settings={"rounds": 0, "epochs": 1}),
    )  # fmt: skip
    assert not {line.method for line in table.lines} & set(OF_GIVEN_ROWS)


def test_own_inputs_are_shown_to_the_writer_with_their_answers(folder: Path) -> None:
    task = loaded(folder)
    changes = {"rounds": 1, "prompts_per_round": 4, "max_pool_inputs": 4, "annotate_each_round": True}
    settings = task.rules.resolve(task.settings.changed(changes | {"input_style": "chat-turns"}))
    with Store.open(folder / "c.db") as store, open_engine(None) as engine:
        task_id = store.add_task(task)
        own = OwnData.of(task)
        own.take_in(store, task_id, [EvalRow("nothing", ("cheer",))], NullListener())
        add_own_inputs(store, task_id, [OwnInput("The canoe was fine.", "x: row 1")], "x")
        context = RunContext(store, task_id, settings)
        synthesize(context, engine)
        shown = store._rows("SELECT pool_inputs FROM input WHERE origin = 'generated' ORDER BY prompt")
        assert len(shown) == 4 and all(len(json.loads(ids)) == 4 for (ids,) in shown)
        ids = {number for (text,) in shown for number in json.loads(text)}
        origins = {store._value("SELECT origin FROM input WHERE id = ?", number) for number in ids}
        assert origins <= {"added", "given"}
        labelled = {one.id: one for one in store.agreeing_pool(task_id)}
        assert {labelled[number].answer for number in ids} == set(task.labels)  # labels take turns
