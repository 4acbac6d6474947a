"""What the views make of a person's own inputs and rows: filters, duplicates, balance, votes."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfguide_lite.core.settings import Settings
from selfguide_lite.finetuning import training_pairs, weighted
from selfguide_lite.own_data import take_in
from selfguide_lite.store import NewInput, NewOutput, OwnInput, Store
from selfguide_lite.store.choices import change_setting
from selfguide_lite.store.own import add_own_inputs, own_inputs
from selfguide_lite.task import Example, Task
from selfguide_lite.task.eval_rows import EvalRow

TASK = Task(
    name="shop",
    kind="classification",
    instruction="Happy or upset?",
    labels=("happy", "upset"),
    examples=(
        Example(input="The bread was lovely, thank you!", output="happy"),
        Example(input="I waited for an hour and nobody came.", output="upset"),
    ),
    settings=Settings(calibrate=False, agreement_filter=False),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "a.db") as opened:
        opened.add_task(TASK)
        yield opened


def wrote(store: Store, texts: dict[str, str], first: int = 0) -> None:
    """Put in inputs that a model wrote, each with its answer."""
    run = store.start_run(1, "generate", None, TASK.settings, 1, None)
    for number, (text, label) in enumerate(texts.items(), first):
        made = store.add_input(NewInput(1, run, 0, number, text, label))
        store.add_outputs([NewOutput(made, run, 0, label)])


def reasons(store: Store) -> dict[str, str | None]:
    return dict(store._rows("SELECT i.text, v.reason FROM input_verdict AS v JOIN input AS i ON i.id = v.id"))


def added(*texts: str) -> list[OwnInput]:
    return [OwnInput(text, f"a.csv: row {number}") for number, text in enumerate(texts, 2)]


def gave(*rows: tuple[str, str]) -> list[OwnInput]:
    return [OwnInput(text, f"b.csv: row {number}", label) for number, (text, label) in enumerate(rows, 2)]


def test_added_inputs_pass_the_same_filters_and_each_can_be_switched_off_for_them(store: Store) -> None:
    long = "This goes on and on. " * 20
    noisy = "Great question, I hope this helps you."
    add_own_inputs(store, 1, added("The soup was cold today.", long, noisy, "THE SOUP  was cold today."), "a.csv")
    wrote(store, {long + "So it does.": "upset", "The soup was cold today. ": "upset"})
    assert reasons(store) == {
        "The soup was cold today.": "duplicate",  # the one a model wrote; the dictionary keeps the last of equal texts
        long.strip(): "length",
        noisy: "noise",
        (long + "So it does."): "length",
    }
    assert [shown.text for shown in store.pool(1)] == ["The soup was cold today."]
    assert store.pool(1)[0].round is None
    change_setting(store, 1, "added_filters_off", "length, noise")
    assert {text for text, reason in reasons(store).items() if reason is None} == {long.strip(), noisy}
    assert reasons(store)[long + "So it does."] == "length"  # what a model wrote is judged as before
    assert len(store.pool(1)) == 3


def test_an_added_input_is_taken_once_and_equal_ones_are_duplicates_by_the_filter(store: Store) -> None:
    assert add_own_inputs(store, 1, added("The soup was cold.", "the soup was  cold."), "a.csv") == 1
    assert add_own_inputs(store, 1, added("The soup was cold."), "a.csv") == 0
    (run,) = store._rows("SELECT stage, reason FROM run")
    assert run == ("add", "1 from a.csv")


def test_given_rows_are_in_the_dataset_as_they_are(store: Store) -> None:
    texts = ("x", "Great question! " * 40, "The bread was lovely, thank you!", "I am happy")
    add_own_inputs(store, 1, gave(*((text, "upset") for text in texts)), "b.csv")
    assert [(pair.input, pair.output, pair.by_hand) for pair in store.pairs(1)] == [
        (text.strip(), "upset", "given") for text in texts
    ]
    assert store.unanswered(1, "score", 1) == []
    assert set(reasons(store).values()) == {None}
    assert store._value("SELECT count(*) FROM vote") == 0
    store.connection.execute("INSERT INTO output(input_id, sample, text) SELECT id, 0, 'happy' FROM input")
    assert store._value("SELECT count(*) FROM vote") == 4  # a model answered them all the same
    found = store._rows("SELECT answer, share, confidence, n, by_hand FROM answer")
    assert found == [("upset", 1.0, 1.0, 0, "given")] * 4
    change_setting(store, 1, "given_weight", "0")
    assert store.pairs(1) == [] and set(reasons(store).values()) == {"given"}


def test_of_two_equal_inputs_the_given_one_stays(store: Store) -> None:
    wrote(store, {"The lamp broke at once.": "happy", "The lamp broke at once. ..": "upset"})
    add_own_inputs(store, 1, added("The lamp broke at ONCE."), "a.csv")
    add_own_inputs(store, 1, gave(("the lamp broke at once.", "upset")), "b.csv")
    verdicts = store._rows(
        "SELECT i.origin, v.reason FROM input_verdict AS v JOIN input AS i ON i.id = v.id ORDER BY i.id"
    )
    assert verdicts == [
        ("generated", "duplicate"),
        ("generated", "duplicate"),  # nearly the same
        ("added", "duplicate"),
        ("given", None),
    ]
    # A given row is no near duplicate of another.
    add_own_inputs(
        store,
        1,
        gave(
            ("The lamp broke at once!", "happy"),
        ),
        "b.csv",
    )
    assert [pair.input for pair in store.pairs(1)] == ["the lamp broke at once.", "The lamp broke at once!"]


def test_evaluation_rows_are_refused_by_number_and_contradictions_reported(store: Store) -> None:
    rows = [EvalRow("The tea is good.", ("happy",))]
    taken = take_in(store, 1, added("One text here.", "the TEA is good."), "a.csv", rows)
    assert taken.new == 1 and taken.refused == ("a.csv: row 3",)
    assert "a.csv: row 3" in taken.notes[0]
    given_rows = gave(("A coat, too warm.", "happy"), ("Fine.", "happy"), ("a coat, too warm.", "upset"))
    taken = take_in(store, 1, given_rows, "b.csv", rows)
    assert taken.contradictions == (("b.csv: row 2", "b.csv: row 4"),)
    assert {pair.input: pair.output for pair in store.pairs(1)} == {"A coat, too warm.": "happy", "Fine.": "happy"}
    again = take_in(store, 1, given_rows, "b.csv", rows)
    assert (again.new, again.known) == (0, 3) and again.contradictions == taken.contradictions
    assert not take_in(store, 1, added("Another text."), "c.csv", rows).notes  # what was told is not told again


def test_balance_trims_self_made_pairs_only(store: Store) -> None:
    change_setting(store, 1, "near_duplicate_threshold", "none")
    things = ("lamp", "soup", "boat", "coat", "tea", "violin", "bread", "chair", "spoon", "clock")
    wrote(store, {f"What about the {thing} now?": "happy" for thing in things})
    wrote(store, {f"What about no {thing} now?": "upset" for thing in things[:2]}, 20)
    assert Counter(pair.output for pair in store.pairs(1)) == {"happy": 2, "upset": 2}
    add_own_inputs(store, 1, gave(*((f"Given {thing} here.", "happy") for thing in things[:5])), "b.csv")
    pairs = store.pairs(1)
    assert Counter((pair.output, pair.by_hand) for pair in pairs) == {("happy", "given"): 5, ("upset", None): 2}
    funnel = {(row.stage, row.reason): row.n for row in store.funnel(1)}
    assert funnel["dataset", "kept"] == len(pairs) == 7 and funnel["dataset", "balance"] == 10
    add_own_inputs(store, 1, gave(*((f"Given {thing} there.", "upset") for thing in things[:8])), "b.csv")
    counts = Counter((pair.output, pair.by_hand) for pair in store.pairs(1))
    assert counts == {("happy", "given"): 5, ("happy", None): 5, ("upset", "given"): 8, ("upset", None): 2}


@pytest.mark.slow
@settings(max_examples=8)
@given(
    made=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    own=st.tuples(st.integers(0, 6), st.integers(0, 6)),
)
def test_no_given_row_is_ever_lost_to_balance(
    made: tuple[int, int], own: tuple[int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Store.open(tmp_path_factory.mktemp("db") / "a.db") as store:
        store.add_task(TASK.model_copy(update={"settings": Settings(
            calibrate=False, agreement_filter=False, near_duplicate_threshold=None, input_length_filter=False
        )}))  # fmt: skip
        for place, label in enumerate(TASK.labels):
            wrote(store, {f"written text {place} {n}": label for n in range(made[place])}, 100 * place)
            add_own_inputs(store, 1, gave(*((f"given text {place} {n}", label) for n in range(own[place]))), "b.csv")
        counts = Counter((pair.output, pair.by_hand) for pair in store.pairs(1))
        totals = {label: made[n] + own[n] for n, label in enumerate(TASK.labels) if made[n] + own[n]}
        quota = max(min(totals.values(), default=0), *own)
        for place, label in enumerate(TASK.labels):
            assert counts[label, "given"] == own[place]
            assert counts[label, "given"] + counts[label, None] == min(totals.get(label, 0), quota)
        kept = [row.n for row in store.funnel(1) if (row.stage, row.reason) == ("dataset", "kept")]
        assert sum(kept) == sum(counts.values())


def test_given_rows_are_repeated_by_their_weight_and_never_held_back(store: Store) -> None:
    change_setting(store, 1, "calibrate", "true")
    change_setting(store, 1, "balance", "false")
    change_setting(store, 1, "near_duplicate_threshold", "none")
    wrote(store, {f"Written number {n} comes here.": TASK.labels[n % 2] for n in range(300)})
    add_own_inputs(store, 1, gave(*((f"Given number {n} here.", "upset") for n in range(30))), "b.csv")
    trained = training_pairs(store, 1)
    assert sum(pair.by_hand == "given" for pair in trained) == 30
    assert sum(pair.by_hand is None for pair in trained) == 270
    change_setting(store, 1, "given_weight", "3")
    shown = Counter(pair.input for pair in weighted(trained, store.settings(1)))
    assert {shown[pair.input] for pair in trained if pair.by_hand} == {3}
    assert {shown[pair.input] for pair in trained if not pair.by_hand} == {1}


def test_own_inputs_come_back_as_they_went_in(store: Store) -> None:
    own = [*added("One.", "Two lines\nhere."), *gave(("Three.", "happy"))]
    add_own_inputs(store, 1, own, "a")
    assert own_inputs(store, 1) == own
