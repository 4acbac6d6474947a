"""What inputs are answered with: shares, calibration, agreement, the filters of answers, by numbers worked out here."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.settings import Settings
from selfguide_lite.store import Agreement, NewInput, NewOutput, Store
from selfguide_lite.store.filters import add_filter, drop_filter, list_filters
from selfguide_lite.task import Example, Task

MAIL = Task(
    name="mail",
    kind="classification",
    instruction="Is it spam?",
    labels=("spam", "ham"),
    examples=(Example(input="win a prize", output="spam"), Example(input="see you at noon", output="ham")),
    settings=Settings(input_length_filter=False, near_duplicate_threshold=None, balance=False),
)
SENT = MAIL.model_copy(update={"settings": MAIL.settings.changed({"method": "sample", "agreement_filter": False})})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "run.db") as opened:
        yield opened


def scored(store: Store, shares: list[float], asked: list[str | None] | None = None, task: Task = MAIL) -> int:
    """Put an input for each share of "spam" into the store, its labels scored, and return the task's id."""
    task_id = store.add_task(task)
    run = store.start_run(task_id, "generate", None, task.settings, 1, None)
    for number, share in enumerate(shares):
        label = asked[number] if asked else None
        shown = store.add_input(NewInput(task_id, run, 0, number, f"text number {number}", label))
        pair = zip(task.labels, (share, 1 - share), strict=True)
        store.add_outputs([NewOutput(shown, run, n, text, "score", weight) for n, (text, weight) in enumerate(pair)])
    return task_id


def answers(store: Store) -> list[tuple[str, float, int]]:
    return store.connection.execute(
        "SELECT answer, round(confidence, 6), calibrated FROM answer ORDER BY input_id"
    ).fetchall()


def reasons(store: Store) -> list[str | None]:
    return [reason for (reason,) in store.connection.execute("SELECT reason FROM answer_verdict ORDER BY id")]


def test_a_share_counts_all_samples_that_were_drawn(store: Store) -> None:
    task_id = store.add_task(SENT)
    run = store.start_run(task_id, "generate", None, SENT.settings, 1, None)
    for number, survivors in enumerate((1, 3)):
        shown = store.add_input(NewInput(task_id, run, 0, number, f"text {number}"))
        texts = ["spam"] * survivors + ["no idea"] * (10 - survivors)
        store.add_outputs([NewOutput(shown, run, n, text) for n, text in enumerate(texts)])
    assert [share for (share,) in store.connection.execute("SELECT share FROM vote ORDER BY input_id")] == [0.1, 0.3]
    assert store.connection.execute("SELECT id, detail FROM filter_answer_share").fetchall() == [
        (1, "share 10.0 %, at least 30.0 % wanted")
    ]
    assert reasons(store) == ["share", None] and [pair.input_id for pair in store.pairs(task_id)] == [2]
    assert [(row.stage, row.reason, row.n) for row in store.funnel(task_id)][-3:] == [
        ("answer", "share", 1),
        ("answer", "kept", 1),
        ("dataset", "kept", 1),
    ]
    store.set_setting(task_id, "min_vote_share", 0.1)
    assert reasons(store) == [None, None]
    for votes, kept in ((2, ["share", None]), (4, ["share", "share"])):  # so many samples, whatever their share is
        store.set_setting(task_id, "min_votes", votes)
        assert reasons(store) == kept
    assert store.connection.execute("SELECT id, detail FROM filter_answer_share").fetchall() == [
        (1, "votes 1, at least 4 wanted"),
        (2, "votes 3, at least 4 wanted"),
    ]
    store.set_setting(task_id, "consistency_filter", False)
    assert reasons(store) == [None, None]


