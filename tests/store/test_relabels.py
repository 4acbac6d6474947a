"""The finetuned model's scores of labels: they count where self_training is on, and only as a whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewInput, NewOutput, Relabel, Store
from selfguide_lite.store.overlay import SettingsOverlay
from selfguide_lite.store.runs import NewRun
from selfguide_lite.task import Example, Task

MAIL = Task(
    name="mail",
    kind="classification",
    instruction="Say whether it is spam.",
    labels=("spam", "ham"),
    examples=(Example(input="win a prize", output="spam"), Example(input="see you at noon", output="ham")),
    settings=Settings(
        input_length_filter=False, near_duplicate_threshold=None, balance=False, calibrate=False, agreement_min_pairs=0
    ),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "run.db") as opened:
        yield opened


def written(store: Store, shares: list[float], asked: list[str]) -> int:
    """Put an input for each share of "spam" into the store, its labels scored, and return the task's id."""
    task_id = store.add_task(MAIL)
    run = store.start_run(task_id, "generate", None, MAIL.settings, 1, None)
    for number, (share, label) in enumerate(zip(shares, asked, strict=True)):
        shown = store.add_input(NewInput(task_id, run, 0, number, f"text number {number}", label))
        pair = zip(MAIL.labels, (share, 1 - share), strict=True)
        store.add_outputs([NewOutput(shown, run, n, text, "score", weight) for n, (text, weight) in enumerate(pair)])
    return task_id


def adapter(store: Store, task_id: int, name: str) -> int:
    model = store.start_run(task_id, "train", None, MAIL.settings, 1, None)
    with store.connection:
        store.connection.execute("INSERT OR IGNORE INTO model(id, name, path, sha256) VALUES (1, 'm', 'm', 'm')")
    return store.add_adapter(task_id, model, 1, name, name)


def relabel(store: Store, task_id: int, adapter_id: int, shares: dict[int, float]) -> None:
    """Give "spam" other shares, by the input's id."""
    new = []
    for shown in store.scored_inputs(task_id):
        if shown.id in shares:
            spam = shares[shown.id]
            new += [Relabel(shown.outputs["spam"], spam, -0.1), Relabel(shown.outputs["ham"], 1 - spam, -0.1)]
    store.replace_relabels(NewRun(task_id, "relabel", 1, MAIL.settings, 1, None, adapter_id=adapter_id), new)


def pairs(store: Store, task_id: int) -> list[tuple[int, str]]:
    return [(pair.input_id, pair.output) for pair in store.pairs(task_id)]


def test_the_finetuned_models_labels_decide_which_inputs_agree(store: Store) -> None:
    task_id = written(store, [0.9, 0.8, 0.7, 0.2], ["spam", "ham", "ham", "ham"])
    assert pairs(store, task_id) == [(1, "spam"), (4, "ham")]
    relabel(store, task_id, adapter(store, task_id, "a"), {1: 0.6, 2: 0.1, 3: 0.9, 4: 0.8})
    assert pairs(store, task_id) == [(1, "spam"), (2, "ham")]
    shares = store.connection.execute("SELECT input_id, answer, share FROM vote WHERE place = 1").fetchall()
    assert shares == [(1, "spam", 0.6), (2, "ham", 0.9), (3, "spam", 0.9), (4, "spam", 0.8)]
    assert store.agreement(task_id).agreeing == 2
    assert pairs(SettingsOverlay(store, {"self_training": False}), task_id) == [(1, "spam"), (4, "ham")]
    store.set_setting(task_id, "self_training", "off")
    assert pairs(store, task_id) == [(1, "spam"), (4, "ham")]


def test_calibration_divides_by_the_mean_of_what_counts(store: Store) -> None:
    task_id = written(store, [0.5] * 4, ["spam", "spam", "ham", "ham"])
    store.set_setting(task_id, "calibrate", True)
    store.set_setting(task_id, "calibrate_min_inputs", 0)
    relabel(store, task_id, adapter(store, task_id, "a"), {1: 0.9, 2: 0.8, 3: 0.7, 4: 0.6})
    means = dict(store.connection.execute("SELECT label, mean FROM label_prior"))
    assert means == pytest.approx({"spam": 0.75, "ham": 0.25})
    assert pairs(store, task_id) == [(1, "spam"), (2, "spam"), (3, "ham"), (4, "ham")]


def test_a_second_adapters_labels_take_the_first_ones_place(store: Store) -> None:
    task_id = written(store, [0.9, 0.2], ["spam", "ham"])
    first, second = adapter(store, task_id, "a"), adapter(store, task_id, "b")
    assert store.relabelled_by(task_id) is None
    relabel(store, task_id, first, {1: 0.1, 2: 0.1})
    assert store.relabelled_by(task_id) == first
    relabel(store, task_id, second, {1: 0.8, 2: 0.1})
    assert store.relabelled_by(task_id) == second and pairs(store, task_id) == [(1, "spam"), (2, "ham")]
    assert store.connection.execute("SELECT count(*) FROM relabel").fetchone() == (4,)
    kinds = store.connection.execute("SELECT stage, adapter_id, reason FROM run WHERE stage = 'relabel'").fetchall()
    assert kinds == [("relabel", first, "done"), ("relabel", second, "done")]


def test_an_input_that_comes_later_is_missed(store: Store) -> None:
    task_id = written(store, [0.9, 0.2], ["spam", "ham"])
    relabel(store, task_id, adapter(store, task_id, "a"), {1: 0.8})
    assert store.relabelled_by(task_id) is None
    store.change_noise_terms(task_id, add=["number 1"])  # drops the input that was not scored
    assert store.relabelled_by(task_id) == 1


def test_scores_are_committed_whole_or_not_at_all(store: Store) -> None:
    task_id = written(store, [0.9, 0.2], ["spam", "ham"])
    first = adapter(store, task_id, "a")
    relabel(store, task_id, first, {1: 0.8, 2: 0.3})
    before = store.connection.execute("SELECT * FROM relabel").fetchall()
    run = NewRun(task_id, "relabel", 1, MAIL.settings, 1, None, adapter_id=first)
    with pytest.raises(Exception, match="CHECK"):
        store.replace_relabels(run, [Relabel(1, 0.5), Relabel(2, -1.0)])
    assert store.connection.execute("SELECT * FROM relabel").fetchall() == before
