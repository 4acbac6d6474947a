"""Is it better: cross-fitted, seldom claimed where there is nothing, nearly always where there is much."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.evaluate import Evaluation
from selfguide_lite.evaluate.verdict import best_of, cross_fitted, crossed_gain, is_better, judge, unmeasured
from selfguide_lite.methods.names import names_of, parts, simplicity
from selfguide_lite.store import Prediction

PROMPTING = names_of(("zero-shot", "few-shot"), "classification")
FINETUNED = names_of(("finetuned",), "classification")


def sets(
    count: int, n: int, prompting: int, correlation: float, lift: float = 0.0, accuracy: float = 0.7, seed: int = 0
) -> float:
    """Return how often "better" is claimed of three finetuned variants, over many sets of n rows.

    :param correlation: of what any two methods find hard: 0 for independent methods, near 1 for near twins
    """
    generator = np.random.default_rng(seed)
    cuts = np.quantile(generator.standard_normal(200_000), [accuracy, accuracy + lift])
    claims = 0
    for _ in range(count):
        hard = generator.standard_normal(n) * correlation**0.5

        def drawn(cut: float, hard: npt.NDArray[np.float64] = hard) -> npt.NDArray[np.float64]:
            own = generator.standard_normal(n) * (1 - correlation) ** 0.5
            return (hard + own < cut).astype(np.float64)

        before = {f"few-shot {number}": drawn(cuts[0]) for number in range(prompting)}
        after = {name: drawn(cuts[1]) for name in FINETUNED}
        first = np.zeros(n, dtype=np.bool_)
        first[generator.permutation(n)[: n // 2]] = True
        claims += is_better(cross_fitted(before, after, first), before, after)
    return claims / count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "prompting", "correlation"), [(60, 5, 0.0), (200, 2, 0.5), (200, 5, 0.0), (200, 5, 0.5), (300, 8, 0.95)]
)
def test_no_difference_is_seldom_called_better(n: int, prompting: int, correlation: float) -> None:
    assert sets(1000, n, prompting, correlation) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_a_real_difference_is_nearly_always_found(correlation: float) -> None:
    assert sets(300, 200, 5, correlation, lift=0.15, accuracy=0.65) >= (0.8 if correlation == 0.0 else 0.95)


@pytest.mark.slow
def test_choosing_on_the_rows_that_score_would_claim_too_much() -> None:
    """What the halves are for: the best of many against one, all alike, looks better on the rows that chose it."""
    generator = np.random.default_rng(1)
    naive = crossed = 0.0
    for _ in range(200):
        before = {"few-shot": generator.random(100) < 0.7}
        after = {f"finetuned {number}": generator.random(100) < 0.7 for number in range(8)}
        first = np.arange(100) % 2 == 0
        naive += float(np.mean(after[best_of(after)])) - float(np.mean(before["few-shot"]))
        crossed += cross_fitted(before, after, first).gain.gain
    assert naive / 200 > 0.04 and abs(crossed / 200) < 0.015


def evaluation(method: str, scores: Sequence[float], number: int = 1) -> Evaluation:
    labels = ("good", "bad")
    kept = tuple(
        Prediction(place, f"row {place}", (labels[place % 2],), labels[place % 2] if score else "so-so", score)
        for place, score in enumerate(scores)
    )
    mean = sum(scores) / len(scores)
    return Evaluation(number, method, "exact match", list(scores), mean, mean, mean, kept)


def scores(right: int, n: int = 200, shift: int = 0) -> list[float]:
    """Return scores of which `right` are 1, spread evenly; `shift` moves them."""
    return [float((place + shift) * right // n != (place + shift - 1) * right // n) for place in range(n)]


def told(before: dict[str, list[float]], after: dict[str, list[float]], **more: object) -> object:
    made = [{name: evaluation(name, given) for name, given in side.items()} for side in (before, after)]
    return judge(made[0], made[1], "classification", 42, **more)  # type: ignore[arg-type]


def test_better_names_no_prompting_and_uses_the_best_variant() -> None:
    right = {"finetuned": scores(120), "finetuned scored": scores(180), "finetuned calibrated": scores(180)}
    verdict = told({"few-shot": scores(40), "few-shot calibrated": scores(120)}, right)
    assert verdict.sentence.startswith("Better than every prompting tried: +30.0 points (+")
    # A tie goes to the simpler one.
    assert verdict.winner == "finetuned scored" and verdict.gain.over == "few-shot calibrated"
    assert verdict.gain.n == 200 and verdict.gain.before == pytest.approx(0.6)
    assert verdict.crossed.overs == ("few-shot calibrated",) * 2


def test_not_better_and_worse_use_the_best_prompting() -> None:
    same = told({"few-shot calibrated": scores(120), "few-shot": scores(40)}, {"finetuned scored": scores(122)})
    assert same.sentence.startswith("Not shown to be better than few-shot calibrated prompting (+1.0 points, ")
    assert same.sentence.endswith("): predict uses few-shot calibrated") and same.winner == "few-shot calibrated"
    worse = told({"zero-shot scored": scores(150)}, {"finetuned scored": scores(60)})
    assert worse.sentence.startswith("Worse than zero-shot scored prompting (-45.0 points, -")
    assert worse.gain.high < 0 and worse.winner == "zero-shot scored"


def test_what_predict_cannot_use_is_compared_with_and_not_chosen() -> None:
    before = {"few-shot scored": scores(100), "self-icl scored": scores(180)}
    verdict = told(before, {"finetuned scored": scores(182)}, unusable=["self-icl scored"])
    assert verdict.gain.over == "self-icl scored" and verdict.sentence.startswith(
        "Not shown to be better than self-icl"
    )
    # It does beat all that could be used in its place.
    assert verdict.winner == "finetuned scored" and verdict.sentence.endswith("predict uses finetuned scored")


@pytest.mark.parametrize("n", [1, 59])
def test_few_rows_tell_nothing(n: int) -> None:
    verdict = told({"few-shot scored": [0.0] * n}, {"finetuned": [1.0] * n, "finetuned scored": [1.0] * n})
    assert verdict.gain is None and not verdict.tested and verdict.winner == "finetuned scored"
    assert verdict.sentence.startswith(f"Not measured: {n} evaluation rows") and "not tested" in verdict.sentence


def test_no_rows_and_no_model() -> None:
    assert unmeasured("generation").winner == "finetuned"
    assert unmeasured("classification").winner == "finetuned scored"
    verdict = told({"few-shot scored": scores(100), "few-shot": scores(20)}, {})
    assert verdict.gain is None and verdict.winner == "few-shot scored"


def test_other_rows_are_refused() -> None:
    with pytest.raises(SelfguideError, match="different examples"):
        crossed_gain({"a": evaluation("a", scores(10, 80))}, {"b": evaluation("b", scores(10, 60))}, 42)


def test_the_order_of_rows_does_not_matter() -> None:
    before, after = scores(100), scores(120, shift=3)
    rows = list(range(200))
    mixed = [rows[place * 7 % 200] for place in range(200)]

    def gain(order: list[int]) -> object:
        made = [evaluation("few-shot", before), evaluation("finetuned", after)]
        turned = [
            Evaluation(
                one.id, one.method, one.metric, [one.scores[place] for place in order], 0, 0, 0,
                tuple(one.predictions[place] for place in order),
            )
            for one in made
        ]  # fmt: skip
        return crossed_gain({"few-shot": turned[0]}, {"finetuned": turned[1]}, 42).gain

    assert gain(rows) == gain(mixed)


def test_names() -> None:
    assert PROMPTING == [
        "zero-shot scored",
        "zero-shot calibrated",
        "few-shot",
        "few-shot scored",
        "few-shot calibrated",
    ]
    assert FINETUNED == ["finetuned", "finetuned scored", "finetuned calibrated"]
    assert names_of(("zero-shot", "few-shot", "finetuned"), "generation") == ["zero-shot", "few-shot", "finetuned"]
    assert parts("few-shot calibrated") == ("few-shot", "calibrated") and parts("self-icl") == ("self-icl", "free")
    assert sorted(FINETUNED, key=simplicity) == ["finetuned scored", "finetuned calibrated", "finetuned"]
