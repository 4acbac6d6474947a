"""The commands init and check: files that run as they stand, problems found with line and column."""

import json
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from selfguide_lite.check import check_file
from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.task import load_task, read_task

GOOD = """\
name: shop
kind: classification
instruction: Happy or upset?
labels: [happy, upset]
examples:
  - input: The bread was lovely, thank you!
    output: happy
  - input: I waited for an hour.
    output: upset
  - input: Great.
    output: happy
"""


def call(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


def checked(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "task.yaml"
    path.write_text(text, encoding="utf-8")
    return [f"{f.line}:{f.column} {f.level} {f.field}: {f.message}" for f in check_file(path)[1]]


@pytest.mark.parametrize("kind", ["classification", "extraction", "generation"])
def test_init_writes_a_task_without_a_warning(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "my-task.yaml"
    done = call("init", path, "--kind", kind)
    assert done.exit_code == 0, done.output
    assert load_task(path).name == "my-task" and load_task(path).kind == kind
    assert "#" in path.read_text(encoding="utf-8")
    # The fields and objects of an extraction task fill most of the tiny model's short context, which check warns of.
    done = call("check", path, *([] if kind == "extraction" else ["--strict"]))
    assert done.exit_code == 0 and "ready to run" in done.output


def test_init_replaces_nothing_unasked(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text("mine", encoding="utf-8")
    done = call("init", path)
    assert done.exit_code == 1 and "is there already" in done.output and path.read_text(encoding="utf-8") == "mine"
    assert call("init", path, "--force").exit_code == 0
    assert load_task(path)


def test_interview_gives_the_task_that_was_told(tmp_path: Path) -> None:
    path = tmp_path / "mood.yaml"
    answers = [
        "Is it: good? #1",
        "classification",
        "好, bad",
        "fine: yes",
        "nonsense",
        "fine: yes",
        "bad",
        "- no",
        "好",
        "'quoted'",
        "BAD",
        "n",
        "y",
    ]
    done = call("init", "--interactive", path, stdin="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    assert "not one of the labels" in done.output and "What the model will be asked" in done.output
    task = load_task(path)
    assert task.instruction == "Is it: good? #1" and task.labels == ("好", "bad")
    assert [(e.input, e.output) for e in task.examples] == [("fine: yes", "bad"), ("- no", "好"), ("'quoted'", "BAD")]


def test_interview_that_is_left_writes_nothing(tmp_path: Path) -> None:
    done = call("init", "-i", tmp_path / "x.yaml", stdin="Do it.\ngeneration\na\n")
    assert done.exit_code == 1 and not (tmp_path / "x.yaml").exists()


def test_a_good_file_has_no_finding(tmp_path: Path) -> None:
    assert checked(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("kind: class", "kind: klass", "2:1 error kind: "),
        ("instruction", "instructions", "3:1 error instructions: no such field; did you mean instruction?"),
        ("    output: upset\n", "", "8:5 error examples.1.output: is missing"),
        ("output: upset", "output: cross", "9:5 error examples.1.output: 'cross' is not one of the labels"),
        ("output: upset", "output:", "9:5 error examples.1.output: must be a text, but it is empty here"),
        ("[happy, upset]", "[happy, Happy]", "4:1 error labels: two of them are the same"),
        ("name: shop", "name: shop\nname: b", "2:1 error name: is given twice"),
        ("name: shop", "name: shop\nsettings: {rounds: -3}", "2:12 error settings.rounds: "),
        ("name: shop", "name: shop\neval: none.jsonl", "2:1 error eval: "),
        ("[happy, upset]", "[happy, upset, so-so]", "4:24 warning labels.2: no example has the label 'so-so' and the "),
        ("Great.", "I waited  for an HOUR.", "10:5 warning examples.2.input: the same input as example 1"),
        (
            "name: shop\nkind: classification\ninstruction: Happy or upset?",
            "name: shop\nnoise_terms: [^great]\nkind: classification\ninstruction: Happy or upset?",
            "11:5 warning examples.2.input: contains the noise term '^great'",
        ),
        (
            "name: shop",
            "name: shop\nsettings: {length_rule: deviations, length_deviations: 1}",
            "11:5 warning examples.2.input: its own length filter would drop this text",
        ),
        ("name: shop", "name: shop\nnoise_terms: [upset]", "5:17 error labels.1: the noise term 'upset' drops every"),
        ("name: shop", "name: shop\nsettings: {input_temperature: 0}", "2:12 warning settings.input_temperature: "),
    ],
)
def test_findings_have_line_and_column(old: str, new: str, finding: str, tmp_path: Path) -> None:
    assert old in GOOD
    findings = checked(tmp_path, GOOD.replace(old, new, 1))
    assert any(found.startswith(finding) for found in findings), findings


def test_few_and_equal_examples_are_warned_of(tmp_path: Path) -> None:
    text = dedent("""\
        name: t
        kind: generation
        instruction: Say it.
        settings: {length_rule: deviations}
        examples:
          - {input: aaaa, output: bbbb}
        """)
    findings = "\n".join(checked(tmp_path, text))
    assert "only 1 example:" in findings
    assert "all inputs have 4 characters: texts of 0 to 14 characters are kept" in findings
    findings = "\n".join(checked(tmp_path, text.replace("deviations", "range")))
    assert "only 1 example:" in findings and "characters" not in findings


def test_prompts_near_the_end_of_the_context_are_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    for words, level in ((180, "warning"), (1000, "error")):
        path.write_text(GOOD.replace("Great.", "apple " * words), encoding="utf-8")
        done = call("check", path)
        assert f"{level}: examples: a prompt of" in done.output, done.output
    assert done.exit_code == 1


def test_examples_over_the_token_bounds_are_warned_of(tmp_path: Path) -> None:
    """Texts like these would be cut: an input in both kinds of task, an answer where it is free text."""
    path = tmp_path / "task.yaml"
    path.write_text(GOOD.replace("name: shop", "name: shop\nsettings: {input_max_tokens: 4}"), encoding="utf-8")
    done = call("check", path)
    assert done.exit_code == 0 and "warning: examples.0.input: its " in done.output
    assert "are over the setting input_max_tokens (4): texts like this one will be cut" in done.output
    free = "name: t\nkind: generation\ninstruction: Say it.\nsettings: {output_max_tokens: 2}\nexamples:\n"
    path.write_text(free + "  - {input: a b, output: one two three four}\n", encoding="utf-8")
    assert "warning: examples.0.output: its " in call("check", path).output


def test_json_answer_and_exit_status(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(GOOD.replace("kind: classification", "kind: x"), encoding="utf-8")
    done = call("check", path, "--json")
    answer = json.loads(done.output)
    assert done.exit_code == 1 and answer["task"] is None
    assert answer["findings"][0] | {"message": ""} == {
        "level": "error",
        "line": 2,
        "column": 1,
        "field": "kind",
        "message": "",
    }


def test_plain_scalars_stay_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(GOOD.replace("happy", "yes").replace("upset", "2024-01-01"), encoding="utf-8")
    assert load_task(path).labels == ("yes", "2024-01-01")


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"- 1", b"name: [", b"\xff\xfe", b"a: \0", b"a: &x [1]\nb: *x",
        b"{" * 50_000, b"[" * 50_000, b"- " * 50_000, b"? [a]\n: b",
        b"\xef\xbb\xbfname: a", b'name: "\\ud800"', b"a: !!python/object/apply:os.system [ls]", b"--- 1\n--- 2",
        b"\t- a",
    ],
)  # fmt: skip
def test_bad_files_get_one_line(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(raw)
    done = call("check", path)
    assert done.exit_code == 1 and "Traceback" not in done.output
    assert all(line.startswith(("Error: ", f"{path}:")) for line in done.output.splitlines())


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "kind", "labels", "examples", "input", "output", "settings", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(data=VALUE, flow=st.booleans())
def test_any_yaml_is_read_or_refused(data: object, flow: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True), encoding="utf-8")
    try:
        task, _, problems = read_task(path)
    except SelfguideError as error:
        assert "\n" not in str(error)
    else:
        assert (task is None) == bool(problems)
