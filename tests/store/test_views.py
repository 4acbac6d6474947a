"""The views from outside: through the `sqlite3` program, with plain SQL changes and rows, with filters of one's own."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfguide_lite.core.settings import Settings
from selfguide_lite.store import FILTER_SETTINGS, NewInput, NewOutput, Store
from selfguide_lite.store.filter_views import view_files
from selfguide_lite.task import Example, Task

MOOD = Task(
    name="mood",
    kind="classification",
    instruction="Say how it sounds.",
    labels=("good", "not good", "so-so"),
    examples=(Example(input="what a fine day", output="good"), Example(input="rain again", output="not good")),
    settings=Settings(length_rule="deviations", length_slack_min=1000, length_deviations=50),
)
COPY = Task(
    name="copy",
    kind="generation",
    instruction="Copy it.",
    examples=(Example(input="abcdefghij", output="abcdefghij"), Example(input="klmnopqrst", output="klmnopqrst")),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "run.db") as opened:
        yield opened


def fill(store: Store, task: Task, texts: list[str], answers: list[str] | None = None) -> int:
    """Put a task with inputs, and the same answers to each, into the store."""
    task_id = store.add_task(task)
    run = store.start_run(task_id, "generate", None, task.settings, 1, None)
    for number, text in enumerate(texts):
        added = store.add_input(NewInput(task_id, run, number // 10, number % 10, text))
        store.add_outputs([NewOutput(added, run, n, answer) for n, answer in enumerate(answers or [])])
    return task_id


def verdicts(store: Store) -> list[str | None]:
    return [reason for (reason,) in store.connection.execute("SELECT reason FROM input_verdict ORDER BY id")]


@pytest.mark.slow
def test_every_view_and_table_answers_in_the_sqlite3_program(store: Store) -> None:
    program = shutil.which("sqlite3")
    if program is None:
        pytest.skip("the sqlite3 program is not installed")
    fill(
        store, MOOD, ["a day", "A  day", "Input: a day", "", "rain again"], ["good", "It is good.", "not good", "?", ""]
    )
    fill(store, COPY, ["abcdefghij", "0123456789"], ["0123456789", "x"])
    store.connection.execute("UPDATE setting SET value = 0.6 WHERE key = 'near_duplicate_threshold'")
    names = [n for (n,) in store.connection.execute("SELECT name FROM sqlite_master WHERE type IN ('view', 'table')")]
    assert set(view_files()) <= set(names)
    script = "".join(f"SELECT '{name}', count(*) FROM {name};\n" for name in names)
    ran = subprocess.run([program, "-bail", str(store.path)], input=script, capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    counts = dict(line.split("|") for line in ran.stdout.splitlines())
    assert counts.keys() == set(names)
    for view in view_files():
        assert int(counts[view]) == store.connection.execute(f"SELECT count(*) FROM {view}").fetchone()[0]
    assert counts["dataset"] == "2" and counts["input_verdict"] == "7"


@pytest.mark.parametrize("kind", [MOOD, COPY])
def test_settings_missing_from_the_table_are_the_defaults_of_the_program(store: Store, kind: Task) -> None:
    """But for two that are off where there is no row: files that were begun without them stay as they were."""
    task_id = store.add_task(kind.model_copy(update={"settings": Settings()}))
    seeded = store.settings(task_id)
    store.connection.execute("DELETE FROM setting")
    defaults = kind.rules.resolve(Settings())
    assert store.settings(task_id) == {**seeded, "near_duplicate_threshold": None, "calibrate": 0}
    assert {key: seeded[key] for key in FILTER_SETTINGS} == {key: getattr(defaults, key) for key in FILTER_SETTINGS}


def test_each_view_tells_on_top_what_it_is_for() -> None:
    for name, sql in view_files().items():
        assert sql.startswith("-- "), name
        if name.startswith("filter_") and name != "filter_setting":
            assert "Rejects" in sql.splitlines()[0], name


def test_details_name_the_term_the_bound_the_example_and_the_twin(store: Store) -> None:
    fill(store, COPY, ["abcdefghij", "Zyxwvutsrq", "zyxwvutsrq ", "Output: my", "short", "KLMNOPQRST"])
    assert store.connection.execute("SELECT reason, detail FROM input_verdict ORDER BY id").fetchall() == [
        ("echo", "same as seed example 0"),
        (None, None),
        ("duplicate", "same as input 2"),
        ("noise", "^output:"),
        (None, None),
        ("echo", "same as seed example 1"),
    ]
    store.connection.execute("UPDATE setting SET value = 1.5 WHERE key = 'length_factor'")
    assert store.connection.execute("SELECT reason, detail FROM input_verdict WHERE id = 5").fetchone() == (
        "length",
        "5 characters, kept between 6.7 and 15.0",
    )


def test_plain_sql_on_settings_and_noise_terms_changes_the_dataset_at_once(store: Store) -> None:
    task_id = fill(store, COPY, ["0123456789", "9876543210"], ["aaaaaaaaaa", "aaaaaaaaaa", "bbbbbbbbbb"])
    other = sqlite3.connect(store.path, isolation_level=None)
    for statement, pairs in (
        ("UPDATE setting SET value = 0.7 WHERE key = 'min_vote_share'", 0),
        ("UPDATE setting SET value = 0 WHERE key = 'consistency_filter'", 2),
        ("UPDATE setting SET value = 'true' WHERE key = 'consistency_filter'", 0),
        ("UPDATE setting SET value = 0.3 WHERE key = 'min_vote_share'", 2),
        ("INSERT INTO noise_term VALUES (1, '789')", 1),
        ("UPDATE noise_term SET term = 'BBB' WHERE term = '789'", 2),
        ("INSERT OR REPLACE INTO noise_term VALUES (1, 'aaa')", 0),
        ("UPDATE setting SET value = 0 WHERE key = 'noise_filter'", 2),
        ("UPDATE setting SET value = 1 WHERE key = 'noise_filter'", 0),
        ("DELETE FROM noise_term WHERE term = 'BBB'", 2),
        ("DELETE FROM noise_term", 2),
    ):
        other.execute(statement)
        assert len(store.pairs(task_id)) == pairs, statement
    assert {pair.output for pair in store.pairs(task_id)} == {"aaaaaaaaaa"}
    other.close()


def test_rows_put_in_with_plain_sql_are_judged_like_any_other(store: Store) -> None:
    task_id = store.add_task(MOOD)
    insert = store.connection.execute
    for text in ("A  Day", "a day", "\t\n ", "Rain  AGAIN", "Here:\nINPUT: a day"):
        insert("INSERT INTO input(task_id, run_id, round, text) VALUES (?, NULL, 0, ?)", (task_id, text))
    assert verdicts(store) == [None, "duplicate", "empty", "echo", "noise"]
    texts = {
        "good": "good",
        "It is Not\n Good!": "not good",
        "not good ... but good": "good",
        "goodness": None,
        "so-so, _good": "so-so",
        "no good, so-so.": "so-so",
        "日本good日本": "good",
        "égood": None,
        "": None,
        " good ": "good",
    }
    for sample, text in enumerate(texts):
        insert("INSERT INTO output(input_id, run_id, sample, text) VALUES (1, NULL, ?, ?)", (sample, text))
    assert dict(insert("SELECT text, label FROM output")) == texts
    assert dict(insert("SELECT answer, n FROM vote")) == {"good": 4, "so-so": 2, "not good": 1}
    insert("UPDATE output SET text = 'so-so' WHERE text = 'good'")
    assert dict(insert("SELECT answer, n FROM vote")) == {"good": 3, "so-so": 3, "not good": 1}
    insert("DELETE FROM output WHERE label = 'so-so'")
    assert [(pair.input, pair.output) for pair in store.pairs(task_id)] == [("A  Day", "good")]


def test_ties_go_to_the_shortest_and_then_to_the_first(store: Store) -> None:
    task_id = fill(store, COPY, ["0123456789"], ["bbbbbbbbbb", "aaaaaaaaa", "bbbbbbbbbb", "aaaaaaaaa", "ccccccccc"])
    assert store.pairs(task_id)[0].output == "aaaaaaaaa"
    votes = store.connection.execute("SELECT answer, n, share FROM vote ORDER BY place").fetchall()
    assert votes == [("aaaaaaaaa", 2, 0.4), ("bbbbbbbbbb", 2, 0.4), ("ccccccccc", 1, 0.2)]


def test_scores_are_votes_by_their_share(store: Store) -> None:
    task_id = fill(store, MOOD, ["a day"])
    rows = zip(MOOD.labels, (0.25, 0.7, 0.05), strict=True)
    store.add_outputs(
        [NewOutput(1, 1, n, label, method="score", weight=share) for n, (label, share) in enumerate(rows)]
    )
    assert store.connection.execute("SELECT answer, share, confidence FROM answer").fetchall() == [
        ("not good", 0.7, 0.7)
    ]
    assert store.unanswered(task_id, "score", 1) == [] and len(store.unanswered(task_id, "sample", 1)) == 1
    store.connection.execute("UPDATE setting SET value = 0 WHERE key = 'consistency_filter'")
    assert store.pairs(task_id)[0].output == "not good"


def test_balancing_draws_from_all_rounds_always_the_same_and_by_the_seed(store: Store) -> None:
    task_id = fill(store, MOOD, [f"day {n}" for n in range(300)])
    for n in range(300):
        store.add_outputs([NewOutput(n + 1, 1, 0, "not good" if n % 10 == 3 else "good")])
    first = store.pairs(task_id)
    assert [pair.output for pair in first].count("good") == 30 == len(first) // 2
    rounds = {pair.input_id // 30 for pair in first if pair.output == "good"}
    assert len(rounds) > 6  # not the first ones alone
    assert store.pairs(task_id) == first
    store.set_setting(task_id, "dataset_seed", 1)
    assert {pair.input_id for pair in store.pairs(task_id)} != {pair.input_id for pair in first}
    store.set_setting(task_id, "balance", 0)
    assert len(store.pairs(task_id)) == 300


def test_random_labels_are_spread_over_all_labels_and_stay(store: Store) -> None:
    task_id = fill(store, MOOD, [f"day {n}" for n in range(300)], ["good"])
    store.set_setting(task_id, "random_labels", 1)
    drawn = [pair.output for pair in store.pairs(task_id)]
    assert all(70 < drawn.count(label) < 130 for label in MOOD.labels)
    assert drawn == [pair.output for pair in store.pairs(task_id)]


def test_near_duplicates_are_judged_by_a_threshold(store: Store) -> None:
    text = "the quick brown fox jumps over the lazy dog at noon"
    texts = [text, text.replace("noon", "moon"), text.upper(), "something else entirely, about the rain in May"]
    task_id = fill(store, MOOD, texts)
    assert verdicts(store) == [None, "duplicate", "duplicate", None]
    store.set_setting(task_id, "near_duplicate_threshold", None)
    assert verdicts(store) == [None, None, "duplicate", None]
    store.set_setting(task_id, "near_duplicate_threshold", 0.8)
    assert verdicts(store) == [None, "duplicate", "duplicate", None]
    assert store.connection.execute("SELECT detail FROM filter_input_duplicate WHERE id = 2").fetchone() == (
        "84 % like input 1",
    )
    store.connection.execute("INSERT INTO noise_term VALUES (?, 'noon')", (task_id,))
    assert verdicts(store) == ["noise", None, "noise", None]


def test_near_duplicates_among_rows_of_plain_sql_are_found_when_the_threshold_is_set(store: Store) -> None:
    task_id = store.add_task(MOOD)
    text = "the quick brown fox jumps over the lazy dog at noon"
    for shown in (text, text.replace("fox", "box"), "nothing of the kind"):
        store.connection.execute("INSERT INTO input(task_id, text) VALUES (?, ?)", (task_id, shown))
    store.set_setting(task_id, "near_duplicate_threshold", 0.7)
    assert verdicts(store) == [None, "duplicate", None]


def test_a_filter_of_plain_sql_counts_from_the_next_opening(store: Store) -> None:
    task_id = fill(store, COPY, ["0123456789", "9876543210", "1111111111"], ["abcdefghij"])
    store.connection.execute(
        "CREATE VIEW filter_input_nines AS SELECT id, 'has a 9' AS detail FROM input WHERE text LIKE '9%'"
    )
    store.connection.execute("CREATE VIEW filter_output_broken AS SELECT id FROM output")
    store.connection.execute("CREATE VIEW filter_input_circle AS SELECT id, reason AS detail FROM input_verdict")
    with Store.open(store.path) as again:
        assert verdicts(again) == [None, "nines", None]
        assert len(again.pairs(task_id)) == 2
    store.connection.execute("DROP VIEW filter_input_nines")
    with Store.open(store.path) as again:
        assert verdicts(again) == [None, None, None]


def test_one_join_leads_from_a_pair_to_what_made_it(store: Store) -> None:
    from selfguide_lite.core.model_info import ModelInfo
    from selfguide_lite.core.version import __version__
    from selfguide_lite.prompts import Prompts

    task_id = store.add_task(COPY)
    template = Prompts().input_template(COPY)
    model = store.add_model(ModelInfo("m", "/m.gguf", "ab" * 32, "llama", 7))
    run = store.start_run(task_id, "generate", model, COPY.settings, 17, template)
    store.add_input(NewInput(task_id, run, 0, 0, "0123456789", seed_inputs=(1, 0), pool_inputs=()))
    store.add_outputs([NewOutput(1, run, 0, "0123456789")])
    assert store.connection.execute(
        "SELECT input_template_sha256, input_seed, input_model_sha256, output_program_version, seed_inputs,"
        " input_settings ->> 'rounds', output_created_at > '2020' FROM dataset JOIN provenance USING (input_id)"
    ).fetchall() == [(template.sha256, 17, "ab" * 32, __version__, "[1, 0]", COPY.settings.rounds, 1)]
