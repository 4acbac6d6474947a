"""Anything at all in place of a task file, a settings file or a list of settings: read, or refused in clear lines."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from robustness_counts import count

from selfguide_lite.cli import main
from selfguide_lite.cli.common import given_settings
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.resources import resource
from selfguide_lite.core.settings import Settings
from selfguide_lite.task import Task, fold, load_task

pytestmark = pytest.mark.slow

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
DEMO = resource("tests/tiny_tasks/who-was-there.yaml").read_bytes()
GOOD = """\
name: shop
kind: classification
instruction: Happy or upset?
labels: [happy, upset]
examples:
- {input: "The bread was lovely, thank you!", output: happy}
- {input: I waited for an hour., output: upset}
- {input: Great., output: happy}
"""

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["classification", "generation", "happy", "\0", "\x1b[31m", "\u202e", "\ud800", "", " ", "1e999"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
SETTINGS = st.dictionaries(st.sampled_from(sorted(Settings.model_fields)) | st.text(max_size=10), VALUES, max_size=5)
EXAMPLES = st.lists(
    st.dictionaries(st.sampled_from(["input", "output"]) | st.text(max_size=5), VALUES, max_size=3), max_size=4
)
TYPES = st.sampled_from(["string", "number, optional", "list of date", "enum", "boolean"])
OPTIONS = st.sampled_from(["type", "optional", "values", "verbatim", "max_length", "max_items", "description"])
PLAUSIBLE = {
    "name": st.text(max_size=20),
    "kind": st.sampled_from(["classification", "extraction", "generation"]),
    "schema": st.dictionaries(
        st.text(max_size=5), TYPES | st.dictionaries(OPTIONS, TYPES | VALUES, max_size=4), max_size=3
    )
    | st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(st.text(max_size=5), VALUES)}),
    "instruction": st.text(max_size=40),
    "labels": st.lists(st.text(max_size=8) | st.sampled_from(["happy", "upset"]), max_size=4),
    "examples": EXAMPLES,
    "noise_terms": st.lists(st.text(max_size=8), max_size=3),
    "settings": SETTINGS,
    "eval": st.text(max_size=20),
}


@st.composite
def task_like(draw: st.DrawFn) -> object:
    """A task's own fields, some of them missing, with values that fit or do not; sometimes an unknown one."""
    fields = draw(st.sets(st.sampled_from(sorted(PLAUSIBLE)), min_size=3))
    content: dict[str, object] = {name: draw(PLAUSIBLE[name] | VALUES) for name in sorted(fields)}
    return content | draw(st.dictionaries(st.text(max_size=12), VALUES, max_size=1))


def written(content: object, form: str) -> bytes:
    """A value as a person or a program could write it."""
    if form == "json":
        return json.dumps(content).encode()
    if form == "raw json":
        return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
    text = yaml.safe_dump(content, default_flow_style=form == "flow", allow_unicode=form == "block")
    return text.encode("utf-8", "surrogatepass")


