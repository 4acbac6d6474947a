"""Golden values: exact match as the benchmark normalises, ROUGE-L against the rouge-score package itself."""

import string
import time
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfguide_lite.core.matching import normalize
from selfguide_lite.evaluate import bootstrap, exact_match, macro_f1, paired_gain, rouge_l
from selfguide_lite.kinds import kind_named
from selfguide_lite.metrics import recall_by_label

ODD_TEXTS = [
    "",
    " ",
    "Paris",
    "paris.",
    "  The   Cat\tsat\non the MAT! ",
    "It's a well-known fact: running runners ran, quickly.",
    "U.S.A.",
    "don't / do not",
    "3.14 is about 22/7",
    "naïve café über straße",
    "İstanbul DİYARBAKIR",
    "日本語 の テキスト abc",
    "🙂 smile 🙂",
    "x_y __init__ a-b-c",
    "the the the the",
    "generously generous generation generations organised organization",
    "e\u0301clair",
    "ﬁne ＡＢＣ",
    "a\u200bb",
    "\u00a0no-break\u00a0space",
    "aaa " * 300,
]


@cache
def package() -> Any:
    """The package's scorer, loaded when it is used: that takes seconds, and every process collects this file."""
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)


def test_rouge_l_is_the_packages_value_on_odd_pairs():
    scorer = package()
    for reference in ODD_TEXTS:
        for prediction in ODD_TEXTS:
            assert rouge_l(prediction, [reference]) == scorer.score(reference, prediction)["rougeL"].fmeasure


words = st.sampled_from(["the", "running", "runner", "Cats", "cat", "it's", "42", "É", "a", "nationally", ",", "\n"])


@given(st.lists(words, max_size=90).map(" ".join), st.lists(words, max_size=90).map(" ".join))
def test_rouge_l_is_the_packages_value_on_any_words(reference, prediction):
    assert rouge_l(prediction, [reference]) == package().score(reference, prediction)["rougeL"].fmeasure


@given(st.text(max_size=60), st.text(max_size=60))
def test_rouge_l_is_the_packages_value_on_any_text(reference, prediction):
    assert rouge_l(prediction, [reference]) == package().score(reference, prediction)["rougeL"].fmeasure


def test_rouge_l_takes_the_best_reference():
    assert rouge_l("a b c d", ["x", "a b c d", "a b"]) == 1.0
    assert rouge_l("a b", []) == 0.0


def benchmark_normalize(text: str) -> str:
    """Written from the benchmark's description, the slow way."""
    kept = [character for character in text.lower() if character not in set(string.punctuation)]
    return " ".join("".join(kept).split())


@given(st.text(max_size=80) | st.sampled_from(ODD_TEXTS))
def test_normalize_is_the_benchmarks(text):
    assert normalize(text) == benchmark_normalize(text)


@pytest.mark.parametrize(
    ("prediction", "references", "labels", "score"),
    [
        ("Paris.", ["paris"], (), 1.0),
        ("  PARIS ", ["Lyon", "Paris!"], (), 1.0),
        ("In Paris", ["Paris"], (), 0.0),
        ("", ["Paris"], (), 0.0),
        ("Sure! The answer is: Yes.", ["yes"], ("yes", "no"), 1.0),
        ("yes or no? no", ["yes"], ("yes", "no"), 0.0),
        ("not entailment, but neutral", ["neutral"], ("entailment", "neutral"), 1.0),
        ("It is not spam", ["not spam"], ("spam", "not spam"), 1.0),
        ("It is not spam", ["spam"], ("spam", "not spam"), 0.0),
        ("nothing", ["no"], ("yes", "no"), 0.0),
        ("USA", ["U.S.A."], ("U.S.A.", "U.K."), 1.0),
        ("yes", ["Yes."], ("yes", "no"), 1.0),
    ],
)
def test_exact_match_on_the_last_label(prediction, references, labels, score):
    kind = kind_named("classification" if labels else "generation")
    assert exact_match(kind.parse(prediction, labels) or prediction, references) == score
    if labels:
        assert kind.score(prediction, references, labels) == score


