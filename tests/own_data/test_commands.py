"""`add`, `split`, `check` and the fields of the task file, through the real command."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from selfguide_lite.cli import main
from selfguide_lite.store import Store

TASK = """\
name: shop
kind: classification
instruction: Is the customer happy or upset?
labels: [happy, upset]
examples:
  - input: The bread was lovely, thank you!
    output: happy
  - input: I waited for an hour and nobody came.
    output: upset
  - input: Great tea.
    output: happy
"""

Run = Callable[..., Result]


@pytest.fixture
def selfguide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(TASK, encoding="utf-8")

    def run(*words: str, status: int = 0, given: str | None = None) -> Result:
        result = CliRunner().invoke(main, list(words), input=given)
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result

    return run


def held(path: str = "shop.db") -> list[tuple[str, str, str | None]]:
    with Store.open(path, read_only=True) as store:
        return store._rows("SELECT origin, text, answer FROM input ORDER BY id")


@pytest.mark.slow
def test_inputs_and_rows_come_from_files_databases_and_standard_input(selfguide: Run) -> None:
    Path("mail.csv").write_text("id,message\n1,The soup was cold.\n2,So kind of you!\n", encoding="utf-8")
    assert (
        "2 inputs added to shop.db" in selfguide("add", "inputs", "mail.csv", "shop.yaml", "--column", "message").output
    )
    again = selfguide("add", "inputs", "mail.csv", "shop.yaml", "--column", "message").output
    assert "0 inputs added to shop.db, 2 were there already" in again
    selfguide("add", "inputs", "-", given="One more line.\n\nAnd another one.\n")
    selfguide("add", "inputs", "-", "--format", "jsonl", given='{"input": "A line of\\ntwo."}\n')
    with closing(sqlite3.connect("other.db")) as other:
        other.execute("CREATE TABLE t (body)")
        other.execute("INSERT INTO t VALUES ('From a table.')")
        other.commit()
    selfguide("add", "inputs", "-d", "shop.db", "--from-db", "other.db", "--sql", "select body from t")
    Path("rows.jsonl").write_text('{"text": "It broke.", "label": "Upset"}\n', encoding="utf-8")
    told = json.loads(selfguide("add", "rows", "rows.jsonl", "-d", "shop.db", "--json").output)
    assert told == {"new": 1, "known": 0, "refused": [], "contradictions": []}
    assert held() == [
        ("added", "The soup was cold.", None),
        ("added", "So kind of you!", None),
        ("added", "One more line.", None),
        ("added", "And another one.", None),
        ("added", "A line of\ntwo.", None),
        ("added", "From a table.", None),
        ("given", "It broke.", "upset"),
    ]
    shown = selfguide("show", "1", "-d", "shop.db").output
    assert "input 1, from mail.csv: row 2" in shown
    assert "prompts answered, and inputs of your own" in selfguide("status", "-d", "shop.db").output


def test_rows_of_the_evaluation_set_are_refused_by_number(selfguide: Run) -> None:
    Path("held.jsonl").write_text('{"input": "so kind of YOU!", "output": "happy"}\n', encoding="utf-8")
    Path("shop.yaml").write_text(TASK + "eval: held.jsonl\n", encoding="utf-8")
    Path("rows.csv").write_text("input,output\nIt broke.,upset\nSo kind of you!,happy\n", encoding="utf-8")
    told = selfguide("add", "rows", "rows.csv", "shop.yaml").output
    assert "left out, since they are in the evaluation set: rows.csv: row 3" in told and "1 rows added" in told
    Path("more.csv").write_text("input\nSo kind of you!\n", encoding="utf-8")
    assert "more.csv: row 2" in selfguide("add", "inputs", "more.csv", "-d", "shop.db").output  # the set is remembered
    assert held() == [("given", "It broke.", "upset")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "rows", "rows.csv", "shop.yaml"), "rows.csv: row 3, column output: 'angry' is not one of the labels"),
        (("add", "rows", "shop.yaml", "shop.yaml"), "the ending tells the format"),
        (("add", "inputs", "rows.csv", "shop.yaml", "--column", "body"), "has no column 'body'"),
        (("add", "inputs", "none.csv", "shop.yaml"), "none.csv: no such file"),
        (("split", "rows.csv", "--eval", "5"), "rows.csv: 2 rows with an input of their own are too few"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(selfguide: Run, words: tuple[str, ...], said: str) -> None:
    Path("rows.csv").write_text("input,output\nIt broke.,upset\nSo kind!,angry\n", encoding="utf-8")
    result = selfguide(*words, status=1)
    assert said in result.output and len(result.output.strip().splitlines()) == 1
    assert not Path("shop.db").exists()


def test_split_keeps_labels_in_proportion_and_no_input_in_both_parts(selfguide: Run) -> None:
    rows = [f"text number {n},{'happy' if n % 4 else 'upset'}" for n in range(200)] + ["twice,happy", "TWICE,upset"]
    Path("rows.csv").write_text("input,output\n" + "\n".join(rows) + "\n", encoding="utf-8")
    result = selfguide("split", "rows.csv", "--eval", "40", "--seed", "0")
    assert "±12 points; 100 rows give ±8" in result.output and "2 rows whose input occurs more" in result.output
    parts = {
        name: [json.loads(line) for line in Path(f"rows.{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("eval", "train")
    }
    assert Counter(row["output"] for row in parts["eval"]) == {"happy": 30, "upset": 10}
    assert len(parts["train"]) == 162
    folded = {name: {row["input"].lower() for row in part} for name, part in parts.items()}
    assert not folded["eval"] & folded["train"] and "twice" in folded["train"]
    before = Path("rows.eval.jsonl").read_bytes()
    assert "is there already" in selfguide("split", "rows.csv", "--eval", "40", status=1).output
    selfguide("split", "rows.csv", "--eval", "40", "--force")
    assert Path("rows.eval.jsonl").read_bytes() == before
    selfguide("split", "rows.csv", "--eval", "40", "--seed", "1", "--force")
    assert Path("rows.eval.jsonl").read_bytes() != before


def test_check_reads_the_files_that_a_task_names(selfguide: Run) -> None:
    Path("held.jsonl").write_text('{"input": "So kind!", "output": "happy"}\n', encoding="utf-8")
    Path("rows.csv").write_text("message,kind\nIt broke.,upset\nSo kind!,happy\n", encoding="utf-8")
    own = "eval: held.jsonl\ninputs: {file: rows.csv, column: message}\ntrain: {file: rows.csv, input: message}\n"
    Path("shop.yaml").write_text(TASK + own, encoding="utf-8")
    told = selfguide("check", "shop.yaml", status=1).output
    assert "which column? there is none called output or label" in told and "rows.csv: row 3" in told
    Path("shop.yaml").write_text(TASK + own.replace("input: message", "input: message, output: kind"), encoding="utf-8")
    assert ": error:" not in selfguide("check", "shop.yaml").output
    Path("shop.yaml").write_text(TASK + "inputs: {file: rows.csv, colum: message}\n", encoding="utf-8")
    assert "did you mean column" in selfguide("check", "shop.yaml", status=1).output