STRUCTURED = st.builds(written, task_like() | VALUES, st.sampled_from(["json", "raw json", "flow", "block"]))
SNIPPETS = st.sampled_from(
    [
        b"&a ",
        b"*a",
        b"!!int ",
        b"!!timestamp x",
        b"<<: ",
        b"? ",
        b"- ",
        b"\t",
        b"\0",
        b"\r",
        b"'",
        b'"',
        b"|\n",
        b"{",
        b"[",
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real task file with pieces replaced by other bytes."""
    raw = DEMO
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(SNIPPETS | st.binary(max_size=6)) + raw[at + draw(st.integers(0, 12)) :]
    return raw


ANYTHING = (
    STRUCTURED | mutated() | st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))
)


def tried(*arguments: object) -> click.testing.Result:
    """Run a command: it may say no, but only in plain lines."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 1)
    assert "Traceback" not in result.output and not CONTROL.search(result.output), result.output
    count("inputs")
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(raw=ANYTHING)
@example(raw=b"name: !!timestamp x")
@example(raw=b"name: !!float ''")
@example(raw=b"name: !!bool x")
@example(raw=b'name: "\\ud800"')
@example(raw=b'{"name\\n": "x"}')
def test_check_reads_or_refuses(raw: bytes, folder: Path) -> None:
    path = folder / "any.yaml"
    path.write_bytes(raw)
    result = tried("check", path)
    lines = result.output.splitlines()
    assert lines and all(line.startswith(("Error: ", f"{path}:")) for line in lines), result.output
    as_json = tried("check", path, "--json")
    if as_json.output.startswith("{"):
        told = json.loads(as_json.output)
        assert (told["task"] is None) == (as_json.exit_code == 1)
    assert as_json.exit_code == result.exit_code


@given(raw=ANYTHING)
@example(raw=b'"\\n": x\nname: x\nkind: generation\ninstruction: x\nexamples: [{input: x, output: x}]')
def test_run_refuses_before_a_model_is_loaded(raw: bytes, folder: Path) -> None:
    path = folder / "any.yaml"
    path.write_bytes(raw)
    result = tried("run", path, "-d", folder / "any.db", "-m", folder / "missing.gguf", "--quiet")
    assert result.exit_code == 1
    assert result.output.startswith("Error: ") and result.output.count("\n") == 1, result.output
    try:
        load_task(path)
    except SelfguideError as error:
        assert not (folder / "any.db").exists() and "\n" not in str(error)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
HEAD = "name: shop\nkind: generation\ninstruction: x\nexamples: [{input: a, output: b}]\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "aliases are not supported"),
        (f"name: {'[' * 100_000}", "nested too deep"),
        (f"{'? ' * 100_000}", "nested too deep"),
        ("- a\n" * 200_000, "more than 20,000 values"),
        ("#" * 2**20 + "\n", "larger than 1 MiB"),
        ("name: a\0b", "U+0000 is not allowed"),
        ('name: "a\\0b"', "NUL"),
        (HEAD + 'eval: "a\\0b"', "NUL"),
        (HEAD + 'noise_terms: ["\\0"]', "NUL"),
        (HEAD + "eval: " + "x" * 5000, "longer than 1,000"),
        (HEAD + "eval: " + "x" * 300, "File name too long"),
        (HEAD + "eval: .", "Is a directory"),
        (HEAD + "eval: /dev/zero", "longer than"),
        ('name: "\\ud800"', "name"),
        ("name: !!timestamp x", "tag"),
        ("name: !!python/object/apply:os.system [ls]", "tag"),
        ("name: !!binary 'AAAA'", "tag"),
        ("!!set {a, b}", "tag"),
        ("x: {!!merge <<: {a: b}}", "tag"),
        ("{[a]: b}", "unhashable"),
        (HEAD + "~: x", "is no name"),
        (HEAD + "name: other", "given twice"),
        ("%YAML 9.9\n--- {}", "version"),
        (HEAD + "settings: {rounds: 99999999999999999999}", "settings.rounds"),
        (HEAD + "settings: {length_slack_min: 99999999999999999999}", "settings.length_slack_min"),
        (HEAD + "settings: {length_deviations: inf}", "settings.length_deviations"),
        (HEAD + "settings: {min_vote_share: nan}", "settings.min_vote_share"),
        (HEAD.replace("[{", "[" + "{input: a, output: b}, " * 1000 + "{"), "more than the 1,000 entries"),
        (HEAD.replace("name: shop", "name: '" + "n" * 201 + "'"), "name"),
        (HEAD.replace("name: shop", "name: '   '"), "name"),
        (HEAD + "".join(f"k{n}: v\n" for n in range(9000)), "no such field"),
        (HEAD.replace("shop", "shop\n\u0085x: \x7f"), "U+007F is not allowed"),
        (HEAD + f"? {'x' * 100_000}\n: 1", "no such field"),
    ],
    ids=lambda value: value[:30] if len(value) < 200 else value[:10],
)
def test_files_made_to_harm_are_refused_in_one_line(text: str, says: str, folder: Path) -> None:
    path = folder / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    for arguments in (("check", path), ("run", path, "-m", folder / "missing.gguf", "-d", folder / "bad.db")):
        result = tried(*arguments)
        assert result.exit_code == 1
        assert says in result.output, result.output[:500]
        assert max(map(len, result.output.splitlines())) < 600 + len(str(path)), "a line that nobody can read"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
        lambda text: json.dumps(yaml.safe_load(text)).encode(),
        lambda text: json.dumps(yaml.safe_load(text), indent=1).encode(),
    ],
    ids=["BOM", "CRLF", "BOM and CRLF", "JSON", "JSON in lines"],
)
def test_files_from_other_editors_are_the_same_task(change: Callable[[str], bytes], folder: Path) -> None:
    path = folder / "good.yaml"
    path.write_text(GOOD, encoding="utf-8")
    expected = load_task(path)
    path.write_bytes(change(GOOD))
    assert load_task(path) == expected
    assert tried("check", path, "--strict").exit_code == 0


