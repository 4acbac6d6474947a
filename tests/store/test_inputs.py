"""The filters of inputs on texts as people and models write them, and files of format 1."""

import json
from pathlib import Path

import pytest
from sqlite_utils import Database

from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.store.choices import change_setting
from selfguide_lite.store.migrations import APPLICATION_ID, migrations
from selfguide_lite.task import NOISE_TERMS, PAPER_NOISE_TERMS, Example, Task, effective_noise_terms

NOTE = Task(
    name="note",
    kind="generation",
    instruction="Sum it up.",
    examples=(Example(input="The meeting is on Monday at ten.", output="Monday, ten."),),
    settings=Settings(input_length_filter=False, output_length_filter=False, near_duplicate_threshold=None),
)


def reasons(path: Path, task: Task, texts: list[str]) -> list[str | None]:
    with Store.open(path) as store:
        task_id = store.add_task(task)
        run = store.start_run(task_id, "generate", None, task.settings, 1, None)
        for number, text in enumerate(texts):
            store.add_input(NewInput(task_id, run, 0, number, text))
        return [reason for (reason,) in store.connection.execute("SELECT reason FROM input_verdict ORDER BY id")]


KEPT = [
    "Hi Ann, thanks for the input on the draft. I have made the changes, the new output is attached. Best, Tom",
    '{"input": "a", "output": ["b", "c"]}',
    "Let me know if you can make it to dinner tonight.",
    "I'd be happy to join you on Friday.",
    "It serves as an aide to the office, and here is the key to room 4.",
    "The printer shows an input: paper size A4.",
    "Please write another letter to the bank.",
]
NOISE = [
    "Sure, here is a new one: the meeting is moved.",
    "Here is a sentence about a meeting:",
    "Input: The meeting is on Tuesday.",
    "The meeting is on Tuesday.\nOutput: Tuesday.",
    "As an AI language model I have no meetings.",
    "Write another, different one.",
    "Write one new, different input about a meeting.",
    "The meeting is off.\n\nIt was on Monday.",
    "Great question! It is on Monday.",
]


def test_noise_is_what_an_assistant_says_and_not_what_people_write(tmp_path: Path) -> None:
    assert reasons(tmp_path / "a.db", NOTE, KEPT) == [None] * len(KEPT)
    assert reasons(tmp_path / "b.db", NOTE, NOISE) == ["noise"] * len(NOISE)


def test_a_term_with_a_caret_counts_at_a_lines_start_also_in_plain_sql(tmp_path: Path) -> None:
    task = NOTE.model_copy(update={"noise_terms": ("^stop", "^")})
    texts = ["Stop it", "do not\nSTOP", "do not stop", "a ^ b", "^stop"]
    assert reasons(tmp_path / "a.db", task, texts) == ["noise", "noise", None, "noise", "noise"]
    with Store.open(tmp_path / "a.db") as store:
        store.change_noise_terms(1, add=["^do not"], drop=["^", "^stop"])
        store.connection.execute("UPDATE input SET text = 'please do not' WHERE id = 2")
        found = store.connection.execute("SELECT id, detail FROM filter_input_noise").fetchall()
        assert found == [(3, "^do not")]


def test_a_default_term_that_an_example_holds_is_no_noise() -> None:
    assert effective_noise_terms(NOTE) == NOISE_TERMS
    example = Example(input="Input: two\n\nlines with a \\_", output="Here is the sum")
    task = NOTE.model_copy(update={"examples": (example,)})
    left_out = set(NOISE_TERMS) - set(effective_noise_terms(task))
    assert left_out == {"^input:", "\n\n", "\\_", "^here is the"}
    paper = task.model_copy(update={"settings": Settings(noise_list="paper")})
    assert set(PAPER_NOISE_TERMS) - set(effective_noise_terms(paper)) == {"input", "\n\n", "\\_", "here is the"}
    own = task.model_copy(update={"noise_terms": ("input",)})
    assert effective_noise_terms(own) == ("input",)