def test_a_model_that_leans_to_one_label_is_calibrated_over_the_pool(store: Store) -> None:
    shares = [0.9] * 10 + [0.7] * 10
    task_id = scored(store, shares)
    assert store.connection.execute("SELECT label, round(mean, 9), n FROM label_prior").fetchall() == [
        ("spam", 0.8, 20),
        ("ham", 0.2, 20),
    ]
    sure, unsure = 0.9 / 0.8 / (0.9 / 0.8 + 0.1 / 0.2), 0.3 / 0.2 / (0.7 / 0.8 + 0.3 / 0.2)
    assert answers(store) == [("spam", round(sure, 6), 1)] * 10 + [("ham", round(unsure, 6), 1)] * 10
    raw = [share for (share,) in store.connection.execute("SELECT round(share, 9) FROM answer ORDER BY input_id")]
    assert raw == [0.9] * 10 + [0.3] * 10
    store.set_setting(task_id, "calibrate", False)
    assert answers(store) == [("spam", share, 0) for share in shares]
    store.set_setting(task_id, "calibrate", True)
    store.set_setting(task_id, "calibrate_min_inputs", 21)
    assert {answer for answer, _, _ in answers(store)} == {"spam"}


def test_inputs_that_filters_reject_do_not_count_for_the_prior_and_are_answered(store: Store) -> None:
    task_id = scored(store, [0.6] * 20 + [0.99])
    store.change_noise_terms(task_id, add=["number 20"])
    assert store.connection.execute("SELECT round(mean, 9), n FROM label_prior").fetchall() == [(0.6, 20), (0.4, 20)]
    assert len(answers(store)) == 21 and len(reasons(store)) == 20


def test_calibration_aims_at_the_shares_that_labels_have_in_life(store: Store) -> None:
    rare = MAIL.model_copy(update={"label_shares": {"spam": 0.1, "ham": 0.9}})
    scored(store, [0.9] * 10 + [0.7] * 10, task=rare)
    spam, ham = 0.9 / 0.8 * 0.1, 0.1 / 0.2 * 0.9
    assert answers(store)[0] == ("ham", round(ham / (spam + ham), 6), 1)
    store.connection.execute("UPDATE label SET share = NULL")
    assert answers(store)[0][0] == "spam"


def test_votes_are_calibrated_as_scores_are(store: Store) -> None:
    task = SENT.model_copy(update={"settings": SENT.settings.changed({"calibrate": True})})
    task_id = store.add_task(task)
    run = store.start_run(task_id, "generate", None, task.settings, 1, None)
    for number in range(20):
        shown = store.add_input(NewInput(task_id, run, 0, number, f"text {number}"))
        spam = 9 if number < 10 else 6
        texts = ["spam"] * spam + ["ham"] * (10 - spam)
        store.add_outputs([NewOutput(shown, run, n, text) for n, text in enumerate(texts)])
    assert [answer for answer, _, _ in answers(store)] == ["spam"] * 10 + ["ham"] * 10


def test_an_answer_that_is_not_the_label_asked_for_drops_the_input(store: Store) -> None:
    asked: list[str | None] = ["spam"] * 8 + ["ham", None] + ["ham"] * 8 + ["spam", None]
    task_id = scored(store, [0.9] * 10 + [0.7] * 10, asked)
    store.set_setting(task_id, "agreement_min_pairs", 9)
    wanted = [None] * 8 + ["disagreement", None] + [None] * 8 + ["disagreement", None]
    assert reasons(store) == wanted
    assert store.connection.execute("SELECT id, detail FROM filter_answer_disagreement ORDER BY id").fetchall() == [
        (9, "asked for ham, answered spam"),
        (19, "asked for spam, answered ham"),
    ]
    found = store.agreement(task_id)
    assert found == Agreement(asked=18, agreeing=16, expected=0.5, rarest=9, enabled=True, fallback=False)
    assert found.beyond_chance and "16 of 18 answers (89%)" in found.sentence
    assert [shown.agrees for shown in store.agreeing_pool(task_id)][7:10] == [True, False, None]
    assert [shown.id for shown in store.unpaired_inputs(task_id)] == [9, 19]
    # Too few pairs of the rarest label would be left: then none goes.
    store.set_setting(task_id, "agreement_min_pairs", 10)
    assert reasons(store) == [None] * 20 and store.agreement(task_id).fallback
    assert store.connection.execute("SELECT count(*) FROM filter_answer_disagreement").fetchone() == (0,)
    store.set_setting(task_id, "agreement_min_pairs", 0)
    store.set_setting(task_id, "agreement_filter", False)
    assert reasons(store) == [None] * 20 and not store.agreement(task_id).fallback


