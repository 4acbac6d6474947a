"""Files of rows are answered with the real tiny model: columns, order, blank lines, thresholds, a kill in between."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering_model import CALIBRATED, TINY, answering, inputs
from click.testing import CliRunner, Result

from selfguide_lite import PredictOptions, SelfguideError, load
from selfguide_lite.cli import main
from selfguide_lite.prediction import Answer, Predictor
from selfguide_lite.prediction.batch import Batch, BatchOptions


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return answering(tmp_path_factory.mktemp("db") / "a.db")


@pytest.fixture(scope="module")
def model(db: Path) -> Iterator[Predictor]:
    with load(db, PredictOptions(model=TINY, method=CALIBRATED)) as loaded:
        yield loaded


def predict(db: Path, *words: str, status: int = 0, given: str | None = None) -> Result:
    result = CliRunner().invoke(
        main, ["predict", "-d", str(db), "-m", str(TINY), "--method", CALIBRATED, *words], input=given
    )
    assert result.exit_code == status, result.output
    return result


def test_probabilities_and_labels_agree_and_are_calibrated(model: Predictor, db: Path) -> None:
    texts = inputs(20)
    found = model.probabilities(texts)
    assert all(set(shares) == set(model.labels) and sum(shares.values()) == pytest.approx(1) for shares in found)
    assert model.predict(texts) == [max(shares, key=lambda label: shares[label]) for shares in found]
    with load(db, PredictOptions(model=TINY, method="few-shot scored")) as plain:
        raw = plain.probabilities(texts)
    cheer, grumble = model.labels
    for shares, before in zip(found, raw, strict=True):
        odds = before[cheer] / before[grumble] * 0.2 / 0.8
        assert shares[cheer] / shares[grumble] == pytest.approx(odds, rel=1e-2)


def test_a_csv_keeps_columns_order_blank_lines_and_texts_of_several_lines(
    db: Path, model: Predictor, tmp_path: Path
) -> None:
    texts = inputs(3)
    rows = [
        ["7", texts[0], "=1+1"],
        ["8", f"{texts[1]}\n{texts[2]}", 'say "x"'],
        ["9", "  ", ""],
        ["10", texts[2], "z"],
    ]
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    with source.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\n")
        writer.writerows([["id", "text", "note"], rows[0]])
        file.write("\n")
        writer.writerows(rows[1:])
    result = predict(db, "-i", str(source), "-o", str(target))
    assert "3 rows in" in result.output
    with target.open(newline="", encoding="utf-8") as file:
        head, first, blank, *others = list(csv.reader(file, delimiter=";"))
    assert head == ["id", "text", "note", "prediction", "prediction_cheer", "prediction_grumble", "prediction_error"]
    assert blank == [] and [row[:3] for row in (first, *others)] == rows
    answers = model.predict([texts[0], f"{texts[1]}\n{texts[2]}", texts[2]])
    assert [row[3] for row in (first, *others)] == [answers[0], answers[1], "", answers[2]]
    assert float(first[4]) + float(first[5]) == pytest.approx(1, abs=1e-5)
    assert not list(tmp_path.glob(".*"))


def test_json_lines_keep_fields_and_blank_lines_and_the_unsure_stay_unanswered(
    db: Path, model: Predictor, tmp_path: Path
) -> None:
    texts = inputs(12)
    shares = [max(found.values()) for found in model.probabilities(texts)]
    threshold = sorted(shares)[6]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [json.dumps({"deep": {"n": [n]}, "message": text}) for n, text in enumerate(texts)]
    source.write_text("\n".join([*lines[:5], "", *lines[5:]]) + "\n", encoding="utf-8")
    result = predict(
        db, "-i", str(source), "-o", str(target), "--column", "message", "--threshold", repr(threshold), "--as", "label"
    )
    told = target.read_text(encoding="utf-8").split("\n")
    assert told[5] == "" and told[-1] == ""
    rows: list[dict[str, Any]] = [json.loads(line) for line in told if line]
    assert [(row["message"], row["deep"]["n"]) for row in rows] == [(text, [n]) for n, text in enumerate(texts)]
    unsure = [row["label"] is None for row in rows]
    assert unsure == [share < threshold for share in shares] and sum(unsure) == 6
    assert f"{sum(unsure)} left unanswered" in result.output
    assert all(set(row["label_probabilities"]) == set(model.labels) for row in rows)


def test_lines_of_standard_input_stay_in_their_places(db: Path, model: Predictor) -> None:
    texts = inputs(3)
    result = predict(db, "-q", given=f"\n{texts[0]}\n\n\n{texts[1]}\n{texts[2]}\n\n")
    first, second, third = model.predict(texts)
    assert result.stdout.split("\n") == ["", first, "", "", second, third, "", ""]


@pytest.mark.parametrize(
    ("name", "content", "words", "said"),
    [
        ("a.csv", "id,body,n\n1,x,2\n", (), "which column"),
        ("a.csv", "text,prediction\nx,y\n", (), "has a column 'prediction' already; name the new one with --as"),
        ("a.jsonl", '{"text": "x"}\n\n{"text": 5.5}\n', (), "a.jsonl: line 3, column text: is float, not a text"),
        ("a.csv", "text\nx\n\ny,z\n", (), "a.csv: row 4: has 2 cells, the header has 1"),
        ("a.txt", "x\n", (), "the ending tells the format"),
        ("a.csv", "text\nx\n", ("-o", "b.parquet"), "b.parquet: the ending tells the format"),
    ],
)
def test_a_mistake_is_one_line_before_a_model_is_loaded(
    db: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: str,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(content, encoding="utf-8")
    result = predict(db, "-i", name, *(words or ("-o", "out.csv")), status=1)
    assert said in result.output and len(result.output.strip().splitlines()) == 1


def test_an_output_is_not_replaced_without_a_word(db: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text(f"text\n{inputs(1)[0]}\n", encoding="utf-8")
    target.write_text("mine", encoding="utf-8")
    assert "is there already" in predict(db, "-i", str(source), "-o", str(target), status=1).output
    assert target.read_text(encoding="utf-8") == "mine"
    predict(db, "-i", str(source), "-o", str(target), "--force")
    assert target.read_text(encoding="utf-8").startswith("text,prediction")


def test_a_threshold_without_probabilities_is_refused(db: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("text\nx\n", encoding="utf-8")
    batch = Batch(source, tmp_path / "out.csv", BatchOptions(threshold=0.5))
    with (
        load(db, PredictOptions(model=TINY, method="few-shot")) as free,
        pytest.raises(SelfguideError, match="no probabilities"),
    ):
        batch.run(free)


class Counting(Predictor):
    """Counts what it answers, and stops in the middle where it is told to."""

    asked = 0
    limit = 10**9

    def answer(self, inputs: Any) -> Iterator[Answer]:
        for answer in super().answer(inputs):
            if self.asked == self.limit:
                raise KeyboardInterrupt
            self.asked += 1
            yield answer


def test_what_was_answered_is_not_answered_again_unless_something_changed(model: Predictor, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    texts = inputs(30)
    source.write_text("text\n" + "".join(f'"{text}"\n' for text in texts), encoding="utf-8")
    first = Counting(model.choice, model.engine, model.prompts)
    first.limit = 11
    with pytest.raises(KeyboardInterrupt):
        Batch(source, target, BatchOptions()).run(first)
    assert not target.exists()
    (journal,) = tmp_path.glob(".out.csv.answers")
    journal.write_bytes(journal.read_bytes()[:-5])  # as a kill in the middle of a line leaves it
    second = Counting(model.choice, model.engine, model.prompts)
    done = Batch(source, target, BatchOptions()).run(second)
    assert (done.rows, done.resumed, second.asked) == (30, 10, 20)
    whole = target.read_bytes()
    target.unlink()
    Batch(source, target, BatchOptions()).run(model)
    # The numbers depend on what is computed beside an input, in the last of their digits.
    assert [line[:40] for line in whole.split(b"\n")] == [line[:40] for line in target.read_bytes().split(b"\n")]
    target.unlink()
    first.asked = 0
    with pytest.raises(KeyboardInterrupt):
        Batch(source, target, BatchOptions()).run(first)
    source.write_text(source.read_text(encoding="utf-8").replace(texts[0], texts[1]), encoding="utf-8")
    assert Batch(source, target, BatchOptions()).run(model).resumed == 0


@pytest.mark.slow
def test_a_killed_batch_goes_on(db: Path, model: Predictor, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    texts = [f"{text} {n}" for n in range(80) for text in inputs(20)]
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    command = [sys.executable, "-m", "selfguide_lite", "predict", "-d", str(db), "-m", str(TINY)]
    command += ["--method", CALIBRATED, "-i", str(source), "-o", str(target)]
    job = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    journal = tmp_path / ".out.jsonl.answers"
    end = time.monotonic() + 120
    while not (journal.exists() and journal.stat().st_size > 10_000) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    assert not target.exists() and journal.exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "were answered before" in done.stderr
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == texts and all(row["prediction"] in model.labels for row in rows)
