"""Benchmark tasks in: the eleven real ones, and odd ones made here."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from proofs import shared

from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.task import NOISE_TERMS, Example, Task, effective_noise_terms, load_task
from selfguide_lite.task.eval_rows import EvalRow, eval_rows, load_eval
from selfguide_lite.task.natural_instructions import eval_jsonl, import_natural_instructions, task_yaml
from selfguide_lite.task.natural_instructions import read_natural_instructions as read

CLASSIFICATION = {190, 199, 200, 738, 937, 1385, 1386}


@pytest.mark.proof
def test_the_real_tasks(tmp_path):
    files = sorted(shared("ni").glob("task*.json"))
    assert len(files) == 11
    for source in files:
        task_path, eval_path = tmp_path / f"{source.stem}.yaml", tmp_path / "sets" / f"{source.stem}.jsonl"
        imported = import_natural_instructions(source, task_path, eval_path)
        data = json.loads(source.read_text(encoding="utf-8"))
        task = load_task(task_path)
        number = int(source.stem.split("_")[0].removeprefix("task"))
        assert task.kind == ("classification" if number in CLASSIFICATION else "generation"), source.name
        assert task.instruction == data["Definition"][0].strip()
        assert [example.input for example in task.examples] == [
            example["input"].strip() for example in data["Positive Examples"][:3]
        ]
        rows = eval_rows(task)
        assert rows == imported.rows and len(rows) == len(data["Instances"])
        for row, instance in zip(rows, data["Instances"], strict=True):
            assert set(row.references) == {text.strip() for text in instance["output"]}
        if number == 937:
            assert set(task.labels) == {"strengthener", "weakener"}


def ni(tmp_path, **changes):
    data = {
        "Definition": ["Say yes or no."],
        "Positive Examples": [
            {"input": "1", "output": "yes", "explanation": "so"},
            {"input": "2", "output": "no"},
            {"input": "3", "output": "yes"},
            {"input": "4", "output": "no"},
        ],
        "Negative Examples": [],
        "Instances": [{"id": str(n), "input": f"q {n}", "output": ["yes" if n % 2 else "no"]} for n in range(20)],
        **changes,
    }
    path = tmp_path / "task9_odd.json"
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not ...}), encoding="utf-8")
    return path


def instances(*outputs):
    return [{"input": f"q {number}", "output": output} for number, output in enumerate(outputs)]


def test_several_definitions(tmp_path):
    imported = read(ni(tmp_path, Definition=[" First.\r\nSecond line ", "Other"]))
    assert imported.task.instruction == "First.\nSecond line"
    assert imported.notes == ["2 definitions, the first is the instruction"]
    assert read(ni(tmp_path, Definition="Just a text")).task.instruction == "Just a text"


def test_labels_with_blanks_and_odd_case(tmp_path):
    outputs = [["Not  Sure"], ["not sure."], ["not sure"], ["YES"], ["Yes"], ["Yes"], ["yes"], ["yes"], ["yes"]]
    shown = [{"input": "a", "output": "Not sure"}, {"input": "b", "output": "Yes."}, {"input": "c", "output": "never"}]
    imported = read(ni(tmp_path, Instances=instances(*outputs), **{"Positive Examples": shown}))
    assert imported.task.kind == "classification"
    assert imported.task.labels == ("Not Sure", "never", "yes")
    assert [example.output for example in imported.task.examples] == ["Not Sure", "yes", "never"]
    assert imported.rows[1].references == ("not sure.",)


def test_labels_of_punctuation_alone(tmp_path):
    outputs = [["+"], ["-"]] * 5
    shown = [{"input": "a", "output": "+"}, {"input": "b", "output": "-"}]
    assert read(ni(tmp_path, Instances=instances(*outputs), **{"Positive Examples": shown})).task.labels == ("+", "-")


def test_several_answers_are_all_kept(tmp_path):
    path = ni(tmp_path, Instances=instances(["a b", "c", "a b", ""], ["d"], ["e f"], "g", 7))
    imported = read(path)
    assert imported.task.kind == "generation" and imported.task.labels == ()
    assert [row.references for row in imported.rows] == [("a b", "c"), ("d",), ("e f",), ("g",), ("7",)]


def test_kind_can_be_overruled(tmp_path):
    assert read(ni(tmp_path), kind="generation").task.kind == "generation"
    forced = read(ni(tmp_path, Instances=instances(["a"], ["b"], ["c"])), kind="classification").task
    assert forced.labels == ("a", "b", "c", "no", "yes")
    with pytest.raises(SelfguideError, match=r"as a classification task: labels: .*at least two"):
        path = ni(tmp_path, Instances=instances(["a"]), **{"Positive Examples": [{"input": "x", "output": "a"}]})
        read(path, kind="classification")


def test_number_of_examples(tmp_path):
    assert len(read(ni(tmp_path), examples=2).task.examples) == 2
    many = read(ni(tmp_path), examples=9)
    assert len(many.task.examples) == 4 and many.notes == ["it has 4 usable positive examples, not 9"]


def test_without_positive_examples_instances_stand_in(tmp_path):
    imported = read(ni(tmp_path, **{"Positive Examples": ...}))
    assert [example.input for example in imported.task.examples] == ["q 0", "q 1", "q 2"]
    assert len(imported.rows) == 17 and imported.rows[0].input == "q 3"
    with pytest.raises(SelfguideError, match="too few instances"):
        read(ni(tmp_path, Instances=instances(["a"]), **{"Positive Examples": []}))


def test_empty_and_broken_parts_are_left_out_and_said(tmp_path):
    odd = [{"input": "q", "output": [""]}, {"input": "", "output": ["a"]}, {"input": "q"}, "text", None]
    shown = [{"input": "", "output": "yes"}, "text", {"input": "1", "output": ["yes", "no"]}]
    imported = read(ni(tmp_path, Instances=[*instances(["a"]), *odd], **{"Positive Examples": shown}))
    assert imported.rows == [EvalRow("q 0", ("a",))]
    assert imported.task.examples == (Example(input="1", output="yes"),)
    assert "5 instances without an input or an answer left out" in imported.notes


def test_noise_terms_that_the_examples_hold_are_no_noise(tmp_path):
    shown = [{"input": "Input: x\n\nOutput?", "output": "yes"}, {"input": "y", "output": "no"}]
    task = read(ni(tmp_path, **{"Positive Examples": shown})).task
    assert task.noise_terms is None
    left_out = ("^input:", "\n\n")
    assert effective_noise_terms(task) == tuple(term for term in NOISE_TERMS if term not in left_out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Definition": ...}, "has no 'Definition'"),
        ({"Definition": [" "]}, "has no 'Definition'"),
        ({"Instances": ...}, "has no list 'Instances'"),
        ({"Instances": {}}, "has no list 'Instances'"),
        ({"Instances": []}, "none of its 0 instances"),
        ({"Instances": [{"input": "a", "output": []}]}, "none of its 1 instances"),
    ],
)
def test_what_is_no_such_task(tmp_path, changes, message):
    with pytest.raises(SelfguideError) as error:
        read(ni(tmp_path, **changes))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SelfguideError, match="cannot read this file"):
        read(tmp_path / "none.json")
    for content in (b"{", b"\xff\xfe", b"[1]", b"[" * 100_000):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(SelfguideError, match=r"not valid JSON|has no list"):
            read(tmp_path / "bad.json")


lines = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\n \t:#'\"-|>"))
texts = lines.map(str.strip).filter(bool)


@given(texts, st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
def test_written_task_files_read_back_the_same(tmp_path_factory, instruction, pairs):
    examples = tuple(Example(input=left, output=right) for left, right in pairs)
    task = Task(name="t", kind="generation", instruction=instruction, examples=examples)
    path = tmp_path_factory.mktemp("task") / "t.yaml"
    path.write_bytes(task_yaml(task).encode())
    assert load_task(path) == task


def test_multi_line_texts_are_literal_blocks():
    example = Example(input="one \n  two\n\nthree: é", output="yes")
    task = Task(name="t", kind="generation", instruction="Do", examples=(example,), noise_terms=("a",))
    assert task_yaml(task) == (
        "name: t\nkind: generation\ninstruction: Do\nexamples:\n- input: |-\n    one \n      two\n\n    three: é\n"
        "  output: 'yes'\nnoise_terms:\n- a\n"
    )


@given(st.lists(st.builds(EvalRow, texts, st.lists(texts, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=4))
def test_written_evaluation_sets_read_back_the_same(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("eval") / "e.jsonl"
    path.write_bytes(eval_jsonl(rows).encode())
    assert load_eval(path) == rows


def test_the_command(tmp_path):
    source = ni(tmp_path)
    arguments = ["import-ni", str(source), "-o", str(tmp_path / "t.yaml"), "--eval", str(tmp_path / "sub" / "e.jsonl")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "t.yaml: classification, 3 examples, labels no, yes" in result.output
    assert "20 evaluation rows" in result.output
    assert len(eval_rows(load_task(tmp_path / "t.yaml"))) == 20
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0
    (tmp_path / "t.yaml").write_text("mine", encoding="utf-8")
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 1 and "is there already" in refused.output
    assert (tmp_path / "t.yaml").read_text(encoding="utf-8") == "mine"
    assert CliRunner().invoke(main, [*arguments, "--force"]).exit_code == 0
    missing = CliRunner().invoke(main, ["import-ni", str(tmp_path / "no.json")])
    assert missing.exit_code == 1 and "cannot read this file" in missing.output
