"""The statistics against numbers that were computed in another way: by the textbook's formula, or with scipy."""

import numpy as np
import pytest

from selfguide_lite.evaluate.statistics import Gain, Interval, bootstrap, paired_gain, wilson


def gain(low: float, high: float) -> Gain:
    return Gain("exact match", 10, "few-shot", 0.5, 0.6, low, high)


def test_the_verdict_needs_the_whole_interval_on_one_side_of_zero() -> None:
    assert gain(0.01, 0.2).verdict == "better" and gain(-0.2, -0.01).verdict == "worse"
    for low, high in ((0.0, 0.2), (-0.2, 0.0), (-0.1, 0.1)):
        assert gain(low, high).verdict == "no clear difference"


@pytest.mark.parametrize(("right", "n"), [(0, 10), (1, 10), (8, 10), (10, 10), (263, 300)])
def test_wilsons_interval_is_scipys(right: int, n: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    found = wilson(right, n)
    assert found.mean == right / n
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-6)
    assert found.low >= 0 and found.high <= 1


def test_equal_values_have_no_width_and_two_kinds_have_one() -> None:
    assert bootstrap([0.25] * 7) == Interval(0.25, 0.25, 0.25)
    found = bootstrap([0.0, 1.0])
    assert (found.low, found.mean, found.high) == (0.0, 0.5, 1.0)


def test_the_interval_is_that_of_the_same_draws_made_at_once() -> None:
    values = np.random.default_rng(5).random(50)
    distinct, counts = np.unique(values, return_counts=True)
    means = np.random.default_rng(7).multinomial(50, counts / 50, size=500) @ distinct / 50
    found = bootstrap(values.tolist(), resamples=500, seed=7)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))))
    assert found.mean == pytest.approx(values.mean())


def test_draws_in_several_parts_are_as_many_and_as_wide() -> None:
    """So many distinct values that the draws are made in two parts, of 1,333 and 667."""
    values = np.random.default_rng(5).random(3000)
    distinct, counts = np.unique(values, return_counts=True)
    generator = np.random.default_rng(9)
    parts = [generator.multinomial(3000, counts / 3000, size=size) @ distinct / 3000 for size in (1333, 667)]
    found = bootstrap(values.tolist(), resamples=2000, seed=9)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(np.concatenate(parts), (0.025, 0.975))))


def test_a_gain_has_the_means_of_both_and_the_interval_of_their_differences() -> None:
    before, after = [0.1, 0.4, 0.4, 1.0, 0.0], [0.3, 0.6, 0.4, 1.0, 0.0]
    found = paired_gain(before, after, "ROUGE-L", "zero-shot")
    assert (found.metric, found.over, found.n) == ("ROUGE-L", "zero-shot", 5)
    assert (found.before, found.after, found.gain) == pytest.approx((0.38, 0.46, 0.08))
    wanted = bootstrap([0.2, 0.2, 0.0, 0.0, 0.0])
    assert (found.low, found.high) == (wanted.low, wanted.high)
