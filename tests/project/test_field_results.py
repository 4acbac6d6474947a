"""The tables of docs/fields.md: what counts as a right pair, and tables worked out from records alone."""

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.made_texts import rows_of
from data.made_texts.adverts import advert
from data.made_texts.mails import mail
from data.results.field_tables import tables
from data.results.fields import DIRECTIONS, KEPT, MODELS, TASKS, FieldRun, planned
from data.results.grounding import grounding
from data.results.table import records
from selfguide_lite import load_task
from selfguide_lite.core.resources import resource
from selfguide_lite.fields import Field, checked, is_in
from selfguide_lite.store import Pair

ADVERT = "TO LET in Leeds's old town! 1,350.50 euros, three rooms, 92 sqm, from March 15th, 2027. Tel. 0555 341 220."
VALUES: tuple[tuple[str, Any, bool], ...] = (
    ("string", "leeds s", False), ("string", "Old Town", True), ("string", "own", False),
    ("number", Decimal("1350.5"), True), ("number", Decimal("1350"), False), ("integer", 3, True),
    ("integer", 92, True), ("integer", 9, False), ("integer", 1, True),
    ("date", "2027-03-15", True), ("date", "2027-03-16", False),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "there"), VALUES)
def test_a_value_is_in_a_text_or_not(kind: Any, value: Any, there: bool) -> None:
    assert is_in(Field("", kind), value, ADVERT) is there


@pytest.mark.parametrize(("name", "make"), [("rental-adverts", advert), ("support-mails", mail)])
def test_right_answers_count_as_right_and_those_of_other_texts_do_not(name: str, make: Any) -> None:
    """On made texts, of which the right answer is known; a typing error in a value makes it another one."""
    schema = load_task(resource("data/tasks") / f"{name}.yaml").answer_schema
    assert schema is not None
    rows = rows_of(make, 5, 100)
    right = [Pair(number, row.input, checked(schema, row.output), None) for number, row in enumerate(rows)]
    found = grounding(schema, right)
    assert found.right >= 0.9 * found.pairs, (found.found, found.given)
    swapped = [Pair(0, one.input, other.output, None) for one, other in pairwise(right)]
    assert grounding(schema, swapped).right <= 0.05 * len(swapped)


def test_the_records_were_made_with_todays_defaults_and_tasks() -> None:
    """Whoever changes them makes the tables again: `python -m data.results.fields`."""
    names = {shown: name for name, shown in MODELS.items()}
    for one in records(KEPT):
        run = FieldRun(one["task"], names[one["model"]], one["direction"], one["seed"])
        assert run.decided_by().items() <= one.items(), run.key


def test_tables_of_records(tmp_path: Path) -> None:
    assert "No run has been recorded" in tables(tmp_path)
    rng = np.random.default_rng(1)
    runs = list(planned((1, 2)))
    assert len({one.key for one in runs}) == len(runs) == 2 * len(TASKS) * len(MODELS) * len(DIRECTIONS)
    for one in runs:
        methods = {"few-shot": 0.2, "few-shot constrained": 0.4, "finetuned constrained": 0.6}
        done: dict[str, Any] = {
            "task": one.task, "model": MODELS[one.model], "direction": one.direction, "seed": one.seed,
            "defaults_sha256": "ab" * 32, "model_sha256": "cd" * 32, "date": "2026-11-24", "seconds": 600,
            "inputs": 400, "kept_share": 0.5, "pairs": 100, "right_pairs": 70 if one.direction == "input-first" else 80,
            "given_values": {"rent": 100, "city": 100}, "found_values": {"rent": 70, "city": 100},
        }  # fmt: skip
        if one.model == "smollm2":
            plus = 0.1 * (one.direction == "output-first")
            done["rights"] = []
            done["methods"] = {
                name: np.clip(mean + plus + rng.normal(0, 0.1, 40), 0, 1).tolist() for name, mean in methods.items()
            }
            one_method = {"valid": 1.0, "exact": 0.25, "micro": 0.5, "f1": {"rent": 0.5, "city": 0.75}}
            done["fields"] = dict.fromkeys(methods, one_method)
        (tmp_path / f"{one.key}.json").write_text(json.dumps(done))
    text = tables(tmp_path)
    assert "| rental-adverts | Gemma 3 270M | output-first | 1, 2 | 400 | 50 % | 100 | 80 | 20 | 80.0 (" in text
    assert "| rental-adverts | input-first | 1, 2 | 100 % |" in text and ", 25 |" in text
    assert "rent 50 → 50, city 75 → 75" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| support-mails | 1, 2 |")]
    assert row.endswith(")** |") and "**+" in row  # 10 points more, off zero
