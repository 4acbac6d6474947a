"""Rows are trained on in an order in which labels take turns, and the last part's weights are averaged."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needs import needs

from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.finetune.order import EvenOrder


@given(answers=st.lists(st.sampled_from("abc"), max_size=60), seed=st.integers(0, 99), epoch=st.integers(0, 5))
def test_every_row_comes_once_an_epoch_and_the_order_is_fixed(answers: list[str], seed: int, epoch: int) -> None:
    order, again = EvenOrder(answers, seed), EvenOrder(answers, seed)
    order.set_epoch(epoch)
    again.set_epoch(epoch)
    assert sorted(order) == list(range(len(answers))) and len(order) == len(answers)
    assert list(order) == list(again)


def test_any_stretch_of_an_epoch_has_every_label_in_proportion() -> None:
    answers = ["spam"] * 40 + ["ham"] * 40
    order = EvenOrder(answers, 1)
    first = list(order)
    for start in range(0, 80, 8):
        assert Counter(answers[place] for place in first[start : start + 8]) == {"spam": 4, "ham": 4}
    order.set_epoch(1)
    assert list(order) != first


def test_answers_that_differ_are_shuffled() -> None:
    order = list(EvenOrder([f"text {n}" for n in range(50)], 3))
    assert order != sorted(order)


def test_few_pairs_get_more_epochs_and_many_fewer() -> None:
    needs("torch")
    from selfguide_lite.finetune.options import total_steps

    options = TrainOptions(epochs=3, batch_size=8, min_steps=40, max_steps=150)
    assert [total_steps(rows, options) for rows in (16, 160, 4000)] == [40, 60, 150]


@pytest.mark.slow
def test_the_average_is_that_of_the_last_steps_and_survives_a_checkpoint(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from selfguide_lite.finetune.average import WeightAverage

    weight = torch.zeros(2)
    average = WeightAverage([("w", weight)], start=2)
    for step in range(1, 4):
        weight.fill_(float(step))
        average.add(step)
    average.save(tmp_path / "checkpoint-3")
    resumed = WeightAverage([("w", weight)], start=2)
    resumed.load(tmp_path / "checkpoint-3")
    weight.fill_(5.0)
    resumed.add(4)
    resumed.apply()
    assert weight.tolist() == [4.0, 4.0]  # of 3 and 5

    untouched = WeightAverage([("w", weight)], start=9)
    untouched.add(4)
    untouched.save(tmp_path / "checkpoint-4")
    assert not (tmp_path / "checkpoint-4").exists()
    untouched.apply()
    assert weight.tolist() == [4.0, 4.0]