def test_the_list_of_terms_can_be_chosen_later(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        task_id = store.add_task(NOTE)
        store.change_noise_terms(task_id, add=["mine"])
        assert set(store.noise_terms(task_id)) == {*NOISE_TERMS, "mine"}
        store.add_task(NOTE.model_copy(update={"settings": NOTE.settings.changed({"noise_list": "paper"})}))
        assert set(store.noise_terms(task_id)) == {*PAPER_NOISE_TERMS, "mine"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("This is spam.", "spam"),
        ("SPAM!", "spam"),
        ("spam", "spam"),
        ("a spammer wrote it", None),
        ("antispam", None),
        ("spam_folder", None),
        ("It was not  good", "not good"),
        ("good", None),  # a seed input names it
        ("ein Ärger", "ÄRGER"),
        ("verärgert", None),
        ("spammer and spam", "spam"),
    ],
)
def test_an_input_that_names_a_label_is_dropped_unless_a_seed_input_names_it(
    tmp_path: Path, text: str, named: str | None
) -> None:
    task = Task(
        name="t",
        kind="classification",
        instruction="say",
        labels=("spam", "good", "not good", "ÄRGER"),
        examples=(Example(input="so good, this one", output="good"), Example(input="a day in Rome", output="spam")),
        settings=Settings(input_length_filter=False),
    )
    assert reasons(tmp_path / "a.db", task, [text]) == ["label_named" if named else None]
    with Store.open(tmp_path / "a.db") as store:
        found = store.connection.execute("SELECT detail FROM filter_input_label_named").fetchall()
        assert found == ([(f"names the label {named}",)] if named else [])
        store.set_setting(1, "label_named_filter", False)
        assert len(store.pool(1)) == 1


def test_a_label_that_ends_in_a_sign_has_no_edge_there(tmp_path: Path) -> None:
    examples = (Example(input="a loop", output="c++"), Example(input="a class", output="java"))
    task = Task(name="t", kind="classification", instruction="say", labels=("c++", "java"), examples=examples)
    task = task.model_copy(update={"settings": Settings(input_length_filter=False)})
    assert reasons(tmp_path / "a.db", task, ["in c++11 it compiles", "javascript it is", "c+ and more"]) == [
        "label_named", None, None,
    ]  # fmt: skip


def test_lengths_from_a_part_of_the_shortest_to_a_multiple_of_the_longest(tmp_path: Path) -> None:
    task = Task(
        name="t",
        kind="generation",
        instruction="say",
        examples=(Example(input="a" * 9, output="b" * 6), Example(input="c" * 20, output="d" * 6)),
        settings=Settings(near_duplicate_threshold=None),
    )
    assert reasons(tmp_path / "a.db", task, ["x" * n for n in (2, 3, 60, 61)]) == ["length", None, None, "length"]
    with Store.open(tmp_path / "a.db") as store:
        inputs, outputs = store.length_bounds(1)
        assert (inputs.low, inputs.high, inputs.rule) == (3, 60, "range")
        assert (outputs.low, outputs.high, outputs.enabled) == (2, 18, True)
        store.set_setting(1, "length_rule", "deviations")
        assert [bound.rule for bound in store.length_bounds(1)] == ["deviations"] * 2
        assert store.length_bounds(1)[0].high == pytest.approx(14.5 + 2 * 5.5)
        # As near as lengths can be without being equal: not the slack for equal lengths.
        store.connection.execute("UPDATE example SET input = 'a' WHERE number = 0")
        store.connection.execute("UPDATE example SET input = 'bb' WHERE number = 1")
        bounds = store.length_bounds(1)[0]
        assert (bounds.low, bounds.high) == pytest.approx((0.5, 2.5))


