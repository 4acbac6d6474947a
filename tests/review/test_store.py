"""What a person's verdict does to the views, and what it says of the data."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from stories import SHOP

from selfguide_lite import SelfguideError
from selfguide_lite.core.settings import Settings
from selfguide_lite.evaluate.data_quality import data_quality
from selfguide_lite.evaluate.statistics import wilson
from selfguide_lite.review.session import Said, Session
from selfguide_lite.store import NewInput, NewOutput, OwnInput, Store
from selfguide_lite.store.own import add_own_inputs
from selfguide_lite.store.reviews import review_of

TASK = SHOP.model_copy(update={"settings": Settings(calibrate=False, near_duplicate_threshold=None)})
THINGS = ("lamp", "soup", "boat", "coat", "tea", "violin", "bread", "chair", "spoon", "clock", "kettle", "rug")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Twelve pairs, one noisy input, one whose answer is not the label asked for, one without an answer."""
    with Store.open(tmp_path / "a.db") as opened:
        opened.add_task(TASK)
        run = opened.start_run(1, "generate", None, TASK.settings, 1, None)
        texts = [(f"What about the {thing}?", n % 2, n % 2) for n, thing in enumerate(THINGS * 2)]
        texts = [(f"{text} {n // 12}", asked, answered) for n, (text, asked, answered) in enumerate(texts)]
        texts += [("Great question! What about the oven?", 0, None), ("The cup was fine, I think.", 0, 1)]
        texts += [("Nobody has answered this.", 1, None)]
        for number, (text, asked, answered) in enumerate(texts):
            made = opened.add_input(NewInput(1, run, 0, number, text, TASK.labels[asked]))
            if answered is not None:
                weights = (0.9 - number / 100, 0.1 + number / 100)
                labels = (TASK.labels[answered], TASK.labels[1 - answered])
                opened.add_outputs(
                    [NewOutput(made, run, n, label, "score", weight)
                     for n, (label, weight) in enumerate(zip(labels, weights, strict=True))]
                )  # fmt: skip
        yield opened


def session(store: Store) -> Session:
    return Session(store, 1, "Ada")


def of(store: Store, text: str) -> int:
    return int(store._value("SELECT id FROM input WHERE text LIKE ?", f"%{text}%"))


def pairs(store: Store) -> dict[int, tuple[str, str, str | None]]:
    return {pair.input_id: (pair.input, pair.output, pair.by_hand) for pair in store.pairs(1)}


def test_a_verdict_beats_every_filter_and_can_be_undone(store: Store) -> None:
    before = pairs(store)
    assert len(before) == 24
    noisy, cup, unanswered, lamp = (of(store, word) for word in ("oven", "cup", "Nobody", "lamp? 0"))
    sitting = session(store)
    made = {
        "noisy": sitting.say(Said(noisy, "edit", answer="upset")),
        "cup": sitting.say(Said(cup, "accept")),
        "lamp": sitting.say(Said(lamp, "reject")),
        "soup": sitting.say(Said(of(store, "soup? 0"), "edit", input="The soup was cold.", answer="UPSET")),
        "input": sitting.say(Said(unanswered, "accept")),
    }
    now = pairs(store)
    assert now[noisy] == ("Great question! What about the oven?", "upset", "edit")
    assert now[cup] == ("The cup was fine, I think.", "upset", "accept")
    assert now[of(store, "soup? 0")] == ("The soup was cold.", "upset", "edit")
    assert lamp not in now and unanswered not in now
    reasons = dict(store._rows("SELECT id, reason FROM input_verdict"))
    assert reasons[lamp] == "review" and reasons[noisy] is None
    assert [shown.id for shown in store.unanswered(1, "score", 1)] == [unanswered]
    assert "The soup was cold." in store.input_texts(1)  # where evaluation rows are compared with what is known
    original = store._value("SELECT text FROM input WHERE id = ?", of(store, "soup? 0"))
    assert original == "What about the soup? 0"
    for review_id in made.values():
        assert review_id is not None and sitting.undo(review_id) and not sitting.undo(review_id)
    assert pairs(store) == before
    assert store._value("SELECT count(*) FROM review") == 10  # nothing was lost


def test_the_verdict_before_is_in_force_again(store: Store) -> None:
    lamp = of(store, "lamp? 0")
    sitting = session(store)
    first = sitting.say(Said(lamp, "reject"))
    second = sitting.say(Said(lamp, "accept", seen=first))
    assert first is not None and second is not None
    assert sitting.say(Said(lamp, "reject", seen=first)) is None  # another came meanwhile
    assert sitting.undo(second)
    found = review_of(store, lamp)
    assert found is not None and found.verdict == "reject" and found.reviewer == "Ada"