def test_macro_f1_and_recall_count_every_label_alike():
    rights = ["ham"] * 9 + ["spam"]
    constant = ["ham"] * 10
    assert recall_by_label(constant, rights, ("ham", "spam")) == {"ham": 1.0, "spam": 0.0}
    assert macro_f1(constant, rights, ("ham", "spam")) == pytest.approx((18 / 19) / 2)
    assert macro_f1(rights, rights, ("ham", "spam", "never")) == 1.0
    # An answer without a label is wrong, and is no label of its own; one that is only answered has an F1 of 0.
    assert macro_f1(["a", None], ["a", "b"], ("a", "b")) == pytest.approx(0.5)
    assert macro_f1(["a", "c"], ["a", "b"], ("a", "b", "c")) == pytest.approx(1 / 3)
    assert recall_by_label(["c", None], ["a", "a"], ("a", "b", "c")) == {"a": 0.0}
    assert macro_f1([], [], ("a", "b")) == 0.0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40))
def test_macro_f1_by_its_definition(pairs):
    answers, rights = [answer for answer, _ in pairs], [right for _, right in pairs]
    parts = []
    for label in sorted({*answers, *rights}):
        hits = sum(answer == right == label for answer, right in pairs)
        precision, recall = (hits / max(1, side.count(label)) for side in (answers, rights))
        parts.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    assert macro_f1(answers, rights, ("a", "b", "c")) == pytest.approx(sum(parts) / len(parts))


def test_a_large_set_takes_a_tenth_of_the_plain_loop():
    generator = np.random.default_rng(0)
    vocabulary = ["".join(generator.choice(list("abcdefghij"), size=7)) for _ in range(1000)]
    texts = [" ".join(generator.choice(vocabulary, size=20)) for _ in range(1200)]
    predictions, references = texts[:600], [[text] for text in texts[600:]]
    rouge_l("warm up", ["warm up"])
    start = time.process_time()
    score = kind_named("generation").score
    fast = [score(text, right, ()) for text, right in zip(predictions, references, strict=True)]
    fast_seconds = time.process_time() - start
    scorer = package()
    start = time.process_time()
    pairs = zip(references, predictions, strict=True)
    plain = [scorer.score(right[0], text)["rougeL"].fmeasure for right, text in pairs]
    assert fast == plain
    assert fast_seconds < (time.process_time() - start) / 2  # of this process alone; measured: a tenth and less


def test_bootstrap_is_repeatable_and_close_to_the_normal_interval():
    scores = [1.0] * 240 + [0.0] * 60
    interval = bootstrap(scores)
    assert interval == bootstrap(scores)
    half = 1.96 * (0.8 * 0.2 / 300) ** 0.5
    assert interval.mean == pytest.approx(0.8)
    assert (interval.low, interval.high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.006)


def test_bootstrap_by_counts_agrees_with_drawing_rows():
    generator = np.random.default_rng(3)
    values = generator.random(80)
    drawn = values[generator.integers(0, 80, size=(10_000, 80))].mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    interval = bootstrap(values.tolist())
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.004)


def test_paired_gain_is_narrower_than_two_separate_intervals():
    before = [0.0, 1.0] * 100
    after = [1.0 if place % 20 == 0 else score for place, score in enumerate(before)]
    gain = paired_gain(before, after, "exact match")
    assert (gain.n, gain.before, gain.after) == (200, 0.5, 0.55)
    assert gain.gain == pytest.approx(0.05)
    assert gain.low > 0 and gain.verdict == "better"
    assert gain.high - gain.low < 0.07


def test_gain_edges():
    same = paired_gain([1.0, 0.0], [1.0, 0.0])
    assert (same.low, same.high, same.verdict) == (0.0, 0.0, "no clear difference")
    assert paired_gain([1.0] * 50, [0.0] * 50).verdict == "worse"
    with pytest.raises(ValueError, match="not the same examples"):
        paired_gain([1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="no values"):
        bootstrap([])
