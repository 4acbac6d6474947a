"""The results table: worked out from records alone, and made with today's defaults."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.results import draws, uneven
from data.results import record as recording
from data.results.plan import ANSWERS, DEFAULT, OWN_DRAWS, VARIANTS, Planned, planned
from data.results.record import defaults_sha256
from data.results.table import EARLIER_RUNS, differences, headline, page, pooled, records
from selfguide_lite.core.resources import resource
from selfguide_lite.metrics import macro_f1

RUNS = resource("data/results/runs")


def test_the_table_was_made_with_todays_defaults() -> None:
    """Whoever changes a default setting or a prompt makes the table again: `make results`."""
    found = records(RUNS)
    assert found
    assert {one["defaults_sha256"] for one in found} == {defaults_sha256()}


@pytest.mark.slow
def test_the_page_is_the_one_that_the_records_make() -> None:
    assert page(records(RUNS), records(EARLIER_RUNS)) == resource("docs/results.md").read_text(encoding="utf-8")


def made(seed: int, right: float, task: str = "mood") -> dict[str, Any]:
    """A record whose finetuned model is right on a share of rows, and prompting on half of them."""
    rng = np.random.default_rng(seed)
    rights = rng.integers(0, 2, 200)

    def answers(share: float) -> list[int]:
        return [int(y if rng.random() < share else 1 - y) for y in rights]

    return {
        "group": "shared", "task": task, "seed": seed, "variant": DEFAULT, "told": False, "kind": "classification",
        "labels": ["sad", "glad"], "rights": rights.tolist(), "kept_share": 0.7, "pairs": 50, "agreement": None,
        "verdict": "Better", "seconds": 60, "date": "2026-11-24", "model_sha256": "ab", "defaults_sha256": "cd",
        "gain": None,
        "methods": {
            "few-shot scored": answers(0.5), "zero-shot scored": answers(0.5), "finetuned scored": answers(right),
        },
    }  # fmt: skip


def test_a_gain_is_pooled_by_row_over_the_seeds() -> None:
    gain = pooled([made(1, 0.9), made(2, 0.9)])
    assert gain.n == 200 and gain.low > 0.2
    # The best of two equal promptings is chosen on other rows than it is scored on, so that it is not flattered.
    before, after = differences(made(3, 0.5))
    assert before.shape == after.shape == (200,)
    assert abs(after.mean() - before.mean()) < 0.15
    none = pooled([made(seed, 0.5) for seed in range(3)])
    assert none.low < 0 < none.high


def test_the_readme_gets_the_default_runs_on_text_of_others_alone() -> None:
    other = {**made(1, 0.9, "other"), "variant": "bare prompt", "group": "ablation"}
    table = headline([made(1, 0.9), other])
    assert "| mood | 1 |" in table and "| other |" not in table
    assert "make results" in headline([])
    assert "No run has been recorded" in page([])


def test_macro_f1_is_low_for_a_constant_answer() -> None:
    assert macro_f1(["a"] * 10, ["a"] * 9 + ["b"], ["a", "b"]) == pytest.approx(0.5 * 18 / 19)
    assert macro_f1(["a", "b"], ["a", "b"], ["a", "b"]) == 1.0


def test_labels_count_nine_to_one() -> None:
    rights = np.array([0] * 4 + [1] * 8)
    assert uneven.weighted_scores(np.zeros(12, dtype=int), rights, 2) == pytest.approx((0.9, 0.5 * 1.8 / 1.9))
    assert uneven.weighted_scores(rights, rights, 2) == pytest.approx((1.0, 1.0))
    # Half of the frequent label is missed, once without any label: 45 hundredths of all, each as good as wrong.
    answers = np.array([0, 0, 1, -1] + [1] * 8)
    exact, f1 = uneven.weighted_scores(answers, rights, 2)
    assert exact == pytest.approx(0.55)
    assert f1 == pytest.approx((2 * 0.45 / (0.45 + 0.9) + 2 * 0.1 / (0.325 + 0.1)) / 2)


def test_the_page_tells_a_gain_and_a_loss_with_uneven_labels() -> None:
    def finetuned(runs: list[dict[str, Any]]) -> str:
        lines = "\n".join(uneven.section(runs)).splitlines()
        return next(line for line in lines if "| finetuned scored |" in line)

    row = finetuned([made(seed, 0.9, "subj") for seed in (1, 2)])
    assert row.startswith("| subj | not told | 1, 2 |") and row.count("**+") == 2
    assert finetuned([made(1, 0.1, "subj")]).count("**-") == 2
    assert uneven.section([made(1, 0.9)]) == []  # mood has even labels


def test_shared_draws_are_compared_with_draws_of_their_own() -> None:
    facts = {"duplicates": 0.01, "distinct_2": 0.7}
    own = made(1, 0.5) | facts | {"variant": OWN_DRAWS, "group": "ablation", "pairs": 40}
    table = "\n".join(draws.section([made(1, 0.9) | facts, made(2, 0.9), own]))
    assert "| mood | 1 | 50, 40 | 70 %, 70 % | 1 %, 1 % | 70 %, 70 % |" in table
    cell = table.split("|")[-2].strip()
    assert cell.startswith("**") and cell.endswith("**")  # its interval is off zero, as in every table
    gain = cell.strip("*").split()
    assert 30 < float(gain[0]) < 50 and float(gain[1].strip("(")) > 0
    assert draws.section([made(1, 0.9)]) == []


def test_every_planned_run_has_a_name_of_its_own(tmp_path: Any) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "ni").mkdir()
    for name in ("sms-spam", "subj"):
        (tmp_path / "tasks" / f"{name}.yaml").touch()
    for number in (190, 199, 200, 738, 937, 1385, 1386, 36, 39, 121, 957, 1195, 1557):
        (tmp_path / "ni" / f"task{number:03d}_x.json").touch()
    runs = list(planned(tmp_path))
    assert len({one.key for one in runs}) == len(runs)
    assert {one.variant for one in runs} == {*VARIANTS, *ANSWERS}


def test_a_run_is_made_again_where_it_was_computed_in_other_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights of another type write other data, with the same settings."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "ni").mkdir()
    one = Planned("shared", "mood", tmp_path / "missing.yaml", 1)
    kept = tmp_path / "mood-1-default.json"
    monkeypatch.setattr(recording, "computed_in", lambda: "F16")
    for computed_in, again in (("F16", False), ("Q8_0", True), (None, True)):
        known = made(1, 0.9) | {"defaults_sha256": defaults_sha256()}
        kept.write_text(json.dumps(known | ({"computed_in": computed_in} if computed_in else {})), encoding="utf-8")
        found = recording.record(one, tmp_path, tmp_path)
        assert ("error" in found) == again  # its task file is not there
        if again:
            assert found["computed_in"] == "F16"
