"""The mutation run's own parts: the mutants of a text, a trial of one, and what is kept of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from data.mutation.mutants import Mutant, mutants
from data.mutation.record import Record, read, survivors, table, write
from data.mutation.subjects import ROOT, SUBJECTS

PYTHON = '''"""Text with a < b."""

import math


def small(value: float, *, limit: int = 10) -> bool:
    # 1 < 2
    return not value < limit and value != 0x1F


@decorated(frozen=True)
def other(a: int) -> float:
    return min(a, -1.5) * math.inf
'''
SQL = """-- A view with a < b and 1.
SELECT a.*, count(*) AS n, 'x < 1', /* filters: input */ ifnull(a.b, 0) AS c
FROM a
LEFT JOIN b ON b.id = a.id AND b.x IS NOT NULL
WHERE a.x NOT IN (1, 2) OR NOT a.y >= 0.5
GROUP BY a.id;
"""


def changes(path: str, source: str) -> list[tuple[str, str]]:
    return [(mutant.old, mutant.new) for mutant in mutants(path, source)]


def test_python_is_changed_in_operators_numbers_and_words_alone() -> None:
    assert changes("a.py", PYTHON) == [
        ("10", "11"), ("not", ""), ("<", "<="), ("and", "or"), ("!=", "=="),
        ("min", "max"), ("-", "+"), ("1.5", "2.5"), ("*", "/"),
    ]  # fmt: skip
    for mutant in mutants("a.py", PYTHON):
        changed = mutant.applied(PYTHON)
        assert changed != PYTHON and len(changed.splitlines()) == len(PYTHON.splitlines())
        line = PYTHON.splitlines()[mutant.line - 1]
        assert line[mutant.column - 1 :].startswith(mutant.old)


def test_sql_is_changed_outside_texts_comments_and_marks() -> None:
    assert changes("a.sql", SQL) == [
        ("count", "max"), ("ifnull", "nullif"), ("0", "1"), ("LEFT", ""), ("=", "<>"), ("AND", "OR"), ("NOT", ""),
        ("NOT", ""), ("1", "2"), ("2", "3"), ("OR", "AND"), ("NOT", ""), (">=", ">"), ("0.5", "1.5"),
    ]  # fmt: skip


def test_every_view_belongs_to_one_subject() -> None:
    there = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("selfguide_lite/store/views/*.sql"))
    assert sorted(file for subject in SUBJECTS for file in subject.files if file.endswith(".sql")) == there
    for subject in SUBJECTS:
        assert all((ROOT / file).is_file() for file in (*subject.files, *subject.tests))


def test_records_are_kept_and_the_newest_counts(tmp_path: Path) -> None:
    path, name = tmp_path / "records.jsonl", SUBJECTS[0].name
    for outcome, by in (("survived", ""), ("killed", "test_a")):
        write(Record(name, "a.py:1:1 < -> <=", "ab", outcome, by, "2026-11-24"), path)
    write(Record(name, "a.py:2:1 < -> <=", "ab", "timeout", "", "2026-11-24"), path)
    write(Record(name, "a.py:3:1 < -> <=", "ab", "survived", "", "2026-11-24"), path)
    records = read(path)
    assert [record.outcome for record in records.values()] == ["killed", "timeout", "survived"]
    assert table(records).splitlines()[2] == f"| {name} | 3 | 2 | 1 | 2026-11-24 |"
    assert survivors(SUBJECTS[0], records) == ["a.py:3:1 < -> <="]


TRIALS = """
import json, sys
from data.mutation.mutants import mutants
from data.mutation.subjects import ROOT
from data.mutation.trial import load_libraries, load_package, trial

load_libraries()
told = []
for path, old, line, test in json.loads(sys.argv[1]):
    if path.endswith(".sql"):
        load_package()
    source = (ROOT / path).read_text()
    (mutant,) = [m for m in mutants(path, source) if m.old == old and line in source.splitlines()[m.line - 1]][:1]
    told.append(trial(mutant, [test]))
print(json.dumps(told))
"""
TESTS = """
from selfguide_lite.methods.calibration import calibrated
from selfguide_lite.store import Store


def test_sum():
    assert sum(calibrated({"a": 0.5, "b": 0.2}, {"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 1.0}).values()) == 1


def test_divided():
    assert calibrated({"a": 0.5, "b": 0.5}, {"a": 0.8, "b": 0.2}, {"a": 1.0, "b": 1.0})["b"] > 0.7


def test_default(tmp_path):
    with Store.open(tmp_path / "a.db") as store:
        sql = store.connection.execute("SELECT sql FROM sqlite_master WHERE name = 'filter_setting'").fetchone()[0]
        assert "'length_slack_min' THEN s.value END), 10)" in sql
"""


@pytest.mark.slow
def test_a_trial_says_which_test_noticed(tmp_path: Path) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(TESTS, encoding="utf-8")
    calibration, settings = "selfguide_lite/methods/calibration.py", "selfguide_lite/store/views/filter_setting.sql"
    asked = [
        (calibration, "/", "share / max", f"{test}::test_sum"),
        (calibration, "/", "share / max", str(test)),
        (settings, "10", "length_slack_min", str(test)),
        (settings, "10", "length_slack_min", f"{test}::test_sum"),
    ]
    ran = subprocess.run(
        [sys.executable, "-c", TRIALS, json.dumps(asked)], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert ran.returncode == 0, ran.stderr
    outcomes = [(outcome, first.rpartition("::")[2]) for outcome, first in json.loads(ran.stdout)]
    assert outcomes == [("survived", ""), ("killed", "test_divided"), ("killed", "test_default"), ("survived", "")]


def test_a_file_that_has_changed_is_no_place_for_a_mutant() -> None:
    with pytest.raises(AssertionError, match="has changed"):
        Mutant("a.py", 0, 1, 1, "<", "<=").applied("x < 1")
