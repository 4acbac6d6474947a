"""The dataset as a folder of `datasets`: read by `datasets` itself, and by this program's own reader."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from datasets_for_tests import TASK, filled
from needs import needs

from selfguide_lite.cli import main
from selfguide_lite.core.registry import FORMS
from selfguide_lite.dataset_files import form_named, records, write_dataset
from selfguide_lite.store import Pair, Store
from selfguide_lite.tabular import read_table

needs("pyarrow", "needs the extra `parquet`")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("folder") / "colours.db", n=5)


def export(db: Path, place: Path, *words: str, fails: bool = False) -> str:
    done = CliRunner().invoke(main, ["dataset", "-d", str(db), "-o", str(place), *words])
    assert done.exit_code == (1 if fails else 0), done.output
    return done.output


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS.names())
def test_datasets_and_our_own_reader_read_it(db: Path, tmp_path: Path, form: str) -> None:
    datasets = pytest.importorskip("datasets")
    export(db, tmp_path / "out", "--format", form)
    with Store.open(db, read_only=True) as store:
        expected = list(records(store.task(1), store.pairs(1), form_named(form)))
    loaded = datasets.load_from_disk(str(tmp_path / "out"))
    assert list(loaded) == ["train"] and list(loaded["train"]) == expected and len(expected) == 5
    assert loaded["train"].split == "train" and loaded["train"].column_names == list(form_named(form).columns)
    assert [dict(row.values) for row in read_table(tmp_path / "out").read()] == expected
    # the features in the file are those that the data has
    assert datasets.Features.from_arrow_schema(loaded["train"].data.schema) == loaded["train"].features
    # `datasets` knows each content by a name of its own
    other = tmp_path / "other"
    write_dataset(records(TASK, [Pair(1, "a", "b")], form_named(form)), form_named(form), other)
    assert datasets.load_from_disk(str(other))["train"]._fingerprint != loaded["train"]._fingerprint


@pytest.mark.slow
def test_it_comes_back_as_rows_of_a_task(db: Path, tmp_path: Path) -> None:
    """`selfguide add rows` takes what `selfguide dataset` wrote."""
    export(db, tmp_path / "out")
    again = filled(tmp_path / "again.db", n=0)
    done = CliRunner().invoke(main, ["add", "rows", str(tmp_path / "out"), "-d", str(again)])
    assert done.exit_code == 0, done.output
    with Store.open(db, read_only=True) as store, Store.open(again, read_only=True) as other:
        assert {(p.input, p.output) for p in store.pairs(1)} == {(p.input, p.output) for p in other.pairs(1)}


def test_no_pairs_and_many_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("selfguide_lite.dataset_files.arrow._BATCH", 3)
    form = form_named("pairs")
    for n in (0, 1, 3, 7):
        rows = [{"input": f"in {number}", "output": "out"} for number in range(n)]
        for place in (tmp_path / "out", tmp_path / "out.parquet"):
            write_dataset(iter(rows), form, place)
            assert [dict(row.values) for row in read_table(place).read()] == rows


def test_a_saved_dataset_is_replaced_and_nothing_else(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(db, out, "--format", "alpaca")
    (out / "train" / "cache-1234.arrow").write_bytes(b"")  # as `datasets` leaves beside its data
    export(db, out)
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == [
        *("dataset_dict.json", "train", "train/data-00000-of-00001.arrow", "train/dataset_info.json"),
        "train/state.json",
    ]
    assert json.loads((out / "dataset_dict.json").read_text()) == {"splits": ["train"]}
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for name in ("notes.md", "train/notes.md", "more/state.json.txt"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
        assert f"holds {Path(name).parts[0]}" in export(db, out, fails=True)
        assert (out / name).read_text() == "mine" and all(path.read_bytes() == data for path, data in before.items())
        (out / name).unlink()
    (out / "more").rmdir()
    (tmp_path / "file").write_text("mine")
    assert "is a file" in export(db, tmp_path / "file", fails=True)
    assert "cannot write here" in export(db, tmp_path / "file" / "out", fails=True)
    (tmp_path / "empty").mkdir()
    export(db, tmp_path / "empty")
    assert (tmp_path / "empty" / "train").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "out"]


STOPS = """
import os, signal, sys
from pathlib import Path
from selfguide_lite.dataset_files import form_named, write_dataset
def rows():
    for number in range(30_000):
        if number == 25_000:
            os.kill(os.getpid(), signal.SIGKILL)
        yield {"input": str(number), "output": "x"}
write_dataset(rows(), form_named("pairs"), Path(sys.argv[1]))
"""


def test_one_that_is_killed_leaves_the_old_one_whole(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(db, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    done = subprocess.run([sys.executable, "-c", STOPS, out], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert len(list(tmp_path.iterdir())) == 2  # what was begun
    export(db, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # the next one swept it away


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def rows() -> object:
        yield {"input": "a", "output": "b"}
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        write_dataset(rows(), form_named("pairs"), tmp_path / "out")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