def old_file(path: Path) -> None:
    """Make a file as format 1 was, with rows that every later filter would judge otherwise."""
    database = Database(path)
    migrations().apply(database, stop_before="2026-11-24-calibration")
    run = database.conn.execute
    run(f"PRAGMA application_id = {APPLICATION_ID}")
    run("PRAGMA user_version = 1")
    run(
        "INSERT INTO task(id, name, kind, instruction, noise_terms) VALUES (1, 'mail', 'classification', 'Spam?', ?)",
        (json.dumps(PAPER_NOISE_TERMS),),
    )
    run("INSERT INTO example VALUES (1, 0, 'win a prize', 'spam', NULL), (1, 1, 'see you', 'ham', NULL)")
    run("INSERT INTO label VALUES (1, 0, 'spam'), (1, 1, 'ham')")
    database.conn.executemany("INSERT INTO noise_term VALUES (1, ?)", [(term,) for term in PAPER_NOISE_TERMS])
    settings = {
        "near_duplicate_threshold": None,
        "length_deviations": 2.0,
        "min_share": 0.3,
        "consistency_filter": 1,
        "share_over_survivors": 1,  # as versions between then and now wrote it
    }
    database.conn.executemany("INSERT INTO setting VALUES (1, ?, ?)", list(settings.items()))
    texts = {
        1: ("win it now", "spam"),
        2: ("win it now!", "spam"),  # nearly the same
        3: ("this is ham", "ham"),  # names a label
        4: ("see me", "spam"),  # answered with the other label
        5: ("an input", "spam"),  # noise of that list
        6: ("ab", "ham"),  # too short by deviations, not by range
        7: ("write one x", "ham"),  # noise of the new list
    }
    for number, (text, label) in texts.items():
        run("INSERT INTO input(id, task_id, round, prompt, text, label) VALUES (?, 1, 0, ?, ?, ?)",
            (number, number, text, label))  # fmt: skip
    for number, good, bad, answer in ((1, 1, 9, "spam"), (2, 3, 0, "spam"), (3, 3, 0, "ham"), (4, 3, 0, "ham"),
                                      (5, 3, 0, "ham"), (6, 3, 0, "ham"), (7, 3, 0, "spam")):  # fmt: skip
        for sample in range(good + bad):
            run("INSERT INTO output(input_id, sample, text) VALUES (?, ?, ?)",
                (number, sample, answer if sample < good else "no idea"))  # fmt: skip
    run("CREATE VIEW filter_input_late AS SELECT input_id AS id, 'late' AS detail FROM vote WHERE input_id > 90")
    database.conn.commit()
    database.close()


@pytest.mark.slow
def test_a_file_of_format_1_keeps_its_filters_and_shows_the_share_of_all_that_were_drawn(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old_file(path)
    with Store.open(path) as store:
        verdicts = dict(store.connection.execute("SELECT id, reason FROM input_verdict"))
        assert verdicts == {1: None, 2: None, 3: None, 4: None, 5: "noise", 6: "length", 7: None}
        before = store.pairs(1)
        assert {pair.input_id: pair.output for pair in before} == {2: "spam", 3: "ham", 4: "ham", 7: "spam"}
        assert store.length_bounds(1)[0].rule == "deviations"
        # One of ten samples survived: that is a tenth, as in a new file, and no longer all of them.
        assert dict(store.connection.execute("SELECT input_id, share FROM answer"))[1] == pytest.approx(0.1)
        reason = store.connection.execute("SELECT reason FROM answer_verdict WHERE id = 1").fetchone()
        assert reason == ("share",)
        assert "share_over_survivors" not in {*store.settings(1)} | {
            key for (key,) in store.connection.execute("SELECT key FROM setting")
        }
        # The task file is read again with every run: its defaults of today change nothing either.
        stored = store.task(1)
        assert store.add_task(stored.model_copy(update={"noise_terms": None})) == 1
        assert set(store.noise_terms(1)) == set(PAPER_NOISE_TERMS) and store.pairs(1) == before
    with Store.open(path) as again:
        assert again.pairs(1) == before
        assert change_setting(again, 1, "min_vote_share", "0") == 0.0
        reason = again.connection.execute("SELECT reason FROM answer_verdict WHERE id = 1").fetchone()
        assert reason == (None,)


def test_a_new_task_in_an_old_file_has_the_filters_of_today(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    old_file(path)
    with Store.open(path) as store:
        task_id = store.add_task(NOTE)
        run = store.start_run(task_id, "generate", None, NOTE.settings, 1, None)
        shown = store.add_input(NewInput(task_id, run, 0, 0, "Input: of this"))
        store.add_outputs([NewOutput(shown, run, 0, "x")])
        assert dict(store.connection.execute("SELECT id, detail FROM filter_input_noise"))[shown] == "^input:"
