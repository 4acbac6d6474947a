"""Every kind of table gives the same rows; every mistake names file, row and column."""

import csv
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needs import needs

from selfguide_lite import SelfguideError
from selfguide_lite.store.foreign import database_table
from selfguide_lite.tabular import Table, read_lines, read_table

ROWS = [
    {"input": 'The tea was lovely,\n"really".', "output": "happy"},
    {"input": "Nobody came; I waited.", "output": "upset"},
    {"input": "مرحبا 🙂", "output": "happy"},
]


def as_jsonl(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    return path


def as_csv(folder: Path, delimiter: str = ",", name: str = "rows.csv") -> Path:
    path = folder / name
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["output", "input"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def as_parquet(folder: Path) -> Path:
    needs("pyarrow", "needs pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), folder / "rows.parquet")
    return folder / "rows.parquet"


def as_excel(folder: Path) -> Path:
    needs("openpyxl", "needs openpyxl")
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.append(["input", "output"])
    for row in ROWS:
        sheet.append([row["input"], row["output"]])
    book.save(folder / "rows.xlsx")
    return folder / "rows.xlsx"


def as_datasets(folder: Path) -> Path:
    needs("datasets", "needs datasets")
    import datasets

    names = ["happy", "upset"]
    features = datasets.Features({"input": datasets.Value("string"), "output": datasets.ClassLabel(names=names)})
    made = datasets.Dataset.from_list(ROWS, features=features)
    datasets.DatasetDict({"train": made, "test": made.select([0])}).save_to_disk(str(folder / "saved"))
    return folder / "saved"


MAKERS: dict[str, Callable[[Path], Path]] = {
    "jsonl": as_jsonl,
    "csv": as_csv,
    "semicolons": lambda folder: as_csv(folder, ";"),
    "tsv": lambda folder: as_csv(folder, "\t", "rows.tsv"),
    "parquet": as_parquet,
    "excel": as_excel,
    "datasets": as_datasets,
}


def texts(table: Table) -> list[tuple[str, str]]:
    return [(table.text(row, "input"), table.text(row, "output")) for row in table.read()]


@pytest.mark.parametrize("kind", MAKERS)
def test_every_format_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    table = read_table(MAKERS[kind](tmp_path))
    assert texts(table) == [(row["input"], row["output"]) for row in ROWS]
    assert texts(table) == texts(table)  # it can be read again


def test_a_database_gives_the_same_rows_and_is_only_read(tmp_path: Path) -> None:
    path = tmp_path / "mail.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mail (body TEXT, kind TEXT)")
        connection.executemany("INSERT INTO mail VALUES (?, ?)", [(row["input"], row["output"]) for row in ROWS])
        connection.commit()
    before = path.read_bytes()
    table = database_table(path, "select body as input, kind as output from mail")
    assert texts(table) == [(row["input"], row["output"]) for row in ROWS]
    for wrong, why in (
        ("delete from mail", "may only read"),
        ("attach 'x.db' as x", "may only read"),
        ("select missing from mail", "no such column"),
        ("select 1; select 2", "one statement"),
        ("", "must be a SELECT"),
        ("select load_extension('x')", "may only read"),
    ):
        with pytest.raises(SelfguideError, match=why):
            database_table(path, wrong)
    assert path.read_bytes() == before
    with pytest.raises(SelfguideError, match="no such database"):
        database_table(tmp_path / "none.db", "select 1")


def test_texts_are_one_a_line_or_one_a_file(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("one\n\n  two \n", encoding="utf-8")
    assert [(row.number, row.values["input"]) for row in read_table(tmp_path / "lines.txt").read()] == [
        (1, "one"),
        (3, "two"),
    ]
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "b.txt").write_text("second", encoding="utf-8")
    (folder / "a.txt").write_text("first\nof two lines", encoding="utf-8")
    table = read_table(folder)
    assert [table.text(row, "input") for row in table.read()] == ["first\nof two lines", "second"]
    assert [row.values["input"] for row in read_lines("standard input", ["x\n", "\n", "y"]).read()] == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "input,output\nx,y\nz\n", "a.csv: row 3: has 1 cells, the header has 2"),
        ("a.csv", "input,output\nx,y\n  ,y\n", "a.csv: row 3, column input: is empty"),
        ("a.csv", "input,input\nx,y\n", "row 1: the column 'input' is there twice"),
        ("a.csv", "", "is empty; the first row"),
        ("a.csv", 'input,output\nx,"y\n', "row 2: not valid CSV"),
        ("a.jsonl", '{"input": "x", "output": "y"}\n{"input": 1', "a.jsonl: line 2: not valid JSON"),
        ("a.jsonl", '{"input": "x", "output": "y"}\n[]\n', "a.jsonl: line 2: not a JSON object"),
        ("a.jsonl", '{"input": "x", "output": "y"}\n{"input": "x"}\n', "line 2: has no column 'output'; it has input"),
        ("a.jsonl", '{"input": {"a": 1}, "output": "y"}\n', "line 1, column input: is dict, not a text"),
        ("a.jsonl", '{"input": "x\\ud800", "output": "y"}\n', "line 1, column input: holds half a character"),
        ("a.jsonl", '{"input": "x\\u0000", "output": "y"}\n', "line 1, column input: holds a NUL"),
        ("a.jsonl", '{"input": "x", "output": null}\n', "line 1, column output: is empty"),
        ("a.parquet", "no parquet", "a.parquet: cannot read this file"),
        ("a.xlsx", "no workbook", "a.xlsx: cannot read this file as an Excel workbook"),
        ("a.doc", "x", "the ending tells the format"),
    ],
)
def test_a_mistake_names_file_row_and_column(name: str, content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SelfguideError) as told:
        texts(read_table(path))
    assert said in str(told.value) and "\n" not in str(told.value)


def test_broken_bytes_and_missing_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"input\n\xff\xfe\n")
    with pytest.raises(SelfguideError, match="not UTF-8"):
        list(read_table(tmp_path / "a.csv").read())
    with pytest.raises(SelfguideError, match="no such file"):
        read_table(tmp_path / "b.csv")
    with pytest.raises(SelfguideError, match=r"without \.txt files"):
        read_table(tmp_path)


def test_the_column_is_the_one_named_the_usual_one_or_the_only_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,text,kind\n1,x,y\n", encoding="utf-8")
    table = read_table(path)
    assert table.column(None, ("input", "text"), "--column") == "text"
    assert table.column("kind", ("input", "text"), "--column") == "kind"
    with pytest.raises(SelfguideError, match="has no column 'body'; there are: id, text, kind"):
        table.column("body", (), "--column")
    with pytest.raises(SelfguideError, match=r"which column.*--column"):
        table.column(None, ("input",), "--column")
    path.write_text("message\nx\n", encoding="utf-8")
    assert read_table(path).column(None, ("input",), "--column") == "message"


@given(cells=st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), min_size=1, max_size=5))
def test_csv_and_json_lines_read_back_what_was_written(
    cells: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    usable = [
        (one, other)
        for one, other in cells
        if all(text.strip() and "\0" not in text and "\r" not in text for text in (one, other))
        and not any(0xD800 <= ord(character) < 0xE000 for character in one + other)
    ]
    folder = tmp_path_factory.mktemp("tables")
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("input", "output"), *usable])
    (folder / "a.jsonl").write_text(
        "".join(json.dumps({"input": one, "output": other}) + "\n" for one, other in usable), encoding="utf-8"
    )
    wanted = [(one.strip(), other.strip()) for one, other in usable]
    assert texts(read_table(folder / "a.csv")) == wanted == texts(read_table(folder / "a.jsonl"))