def test_settings_of_a_file_from_another_editor(folder: Path) -> None:
    path = folder / "settings.yaml"
    path.write_bytes(b"\xef\xbb\xbfrounds: 7\r\nbalance: no\r\nlearning_rate: 1e-4\r\nmin_share: 0.5\r\n")
    assert given_settings(path, []) == {"rounds": 7, "balance": False, "learning_rate": 1e-4, "min_vote_share": 0.5}


@given(raw=st.builds(written, SETTINGS | VALUES, st.sampled_from(["json", "flow", "block"])) | st.binary(max_size=60))
@example(raw=BOMB.encode())
@example(raw=b"rounds: !!timestamp x")
@example(raw=b"rounds: 1\nrounds: 2")
@example(raw=b'{"\\n": 1}')
@example(raw=b'{"\\n": 1, "\\n": 1}')
@example(raw=b"[" * 50_000)
def test_any_settings_file_is_read_or_refused(raw: bytes, folder: Path) -> None:
    path = folder / "any-settings.yaml"
    path.write_bytes(raw)
    try:
        found = given_settings(path, [])
    except SelfguideError as error:
        assert "\n" not in str(error) and str(error).startswith(str(path))
    else:
        assert Settings().changed(found).model_dump(exclude_unset=True) == found
        json.dumps(found, allow_nan=False)
    count("inputs")


@given(
    assignment=st.text(max_size=20)
    | st.builds("{}={}".format, st.sampled_from(sorted(Settings.model_fields)), st.text(max_size=20))
)
@example(assignment="rounds=!!timestamp x")
@example(assignment="rounds=*a")
@example(assignment="seed=\ud800")
def test_any_assignment_is_read_or_wrong_usage(assignment: str) -> None:
    try:
        found = given_settings(None, [assignment])
    except click.BadParameter as error:
        assert "\n" not in error.message.replace(assignment, "")
    else:
        Settings().changed(found)
    count("inputs")


def peak(*arguments: object) -> tuple[int, int, str]:
    """Run the tool in a process of its own; return its status, its largest resident size in bytes and what it said."""
    command = [sys.executable, "-m", "selfguide_lite", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    count("inputs")
    return process.returncode, usage.ru_maxrss * 1024, said


def test_a_gigabyte_in_one_line_takes_no_memory(tmp_path: Path) -> None:
    good, huge = tmp_path / "good.yaml", tmp_path / "huge.yaml"
    good.write_text(GOOD, encoding="utf-8")
    with huge.open("wb") as file:
        file.truncate(2**30)
    pointing = tmp_path / "pointing.yaml"
    pointing.write_text(f"{GOOD}eval: {huge}\n", encoding="utf-8")
    status, usual, said = peak("check", good)
    assert status == 0, said
    missing = tmp_path / "missing.gguf"
    for arguments, says in (
        (("check", huge), "larger than 1 MiB"),
        (("run", huge, "-m", missing), "larger than 1 MiB"),
        (("run", good, "-m", missing, "--settings", huge), "larger than 1 MiB"),
        (("check", pointing), "longer than"),
        (("check", "/dev/zero"), "larger than 1 MiB"),
        (("import-ni", huge), "larger than any task"),
    ):
        status, most, said = peak(*arguments)
        assert status == 1 and says in said and said.count("\n") == 1, said
        assert most < usual + 64 * 2**20, f"{arguments[0]}: {most / 2**20:.0f} MiB, usually {usual / 2**20:.0f}"


@given(text=st.text(max_size=300))
def test_folding_twice_is_folding_once_and_long_texts_fold_alike(text: str) -> None:
    assert fold(fold(text)) == fold(text) or not text.isascii()
    padded = text + " " * 1000  # over the length from which runs of combining marks are looked for
    if "\N{COMBINING GRAPHEME JOINER}" not in fold(padded):
        assert fold(padded) == fold(text)


def test_folding_an_endless_run_of_combining_marks_is_linear() -> None:
    # Sorting them, as normalizing does, takes seconds for this many and grows with the square of their number.
    marks = "a" + "\u0301\u0323" * 200_000
    assert len(fold(marks)) >= 400_000


@given(
    examples=st.lists(
        st.tuples(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20)), min_size=1, max_size=3
    )
)
def test_a_valid_task_is_never_refused(examples: list[tuple[str, str]], folder: Path) -> None:
    usable = [(a, b) for a, b in examples if a.strip() and b.strip() and "\0" not in a + b]
    if not usable:
        return
    content = {
        "name": "t",
        "kind": "generation",
        "instruction": "Do it.",
        "examples": [{"input": a, "output": b} for a, b in usable],
    }
    path = folder / "valid.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert load_task(path) == Task.model_validate(content)