def test_an_edit_that_changes_nothing_is_an_acceptance_and_mistakes_are_told(store: Store) -> None:
    lamp = of(store, "lamp? 0")
    sitting = session(store)
    made = sitting.say(Said(lamp, "edit", input="What about the lamp? 0", answer="happy"))
    assert store._rows("SELECT verdict, input FROM review WHERE id = ?", made) == [("accept", None)]
    for said, why in (
        (Said(lamp, "edit", answer="angry"), "not one of the labels"),
        (Said(lamp, "edit", input="  "), "input is empty"),
        (Said(of(store, "Nobody"), "edit", input="x"), "give the answer too"),
        (Said(999, "accept"), "not among"),
    ):
        with pytest.raises(SelfguideError, match=why):
            sitting.say(said)


def test_orders(store: Store) -> None:
    sitting = session(store)
    doubt = sitting.queue("doubt")
    sure = dict(store._rows("SELECT id, confidence FROM answer_verdict"))
    assert [sure[number] for number in doubt] == sorted(sure.values())
    assert sitting.queue("disagreement") == [of(store, "cup")]
    assert sitting.queue("dropped", "noise") == [of(store, "oven")]
    assert set(sitting.queue("dropped")) == {of(store, "oven"), of(store, "cup")} - (
        set() if sitting.shown(of(store, "cup")).item.reason else {of(store, "cup")}
    )
    assert sitting.queue("random", seed=1) == sitting.queue("random", seed=1) != sitting.queue("random", seed=2)
    sample = sitting.queue("random", sample=4)
    assert len(sample) == len(set(sample)) == 4
    assert sum(sitting.shown(number).item.reason is None for number in sample) == 3
    assert len(sitting.queue("random", sample=1000)) == len(sitting.queue("random"))
    with pytest.raises(SelfguideError, match="no such order"):
        sitting.queue("best")
    sitting.say(Said(doubt[0], "accept"))
    assert doubt[0] not in session(store).queue("doubt")


def test_the_datas_quality_is_that_of_random_samples_alone(store: Store) -> None:
    sitting = session(store)
    assert data_quality(store, 1) == []
    kept = [number for number in sitting.queue("random") if sitting.shown(number).item.reason is None]
    for place, number in enumerate(kept[:10]):
        sitting.say(Said(number, "reject" if place < 2 else "accept", queue="random"))
    sitting.say(Said(kept[10], "reject", queue="doubt"))
    sitting.say(Said(of(store, "oven"), "edit", answer="happy", queue="random"))
    parts = {part.name: part for part in data_quality(store, 1)}
    assert (parts["kept"].right, parts["kept"].n) == (8, 10)
    assert (parts["kept"].share.low, parts["kept"].share.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert (parts["dropped"].right, parts["dropped"].n, parts["noise"].n) == (0, 1, 1)
    assert parts["kept"].sentence == "8 of 10 kept pairs are right: 80% (49% to 94%)"


def test_wilsons_interval_holds_what_it_promises() -> None:
    dice = random.Random(1)
    for true in (0.05, 0.5, 0.9):
        held = 0
        for _ in range(2000):
            found = wilson(sum(dice.random() < true for _ in range(40)), 40)
            held += found.low <= true <= found.high
        assert held / 2000 > 0.92
    with pytest.raises(ValueError, match="share needs at least one case"):
        wilson(0, 0)


def test_a_noise_term_is_shown_before_it_is_added(store: Store) -> None:
    sitting = session(store)
    found = sitting.would_drop("THE LAMP")
    assert (found.texts, found.pairs) == (2, 2) and all("lamp" in text for text in found.examples)
    assert len(store.pairs(1)) == 24
    sitting.add_noise("the lamp")
    assert of(store, "lamp? 0") not in pairs(store)
    with pytest.raises(SelfguideError, match="empty"):
        sitting.would_drop(" ")


def test_a_reviewed_added_input_and_a_given_row(store: Store) -> None:
    add_own_inputs(store, 1, [OwnInput("My own text here.", "a: row 1"), OwnInput("Given.", "a: row 2", "happy")], "a")
    sitting = session(store)
    own = of(store, "My own")
    with pytest.raises(SelfguideError):
        sitting.shown(of(store, "Given."))
    sitting.say(Said(own, "edit", answer="happy"))
    assert pairs(store)[own] == ("My own text here.", "happy", "edit")
    assert pairs(store)[of(store, "Given.")][2] == "given"
