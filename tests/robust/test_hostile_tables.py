"""Tables made to harm: small files that would fill the memory, and workbooks and folders that hold anything."""

import json
import zipfile
from pathlib import Path

import pytest
from needs import needs
from robustness_counts import count

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.paths import default_db, files_dir
from selfguide_lite.tabular import read_table

pytestmark = pytest.mark.slow

needs("openpyxl")
needs("pyarrow")

SHEET, BOOK, STRINGS = "xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/sharedStrings.xml"
HEAD = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'


def cell(place: str, text: str) -> str:
    return f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'


def sheet(*rows: str) -> str:
    return f"{HEAD}<sheetData>{''.join(rows)}</sheetData></worksheet>"


FIRST = f'<row r="1">{cell("A1", "input")}</row>'
ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
LAUGHS = f'<!DOCTYPE l [<!ENTITY e0 "lol">{ENTITIES}]>' + sheet(FIRST, f'<row r="2">{cell("A2", "&e9;")}</row>')
FILE = '<!DOCTYPE l [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + sheet(FIRST, f'<row r="2">{cell("A2", "&f;")}</row>')
WORKBOOKS: dict[str, dict[str, str | None]] = {
    "a text of megabytes": {SHEET: sheet(FIRST, f'<row r="2">{cell("A2", "a" * 3 * 2**20)}</row>')},
    "a megabyte that nothing names": {"xl/more.xml": "a" * 3 * 2**20},
    "a billion laughs": {SHEET: LAUGHS},
    "a file of this machine": {SHEET: FILE},
    "a sheet that is no XML": {SHEET: "<a><b>"},
    "a book that is no XML": {BOOK: "<a"},
    "texts that are no XML": {STRINGS: "<a"},
    "no sheet": {SHEET: None},
    "no book": {BOOK: None},
    "a row of no number": {SHEET: sheet(FIRST, f'<row r="x">{cell("A2", "a")}</row>')},
    "a cell far away": {SHEET: sheet(FIRST, f'<row r="1048576">{cell("XFD1048576", "a")}</row>')},
    "elements in elements": {SHEET: f"{HEAD}{'<a>' * 20_000}{'</a>' * 20_000}</worksheet>"},
}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The parts of a small workbook."""
    from openpyxl import Workbook

    path = tmp_path_factory.mktemp("book") / "good.xlsx"
    made = Workbook()
    made.worksheets[0].append(["input"])
    made.worksheets[0].append(["a text"])
    made.save(path)
    with zipfile.ZipFile(path) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def refused(path: Path) -> str:
    with pytest.raises(SelfguideError) as caught:
        table = read_table(path)
        chosen = table.column(None, ("input",), "--column")
        for row in table.read():
            table.text(row, chosen)
        raise SelfguideError(f"{path}: read to its end")
    said = str(caught.value)
    assert said.startswith(str(path)) and "\n" not in said and len(said) < 400 + len(str(path))
    count("inputs")
    return said


@pytest.mark.parametrize("name", WORKBOOKS)
def test_a_workbook_made_to_harm(
    name: str, book: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfguide_lite.tabular.excel.MOST_UNPACKED", 2**20)
    path = tmp_path / "bad.xlsx"
    parts: dict[str, bytes | str | None] = {**book, **WORKBOOKS[name]}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for part, content in parts.items():
            if content is not None:
                packed.writestr(part, content)
    said = refused(path)
    assert ("when unpacked" in said) == ("megabyte" in name), said
    assert "read to its end" not in said or name == "texts that are no XML", said


def test_a_cut_workbook(book: dict[str, bytes], tmp_path: Path) -> None:
    whole = tmp_path / "whole.xlsx"
    with zipfile.ZipFile(whole, "w") as packed:
        for part, content in book.items():
            packed.writestr(part, content)
    raw = whole.read_bytes()
    for tenth in range(10):
        path = tmp_path / "cut.xlsx"
        path.write_bytes(raw[: len(raw) * tenth // 10])
        assert "read to its end" not in refused(path)


def test_a_long_line_of_csv_is_not_read_whole(tmp_path: Path) -> None:
    wide = tmp_path / "wide.csv"
    wide.write_text(",".join(map(str, range(100_000))), encoding="utf-8")
    assert "which column?" in refused(wide)  # in a moment: names are not compared each with each
    for name, text in (
        ("header", "a," * 3_000_000),
        ("line", "input\n" + "a" * 5_000_000),
        ("cell", 'input\n"a\n' * 9),
    ):
        path = tmp_path / f"{name}.csv"
        path.write_text(text, encoding="utf-8")
        assert "longer than 4,194,304" in refused(path) or name == "cell"


def test_a_parquet_that_unpacks_to_more_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setattr("selfguide_lite.tabular.columnar.MOST_UNPACKED", 2**20)
    path = tmp_path / "bad.parquet"
    one_cell = pa.table({"input": ["a" * 9_000_000]})
    pq.write_table(one_cell, path, compression="zstd", use_dictionary=False)
    assert "a row group has 9 MiB when unpacked" in refused(path)
    same = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["a" * 1000]))
    pq.write_table(pa.table({"input": same}), path)
    assert "its texts take more than 1 MiB unpacked" in refused(path)


def test_values_that_python_lacks(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    broken = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    for name, values in (
        ("text", broken),
        ("time", pa.array([2**62], pa.timestamp("us"))),
        ("bytes", pa.array([b"a"])),
    ):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"input": values}), path)
        assert "read to its end" not in refused(path)


STATES = ({"_data_files": "abc"}, {"_data_files": ["x", 5]}, {"_data_files": 5}, [], {})
INFOS = ({"features": ["input"]}, {"features": {"input": {"_type": "ClassLabel", "names": None}}}, {"features": 5})


def test_a_folder_of_datasets_that_holds_anything(tmp_path: Path) -> None:
    info = {"features": {"input": {}}}
    for number, (state, described) in enumerate([*((one, info) for one in STATES), *(({}, one) for one in INFOS)]):
        folder = tmp_path / f"set{number}"
        folder.mkdir()
        (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")
        (folder / "dataset_info.json").write_text(json.dumps(described), encoding="utf-8")
        refused(folder)
    (folder / "state.json").write_text("[" * 100_000, encoding="utf-8")
    assert "cannot be read" in refused(folder) or "cannot read" in refused(folder)
    outside = tmp_path / "outside"
    outside.mkdir()
    for splits in (["../set0"], [str(tmp_path / "set0")], 5, [["a"], None]):
        (outside / "dataset_dict.json").write_text(json.dumps({"splits": splits}), encoding="utf-8")
        assert "which split?" in refused(outside)


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "..", ".", "~root", "\x1b[31m\n", "-d", "\U0001d4b3" * 200, "字" * 99]
)
def test_a_name_that_is_a_path_stays_in_its_folder(name: str, tmp_path: Path) -> None:
    made = tmp_path / default_db(name)
    assert made.parent == tmp_path and made.name[0] not in ".-~" and made.name.isprintable()
    for place in (made, made.with_name(f"{made.name}-journal"), files_dir(made)):
        with atomic_write(place) as part:
            part.write_text("x", encoding="utf-8")
    count("inputs")
