"""Calibration: shares divided by what the model answers on average."""

import pytest

from selfguide_lite.methods.calibration import calibrated, likeliest, wanted_shares
from selfguide_lite.task import Example, Task

TASK = Task(
    name="mail",
    kind="classification",
    instruction="Is it spam?",
    labels=("ham", "spam"),
    examples=(Example(input="a", output="ham"), Example(input="b", output="spam")),
)
EQUAL = {"ham": 0.5, "spam": 0.5}


def test_label_shares_are_aimed_at() -> None:
    shares, prior = {"ham": 0.7, "spam": 0.3}, {"ham": 0.9, "spam": 0.1}
    equal = calibrated(shares, prior, EQUAL)
    assert likeliest(equal) == "spam" and equal["spam"] == pytest.approx(3 / (3 + 7 / 9))
    assert sum(equal.values()) == pytest.approx(1)
    assert calibrated(shares, prior, {"ham": 0.9, "spam": 0.1}) == pytest.approx(shares)
    assert wanted_shares(TASK) == EQUAL
    told = TASK.model_copy(update={"label_shares": {"ham": 0.9, "spam": 0.1}})
    assert wanted_shares(told) == {"ham": 0.9, "spam": 0.1}


def test_shares_add_up_to_one_whether_the_quotients_are_over_or_under_it() -> None:
    prior = {"ham": 0.7, "spam": 0.3}
    for shares in ({"ham": 0.9, "spam": 0.1}, {"ham": 0.2, "spam": 0.8}):
        ham, spam = shares["ham"] / 0.7, shares["spam"] / 0.3
        assert calibrated(shares, prior, EQUAL) == pytest.approx(
            {"ham": ham / (ham + spam), "spam": spam / (ham + spam)}
        )


def test_a_label_that_was_never_answered_is_no_division_by_zero() -> None:
    assert calibrated({"ham": 1.0, "spam": 0.0}, {"ham": 1.0, "spam": 0.0}, EQUAL) == {"ham": 1.0, "spam": 0.0}
    assert calibrated({"ham": 0.5, "spam": 0.5}, {"ham": 1.0}, EQUAL)["spam"] == pytest.approx(1)
    # nothing is left to divide up: the shares stay as they are
    assert calibrated({"ham": 0.6, "spam": 0.4}, {"ham": 0.8, "spam": 0.2}, {}) == {"ham": 0.6, "spam": 0.4}


def test_the_first_of_tied_labels_is_taken() -> None:
    assert likeliest({"b": 0.4, "a": 0.4, "c": 0.2}) == "b"
