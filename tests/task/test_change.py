"""A changed task file: what is said, what is kept, what is answered again, and the way back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from stories import SHOP, told

from selfguide_lite import SelfguideError
from selfguide_lite.cli import main
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.core.settings import Settings
from selfguide_lite.report.facts import collect
from selfguide_lite.store import NewEvaluation, NewInput, NewOutput, OwnInput, PriorKey, Store, VerdictRow
from selfguide_lite.store.own import add_own_inputs
from selfguide_lite.store.versions import versions
from selfguide_lite.task import Example, Task
from selfguide_lite.task_change import TaskChange, bring_in, bring_in_told, look

TASK = SHOP.model_copy(
    update={"settings": Settings(calibrate=False, near_duplicate_threshold=None, balance=False, agreement_filter=False)}
)


def changed(**update: object) -> Task:
    return Task.model_validate({**TASK.model_dump(), **update})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "a.db") as opened:
        opened.add_task(TASK)
        run = opened.start_run(1, "generate", None, TASK.settings, 1, None)
        for number in range(6):
            made = opened.add_input(NewInput(1, run, 0, number, f"The lamp number {number} is here.", "happy"))
            answered(opened, made, "happy" if number % 2 else "upset")
        yield opened


def answered(store: Store, input_id: int, label: str, run: int = 1) -> None:
    labels = store.labels(1)
    store.add_outputs(
        [NewOutput(input_id, run, n, one, "score", 0.9 if one == label else 0.1 / (len(labels) - 1))
         for n, one in enumerate(labels)]
    )  # fmt: skip


def brought(store: Store, task: Task, renamed: dict[str, str] | None = None) -> TaskChange:
    asked: list[TaskChange] = []

    def agree(change: TaskChange) -> bool:
        asked.append(change)
        return True

    assert bring_in(store, task, agree, renamed) == 1
    (change,) = asked
    assert look(store, task) is None and bring_in(store, task) == 1  # nothing is asked again
    return change


def pairs(store: Store) -> list[tuple[str, str]]:
    return [(pair.input, pair.output) for pair in store.pairs(1)]


def test_a_better_instruction_answers_anew_and_the_way_back_is_open(store: Store) -> None:
    before = pairs(store)
    assert len(before) == 6
    with pytest.raises(SelfguideError, match="was begun otherwise"):
        bring_in(store, changed(instruction="Is the customer content?"))
    with pytest.raises(SelfguideError, match="`selfguide run` brings the change in"):
        store.add_task(changed(instruction="Is the customer content?"))
    change = brought(store, changed(instruction="Is the customer content?"))
    assert change.changed == ("the instruction",)
    assert "the 12 answers are put aside, and the inputs are answered again" in change.follows
    assert store.task(1).instruction == "Is the customer content?"
    assert pairs(store) == [] and len(store.unanswered(1, "score", 1)) == 6
    assert store._value("SELECT count(*) FROM output_shelf") == 12
    run = store.start_run(1, "annotate", None, TASK.settings, 1, None)
    for shown in store.pool(1):
        answered(store, shown.id, "upset", run)
    assert {output for _, output in pairs(store)} == {"upset"}
    assert store._rows("SELECT DISTINCT input_task_version, output_task_version FROM provenance") == [(1, 2)]
    brought(store, TASK)
    assert pairs(store) == before and store.unanswered(1, "score", 1) == []
    assert store._value("SELECT count(*) FROM output_shelf") == 12  # those of the second version now
    brought(store, changed(instruction="Is the customer content?"))
    assert {output for _, output in pairs(store)} == {"upset"} and len(pairs(store)) == 6
    assert [version.changed for version in versions(store, 1)] == ["", *["the instruction"] * 3]


def test_a_renamed_label_keeps_its_answers(store: Store) -> None:
    before = pairs(store)
    add_own_inputs(store, 1, [OwnInput("It broke.", "a: row 1", "upset")], "a")
    task = changed(
        labels=["happy", "angry"],
        examples=[
            {"input": one.input, "output": {"upset": "angry"}.get(one.output, one.output)} for one in TASK.examples
        ],
    )
    found = look(store, task)
    assert found is not None and "--rename 'upset=angry'" in found.changed[1] and "again" in " ".join(found.follows)
    change = brought(store, task, {"upset": "angry"})
    assert change.changed == ("the label upset is now called angry",)
    assert "the answers are kept under the new names" in change.follows
    new = {"upset": "angry"}
    assert pairs(store) == [("It broke.", "angry"), *((text, new.get(label, label)) for text, label in before)]
    assert store.unanswered(1, "score", 1) == []
    assert store._value("SELECT count(*) FROM output WHERE text = 'upset'") == 6  # what was generated stays as it was
    for renames, why in (
        ({"angry": "cross"}, "has no label 'cross'"),
        ({"angry": "happy"}, "one name must be old and the other new"),
    ):
        with pytest.raises(SelfguideError, match=why):
            look(store, task, renames)


def test_a_label_that_is_gone_drops_its_pairs_by_a_view(store: Store) -> None:
    task = changed(labels=["happy", "upset", "bored"])
    change = brought(store, task)
    assert change.changed == ("the label bored is new",) and pairs(store) == []
    run = store.start_run(1, "annotate", None, TASK.settings, 1, None)
    for number, shown in enumerate(store.pool(1)):
        answered(store, shown.id, ("happy", "upset", "bored")[number % 3], run)
    add_own_inputs(store, 1, [OwnInput("Nothing happens.", "a: row 1", "bored")], "a")
    assert len(pairs(store)) == 7
    # The prompt that asks has the labels in it where a template shows them, so this is asked for in other words.
    brought(store, TASK)
    assert len(pairs(store)) == 6 and "bored" not in {label for _, label in pairs(store)}
    reasons = store._rows("SELECT label FROM output WHERE id IN (SELECT id FROM filter_output_label_gone)")
    assert reasons == []  # the answers of the first version are there again
    store.connection.execute("UPDATE output SET label = 'bored' WHERE text = 'upset'")
    assert {label for _, label in pairs(store)} == {"happy"}
    assert store._rows("SELECT DISTINCT reason FROM output_verdict WHERE reason IS NOT NULL") == [("label_gone",)]


def test_meanings_shares_and_noise_terms_answer_nothing_anew(store: Store) -> None:
    before = pairs(store)
    task = changed(label_meanings={"happy": "content"}, label_shares={"happy": 0.7, "upset": 0.3})
    change = brought(store, task)
    assert change.changed == ("what the labels mean", "how frequent the labels are")
    assert "the answers are kept" in change.follows and pairs(store) == before
    assert store.task(1).label_meanings == {"happy": "content"}
    noisy = Task.model_validate({**task.model_dump(), "noise_terms": ["number 3"]})
    said: list[str] = []
    assert look(store, noisy) is None and bring_in_told(store, noisy, said.append) == 1  # as ever: terms are rows
    assert len(pairs(store)) == 5
    assert "new: number 3" in said[0] and bring_in_told(store, noisy, said.append) == 1 and len(said) == 1


def test_an_example_changes_bounds_and_prompts(store: Store) -> None:
    longer = Example(input="word " * 200, output="upset")
    change = brought(store, changed(examples=[*TASK.examples, longer]))
    assert change.changed == ("the examples (1 new, 0 removed)",)
    assert "the filters judge them by the new examples" in change.follows
    (bound,) = [one for one in store.length_bounds(1) if one.part == "input"]
    assert bound.n == 4


def test_another_kind_is_another_task(store: Store) -> None:
    with pytest.raises(SelfguideError, match="another kind is another task"):
        look(store, changed(kind="generation", labels=[]))


def test_what_was_measured_belongs_to_its_version(store: Store) -> None:
    model = store.add_model(ModelInfo("tiny", "/tiny.gguf", "0" * 64, "llama", 1))
    new = NewEvaluation(method="few-shot", metric="exact match", model_id=model, n=100)
    first = store.add_evaluation(1, new)
    key = PriorKey(1, model, None, "few-shot", "", "x")
    store.add_prior(key, 30, {"happy": 0.6, "upset": 0.4})
    verdict = VerdictRow(0, 1, None, "exact match", "", 100, "few-shot", 0.5, 0.7, 0.1, 0.3, "Better", first)
    store.add_verdict(verdict)
    brought(store, changed(instruction="Is the customer content?"))
    assert store.evaluations(1) == [] and store.find_prior(key) is None and store.latest_verdict(1) is None
    second = store.add_evaluation(1, new)
    assert second != first and [row.id for row in store.evaluations(1)] == [second]
    store.add_verdict(
        VerdictRow(0, 1, None, "exact match", "", 100, "few-shot", 0.5, 0.6, 0.0, 0.2, "Better still", second)
    )
    assert [(one.number, one.sentence) for one in versions(store, 1)] == [(1, "Better"), (2, "Better still")]
    brought(store, TASK)
    assert [row.id for row in store.evaluations(1)] == [first]
    found = store.latest_verdict(1)
    assert found is not None and found.sentence == "Better" and store.find_prior(key) is not None


@pytest.mark.slow
def test_the_report_shows_gains_by_version(tmp_path: Path) -> None:
    with told(tmp_path / "a.db", SHOP, 2) as store:
        bring_in(store, SHOP.model_copy(update={"instruction": "Is the customer content?"}), lambda _: True)
        facts = collect(store, 1)
    assert [(one.number, one.changed) for one in facts.versions] == [(1, ""), (2, "the instruction")]
    assert facts.versions[0].low is not None and facts.versions[1].low is None and facts.verdict == ""
    done = CliRunner().invoke(main, ["report", "-d", str(tmp_path / "a.db")])
    assert done.exit_code == 0
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "Versions of the task" in page and "not measured" in page


def test_run_refuses_without_a_terminal_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["init", "t.yaml"]).exit_code == 0
    text = Path("t.yaml").read_text(encoding="utf-8")
    from selfguide_lite import load_task

    with Store.open("t.db") as store:
        store.add_task(load_task(Path("t.yaml")))
    Path("t.yaml").write_text(text.replace("Say whether", "Tell whether"), encoding="utf-8")
    done = CliRunner().invoke(main, ["run", "t.yaml"])
    assert done.exit_code == 1 and "changed: the instruction" in done.output and "--yes" in done.output
    assert "follows: the 0 inputs that are there are kept" in done.output
    with Store.open("t.db", read_only=True) as store:
        assert len(versions(store, 1)) == 1
    assert CliRunner().invoke(main, ["run", "t.yaml", "--rename", "x"]).exit_code == 2
