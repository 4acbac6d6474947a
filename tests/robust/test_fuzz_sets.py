"""Evaluation sets and benchmark files of any content are read, or refused in one line; labels are found anywhere."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from robustness_counts import count

from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.kinds import kind_named
from selfguide_lite.metrics import exact_match, rouge_l
from selfguide_lite.task import fold, last_label, load_task
from selfguide_lite.task.eval_rows import EvalRow, load_eval
from selfguide_lite.task.natural_instructions import eval_jsonl

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\0", "\ud800", ""])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
TEXTS = st.text(min_size=1, max_size=30)
ROWS = st.fixed_dictionaries({"input": TEXTS | VALUES, "output": TEXTS | st.lists(TEXTS | VALUES, max_size=3) | VALUES})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sets")


def lines(rows: list[object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@given(raw=st.builds(lines, st.lists(ROWS | VALUES, max_size=3)) | st.binary(max_size=100))
@example(raw=b"[" * 100_000)
@example(raw=b'{"input": "a", "output": ' + b"[" * 50_000 + b"]" * 50_000 + b"}")
@example(raw=b'{"input": "a\\u0000", "output": "b"}')
@example(raw=b"1" * 5000)
@example(raw=b"{" + b", ".join(b'"k%d": 1' % n for n in range(9000)) + b"}")
@example(raw=b'\xef\xbb\xbf{"input": "a", "output": "b"}\r\n')
def test_any_evaluation_set_is_read_or_refused(raw: bytes, folder: Path) -> None:
    path = folder / "any.jsonl"
    path.write_bytes(raw)
    try:
        rows = load_eval(path)
    except SelfguideError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error) and len(str(error)) < 600 + len(str(path))
    else:
        assert rows and all(row.input.strip() and all(text.strip() for text in row.references) for row in rows)
        path.write_text(eval_jsonl(rows), encoding="utf-8")
        assert load_eval(path) == rows
    count("inputs")


def benchmark(definition: object, positive: object, instances: object) -> bytes:
    return json.dumps({"Definition": definition, "Positive Examples": positive, "Instances": instances}).encode()


INSTANCES = st.lists(
    ROWS | st.fixed_dictionaries({"input": TEXTS, "output": st.sampled_from(["yes", "no", ["yes"]])}), max_size=8
)
BENCHMARK = st.builds(benchmark, TEXTS | st.lists(TEXTS, max_size=2) | VALUES, INSTANCES | VALUES, INSTANCES | VALUES)
GOOD = benchmark("Say.", [{"input": "a", "output": "b"}], [{"input": "c", "output": ["d"]}])


@given(raw=BENCHMARK | st.binary(max_size=100) | st.integers(0, len(GOOD)).map(lambda end: GOOD[:end]))
@example(raw=GOOD.replace(b'"Say."', b"[" * 900 + b'"x"' + b"]" * 900))
@example(raw=GOOD.replace(b'"c"', b'"\\u0000\\u001b[31m"'))
@example(raw=b"[" * 100_000)
@example(raw=b"[]," * 4_000_001)
def test_any_benchmark_file_is_imported_or_refused(raw: bytes, folder: Path) -> None:
    source, task_path = folder / "task1_any.json", folder / "any.yaml"
    source.write_bytes(raw)
    result = CliRunner().invoke(main, ["import-ni", str(source), "-o", str(task_path), "--force"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert all(character == "\n" or character >= " " for character in result.output), result.output
    if result.exit_code:
        assert result.output.startswith("Error: ") and result.output.count("\n") == 1, result.output
    else:
        task = load_task(task_path)
        assert task.eval is not None and load_eval(task.eval)
    count("inputs")


def words_of(text: str) -> list[str]:
    """Split where `last_label` sees the edge of a word; ASCII only, so that the rule is plain."""
    found, word = [], ""
    for character in text:
        if character.isalnum() or character == "_":
            word += character
        else:
            found += [word, character] if word else [character]
            word = ""
    return [*found, word] if word else found


@given(
    labels=st.lists(
        st.text("ab_ -", min_size=1, max_size=4).map(fold).filter(bool), min_size=1, max_size=4, unique=True
    ),
    text=st.text("abAB_ -\n", max_size=30),
)
def test_the_last_label_is_that_of_a_slow_search(labels: list[str], text: str) -> None:
    folded = fold(text)
    pieces = words_of(folded)
    edges = {0, *(sum(map(len, pieces[: n + 1])) for n in range(len(pieces)))}
    found = [
        (start + len(label), len(label), label)
        for label in labels
        for start in range(len(folded))
        if folded.startswith(label, start) and {start, start + len(label)} <= edges
    ]
    assert last_label(text, labels) == (max(found)[2] if found else None)


@given(text=st.text(max_size=60), labels=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5))
@example(text="ﬃ" * 20, labels=["ffi"])
@example(text="İ", labels=["i"])
@example(text="\0", labels=["\0", " "])
@example(text="은 예다", labels=["예"])
def test_matching_any_labels_in_any_text(text: str, labels: list[str]) -> None:
    found = last_label(text, labels)
    assert found is None or (found in labels and fold(found) in fold(text))
    for label in labels:
        if fold(label):
            assert last_label(label, [label]) == label
            assert last_label(f"{text}. {label}", [label]) == label
    count("inputs")


@given(prediction=st.text(max_size=60), references=st.lists(st.text(max_size=40), min_size=1, max_size=3))
def test_any_answer_has_a_score(prediction: str, references: list[str]) -> None:
    assert 0 <= rouge_l(prediction, references) <= 1
    assert exact_match(prediction, references) in (0, 1)
    assert exact_match(references[0], references) == 1
    count("inputs")


def test_an_endless_answer_is_matched_and_scored() -> None:
    text = "ab " * 200_000
    assert last_label(text, ["b", "ab", "a" * 1000]) == "ab"
    assert last_label("b" * 500_000, ["b"]) is None
    assert kind_named("classification").score(text, ["ab"], ["ab"]) == 1
    count("inputs", 3)


def test_written_rows_hold_no_terminal_codes(folder: Path) -> None:
    rows = [EvalRow("\x1b]8;;x\x07 \x9b31m \u202e", ("\x85\u2028", "\x7f"))]
    text = eval_jsonl([EvalRow(rows[0].input, ("a\x85b", "\x7f"))])
    assert all(character == "\n" or character.isprintable() for character in text)
    path = folder / "hostile.jsonl"
    path.write_text(text, encoding="utf-8")
    assert load_eval(path) == [EvalRow(rows[0].input, ("a\x85b", "\x7f"))]