def test_the_fallback_counts_what_the_other_filters_of_answers_leave(store: Store) -> None:
    asked: list[str | None] = ["spam"] * 10 + ["ham"] * 9 + ["spam"]
    task_id = scored(store, [0.9] * 10 + [0.7] * 10, asked)
    store.set_setting(task_id, "agreement_min_pairs", 9)
    assert reasons(store)[-1] == "disagreement"
    add_filter(store, "answer", "eleventh", "select input_id as id, 'x' as detail from answer where input_id = 11")
    assert store.agreement(task_id).rarest == 8 and reasons(store).count("disagreement") == 0


def test_a_prior_counts_inputs_with_one_answer_too(store: Store) -> None:
    task_id = store.add_task(SENT)
    run = store.start_run(task_id, "generate", None, SENT.settings, 1, None)
    for number, texts in enumerate((["spam"] * 4, ["spam", "spam", "spam", "ham"], ["no idea"], ["ham"])):
        shown = store.add_input(NewInput(task_id, run, 0, number, f"text {number}"))
        store.add_outputs([NewOutput(shown, run, n, text) for n, text in enumerate(texts)])
    found = store.connection.execute("SELECT label, mean, n FROM label_prior ORDER BY label").fetchall()
    assert found == [("ham", pytest.approx(1.25 / 3), 3), ("spam", pytest.approx(1.75 / 3), 3)]


def test_where_all_agree_nothing_is_a_fallback_and_a_label_never_answered_counts_nothing(store: Store) -> None:
    task_id = scored(store, [0.9] * 6, ["spam"] * 6)  # under 20 inputs nothing is calibrated: all are answered spam
    assert store.agreement(task_id) == Agreement(6, 6, 1.0, 0, True, False)


def test_agreement_by_chance_is_told_from_more(store: Store) -> None:
    task_id = scored(store, [0.9, 0.7] * 40, ["spam", "spam", "ham", "ham"] * 20)
    found = store.agreement(task_id)
    assert (found.asked, found.agreeing, found.expected, found.beyond_chance) == (80, 40, 0.5, False)
    store.add_task(SENT.model_copy(update={"name": "empty"}))
    assert store.agreement(2) == Agreement(0, 0, 0.0, 0, False, False) and not store.agreement(2).beyond_chance


def test_the_pairs_that_balancing_draws_are_the_same_for_ever(store: Store) -> None:
    """Runs are repeated by their settings, so what a dataset_seed draws may not change from version to version."""
    task_id = scored(store, [0.9] * 15 + [0.1] * 3)  # under 20 inputs nothing is calibrated
    store.connection.execute("UPDATE input SET round = prompt % 4, prompt = prompt / 4")
    store.set_setting(task_id, "balance", True)
    drawn = []
    for seed in (0, 1, 2**31):
        store.set_setting(task_id, "dataset_seed", seed)
        drawn.append([pair.input_id for pair in store.pairs(task_id) if pair.output == "spam"])
    assert drawn == [[1, 11, 4], [2, 7, 8], [13, 3, 8]]
    store.set_setting(task_id, "random_labels", True)
    assert "".join(pair.output[0] for pair in store.pairs(task_id)) == "shsshh"


