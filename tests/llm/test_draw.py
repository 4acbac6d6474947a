"""Drawing tokens: the random streams, and that draws follow the distribution that the rules describe."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from selfguide_lite.llm.draw import Rule, Sampler, largest, stream, uniforms


def expected(logits: np.ndarray, rule: Rule) -> np.ndarray:
    """The distribution of a rule, written down plainly."""
    size = len(logits)
    order = sorted(range(size), key=lambda i: (-logits[i], i))
    if rule.top_k:
        order = order[: rule.top_k]
    shares = np.zeros(size)
    shares[order] = np.exp((logits[order] - logits.max()) / rule.temperature)
    shares /= shares.sum()
    if rule.top_p < 1:
        total, kept = 0.0, []
        for index in order:
            kept.append(index)
            total += shares[index]
            if total >= rule.top_p:
                break
        keep = np.zeros(size)
        keep[kept] = shares[kept]
        shares = keep / keep.sum()
    return shares


RULES = [
    Rule(1.0, 0, 1.0),
    Rule(0.7, 0, 1.0),
    Rule(1.0, 5, 1.0),
    Rule(0.5, 20, 1.0),
    Rule(1.0, 0, 0.8),
    Rule(0.6, 0, 0.9),
    Rule(0.8, 1, 0.9),
    Rule(0.8, 1, 1.0),
    Rule(1.3, 30, 0.6),
    Rule(1.0, 5000, 1.0),
]

CHANCES = uniforms(np.array([stream(1, "key", n) for n in range(20_000)], np.uint64), np.full(20_000, 3, np.uint64))


@pytest.mark.parametrize("size", [7, 64, 130, 1208])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_draws_follow_the_distribution(rule: Rule, size: int) -> None:
    rng = np.random.default_rng(size)
    rows = (rng.standard_normal((3, size)) * 2).astype(np.float32)
    count = len(CHANCES) // 2
    owners = np.repeat(np.array([0, 2]), count)
    chances = CHANCES
    tokens, logprobs = Sampler().draw(rows, [rule, Rule(0, 0, 1), rule], owners, chances)
    for row in (0, 2):
        shares = expected(rows[row].astype(np.float64), rule)
        seen = np.bincount(tokens[owners == row], minlength=size)
        assert not seen[shares == 0].any()
        often = shares * count >= 5
        observed = np.append(seen[often], seen[~often].sum())
        wanted = np.append(shares[often], shares[~often].sum()) * count
        enough = wanted > 0
        if enough.sum() > 1:
            assert chisquare(observed[enough], wanted[enough]).pvalue > 1e-4
    plain = rows.astype(np.float64)
    plain -= np.log(np.exp(plain).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(logprobs, plain[owners, tokens], atol=1e-5)


@pytest.mark.parametrize("rule", [Rule(1.0, 0, 0.8), Rule(0.3, 0, 0.8), Rule(2.0, 0, 0.6)], ids=str)
def test_a_flat_distribution_needs_more_than_is_sorted_first(rule: Rule) -> None:
    """Most of 1,208 like entries belong to the nucleus, at whatever level the logits are."""
    flat = np.round(np.random.default_rng(5).standard_normal((1, 1208)) / 4, 2).astype(np.float32)
    owners, chances = np.zeros(len(CHANCES), np.int64), CHANCES
    possible = np.flatnonzero(expected(flat[0].astype(np.float64), rule))
    assert len(possible) > 400
    for level in (0, -20, 20):
        tokens, _ = Sampler().draw(flat + np.float32(level), [rule], owners, chances)
        assert len(set(possible) - set(tokens)) < 5 and len(set(tokens) - set(possible)) < 5, level


def test_a_nucleus_ends_where_it_is_reached() -> None:
    rows = np.zeros((1, 4), np.float32)
    chances = np.linspace(0, 1, 40, endpoint=False)
    tokens, _ = Sampler().draw(rows, [Rule(1.0, 0, 0.5)], np.zeros(40, np.int64), chances)
    assert set(tokens.tolist()) == {0, 1}


@given(st.integers(1, 8), st.integers(1, 400), st.integers(1, 450), st.integers(0, 2**32), st.booleans())
def test_largest_is_a_sort(height: int, size: int, count: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((height, size)).astype(np.float32)
    if ties:
        rows = np.round(rows)
    wanted = np.argsort(-rows, axis=1, kind="stable")[:, : min(count, size)]
    np.testing.assert_array_equal(largest(rows, count), wanted)


@given(st.integers(0, 2**32), st.sampled_from([0, 3, 64]), st.sampled_from([1.0, 0.9]), st.integers(1, 300))
def test_a_sample_does_not_depend_on_its_neighbours(seed: int, top_k: int, top_p: float, size: int) -> None:
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((6, size)) * 3).astype(np.float32)
    rules = [Rule(0.9, top_k, top_p), Rule(0.0, 0, 1.0), Rule(0.3, 5, 1.0)] * 2
    owners = np.repeat(np.arange(6), 4)
    chances = rng.random(24)
    together, logprobs = Sampler().draw(rows, rules, owners, chances)
    for row in range(6):
        mine = owners == row
        alone = Sampler().draw(rows[row : row + 1], rules[row : row + 1], np.zeros(4, np.int64), chances[mine])
        np.testing.assert_array_equal(alone[0], together[mine])
        np.testing.assert_array_equal(alone[1], logprobs[mine])


def test_greedy_takes_the_first_of_the_largest() -> None:
    rows = np.array([[0, 3, 3, 1], [9, 0, 0, 9]], np.float32)
    tokens, _ = Sampler().draw(rows, [Rule(0, 2, 0.5)] * 2, np.array([0, 1, 1]), np.array([0.9, 0.0, 0.99]))
    assert tokens.tolist() == [1, 0, 0]


@pytest.mark.parametrize("chance", [0.0, 1 - 2**-53])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_edges_of_the_unit_interval_give_tokens_that_may_be_drawn(rule: Rule, chance: float) -> None:
    for possible in ((3, 70), (70, 90)):  # the second leaves the first block of the vocabulary without weight
        rows = np.full((1, 130), -np.inf, np.float32)
        rows[0, possible] = [1.0, 0.5]
        tokens, _ = Sampler().draw(rows, [rule], np.zeros(1, np.int64), np.array([chance]))
        assert tokens[0] in possible


def test_streams_depend_on_each_name_and_on_the_step() -> None:
    names = [(seed, key, sample) for seed in (0, 1) for key in ("a", "b", "a\0", "ä\udc80") for sample in (0, 1, 11)]
    starts = {stream(*name) for name in names}
    assert len(starts) == len(names)
    first = np.array(sorted(starts), np.uint64)
    draws = np.concatenate([uniforms(first, np.full(len(first), step, np.uint64)) for step in range(500)])
    assert len(set(draws.tolist())) == len(draws)
    assert draws.min() >= 0 and draws.max() < 1
    assert kstest(draws, "uniform").pvalue > 1e-3


def test_a_stream_is_the_same_for_ever() -> None:
    """Runs are repeated by their seed, so the streams may not change from version to version."""
    value = uniforms(np.array([stream(42, "generate/0/1", 3)], np.uint64), np.array([7], np.uint64))[0]
    assert stream(42, "generate/0/1", 3) == 14352091376041398796
    assert value == 0.10402348712433584
