"""Minimum Bayes risk: which of several answers wins, and with what share of the votes."""

from collections import Counter
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from selfguide_lite.metrics import rouge_l
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.synthesis.consensus import consensus_weights
from selfguide_lite.task import Example, Task

WORDS = st.lists(st.sampled_from(["the", "cat", "sat", "on", "a", "mat", "dog", "ran"]), max_size=5).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=8))
@example(["a", "b", "a", "b"])
@example(["", "", "cat"])
@example(["cat", "dog", "ran", "ran"])
@example(["the cat the", "the the cat cat cat", "the the the the", "the the cat cat sat", "the on"])
def test_the_answer_most_like_the_others_wins_with_its_mean_likeness(texts: list[str]) -> None:
    weights = consensus_weights(texts)
    votes: Counter[str] = Counter()
    for text, weight in zip(texts, weights, strict=True):
        votes[text] += weight  # type: ignore[assignment]
    likeness = [
        fmean(float(text == other) or rouge_l(text, [other]) for at, other in enumerate(texts) if at != place)
        if len(texts) > 1
        else 1.0
        for place, text in enumerate(texts)
    ]
    best = max(range(len(texts)), key=lambda place: round(likeness[place], 9))
    share = max(likeness)
    assert votes[texts[best]] == pytest.approx(share)  # what the view divides by: the sum, 1 or a little less
    assert all(weight >= 0 for weight in weights) and sum(weights) <= 1 + 1e-9
    assert sum(weights) == pytest.approx(1) or share <= 0.5
    if share > 0:
        assert all(votes[text] < votes[texts[best]] for text in votes if text != texts[best])


def test_the_views_take_it_and_hold_its_likeness_against_the_smallest_share(tmp_path: Path) -> None:
    task = Task(
        name="notes",
        kind="generation",
        instruction="Write the note as a sentence.",
        examples=(Example(input="late", output="I am late."),),
    )
    alike = ["the cat sat on the mat", "a dog", "the cat sat on a mat", "the cat sat there"]
    unlike = ["one two", "three four", "five six", "seven eight", "nine ten", "eleven", "red blue one"]
    with Store.open(tmp_path / "notes.db") as store:
        task_id = store.add_task(task)
        run = store.start_run(task_id, "annotate", None, {}, 0, None)
        inputs = [store.add_input(NewInput(task_id, run, n, 0, text)) for n, text in enumerate(("first", "other one"))]
        for input_id, texts in zip(inputs, (alike, unlike), strict=True):
            store.add_outputs(
                NewOutput(input_id, run, sample, text, "mbr", weight)
                for sample, (text, weight) in enumerate(zip(texts, consensus_weights(texts), strict=True))
            )
        rows = store.connection.execute("SELECT input_id, answer, share FROM answer ORDER BY input_id").fetchall()
        dropped = store.connection.execute("SELECT id FROM filter_answer_share").fetchall()
    winner = alike[2]  # its "a" is also in "a dog"
    others = [text for text in alike if text != winner]
    assert rows[0][1] == winner and rows[0][2] == pytest.approx(fmean(rouge_l(winner, [text]) for text in others))
    assert [row[0] for row in dropped] == [inputs[1]]