def test_the_funnel_counts_each_task_by_itself(store: Store) -> None:
    for name in ("one", "two"):
        task = MAIL.model_copy(update={"name": name, "settings": MAIL.settings.changed({"balance": True})})
        task_id = scored(store, [0.9] * 4 + [0.1] * 2, ["spam"] * 3 + ["ham"] * 3, task)
        store.set_setting(task_id, "agreement_min_pairs", 1)
        for number, (text, outputs) in enumerate((("", ()), ("nobody asks", ()), ("odd", ("no idea", "none"))), 10):
            shown = store.add_input(NewInput(task_id, task_id, 0, number, text))
            store.add_outputs([NewOutput(shown, task_id, n, output) for n, output in enumerate(outputs)])
        wanted = {
            ("input", "empty"): 1, ("input", "kept"): 8, ("output", "label"): 2, ("output", "kept"): 12,
            ("answer", "unanswered"): 1, ("answer", "no valid answer"): 1, ("answer", "disagreement"): 1,
            ("answer", "kept"): 5, ("dataset", "balance"): 1, ("dataset", "kept"): 4,
        }  # fmt: skip
        assert {(row.stage, row.reason): row.n for row in store.funnel(task_id)} == wanted
    assert {(row.stage, row.reason): row.n for row in store.funnel(1)} == wanted


def test_unsure_answers_can_be_dropped(store: Store) -> None:
    task_id = scored(store, [0.9] * 10 + [0.7] * 10)
    assert reasons(store) == [None] * 20
    store.set_setting(task_id, "min_confidence", 0.5)  # the raw shares of ten winners are 0.3
    assert reasons(store) == [None] * 20
    store.set_setting(task_id, "min_confidence", 0.8)
    details = {detail for (detail,) in store.connection.execute("SELECT detail FROM filter_answer_confidence")}
    assert details and all(detail.endswith(", at least 80.0 % wanted") for detail in details)
    store.set_setting(task_id, "min_confidence", 0.5)
    store.set_setting(task_id, "min_confidence", 0.66)
    assert reasons(store) == [None] * 10 + ["confidence"] * 10
    rows = {(row.stage, row.name): row.rejects for row in list_filters(store, task_id)}
    assert rows["answer", "confidence"] == 10 and rows["answer", "disagreement"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "statement"),
    [
        ("input", "select input_id as id, 'x' as detail from answer"),
        ("input", "select i.id, 'x' as detail from input i, answer a where a.input_id = i.id"),
        ("input", "select id, 'x' as detail from input where (select count(*) from agreement) > 0"),
        ("output", "select output_id as id, 'x' as detail from vote"),
        ("answer", "select id, 'x' as detail from answer_verdict"),
        ("answer", "select input_id as id, 'x' as detail from dataset"),
    ],
)
def test_no_filter_reads_what_is_made_from_it(store: Store, stage: str, statement: str) -> None:
    scored(store, [0.9])
    with pytest.raises(SelfguideError, match=f"may not read .*, which is made from the {stage} filters"):
        add_filter(store, stage, "own", statement)  # type: ignore[arg-type]
    store.connection.execute(f"CREATE VIEW filter_{stage}_own AS {statement}")
    with Store.open(store.path) as again:  # such a view in plain SQL is reported, and harms nothing
        assert len(again.pairs(1)) == 1
        (own,) = [row for row in list_filters(again, 1) if row.own]
        assert own.problem is not None and "which is made from" in own.problem


def test_a_column_may_be_called_answer(store: Store) -> None:
    task_id = scored(store, [0.9, 0.2])
    statement = "select input_id as id, 'x' as detail from vote where answer = 'ham' and place = 1"
    assert add_filter(store, "input", "ham", statement) == 1
    assert [shown.id for shown in store.pool(task_id)] == [1]
    drop_filter(store, "ham")
    assert len(store.pool(task_id)) == 2


def test_a_filter_of_answers_in_plain_sql_counts_from_the_next_opening(store: Store) -> None:
    scored(store, [0.9, 0.6])
    other = sqlite3.connect(store.path)
    other.execute("CREATE VIEW filter_answer_even AS SELECT id, 'even' AS detail FROM input WHERE id % 2 = 0")
    other.execute("CREATE VIEW filter_answer_two AS SELECT id, 'also even' AS detail FROM input WHERE id = 2")
    other.commit()
    other.close()
    with Store.open(store.path) as again:
        assert reasons(again) == [None, "even"]  # the first of the two, by their names
        assert again.connection.execute("SELECT detail FROM answer_verdict ORDER BY id").fetchall()[1] == ("even",)
