"""A kind of task is one class: one from another package is checked, stored, filtered, asked and scored as shipped ones.

`stars` has labels in an order and scores by distance. `number` has no labels; its answers are read out of free text.
"""

from pathlib import Path

import pytest
from click.testing import CliRunner
from plugins_for_tests import Plugins

from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.registry import KINDS
from selfguide_lite.core.resources import resource
from selfguide_lite.evaluate.battery import Battery
from selfguide_lite.evaluate.verdict import unmeasured
from selfguide_lite.experiments.comparison import methods_for
from selfguide_lite.kinds import kind_named
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.prediction import answer_all, choose_way
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.synthesis import synthesize
from selfguide_lite.task import Task, load_task
from selfguide_lite.task.eval_rows import EvalRow, eval_rows

SOURCE = '''
import re

from selfguide_lite.kinds import TaskKind
from selfguide_lite.kinds.classification import Kind as Classification


class Stars(Classification):
    """Labels from worst to best."""

    summary = "one of a few labels in an order"
    metric = "closeness"
    balanced = False
    starter = """\\
instruction: How many stars does the guest give?
labels: ["1", "2", "3", "4", "5"]
examples:
  - {input: The room was fine., output: "4"}
  - {input: Never again., output: "1"}
  - {input: I had nothing to complain about., output: "3"}
"""

    def parse(self, text, labels):
        return str(text.count("*")) if "*" in text else super().parse(text, labels)

    def score(self, text, references, labels):
        places = {label: place for place, label in enumerate(labels)}
        found = places.get(self.parse(text, labels))
        if found is None:
            return 0.0
        return max(1 - abs(found - places[right]) / (len(labels) - 1) for right in references)


class Number(TaskKind):
    """The last number of a text."""

    summary = "a number"
    metric = "right number"
    parsed = True
    starter = """\\
instruction: How many animals are there?
examples:
  - {input: two dogs and a cat, output: "3"}
  - {input: a horse with its foal, output: "2"}
  - {input: an empty field, output: "0"}
"""

    def check(self, labels, answers):
        if labels:
            raise ValueError("labels: a number task has none; remove them")
        for number, answer in enumerate(answers):
            if self.parse(answer, ()) is None:
                raise ValueError(f"examples.{number}.output: {answer!r} has no number")

    def parse(self, text, labels):
        found = re.findall(r"-?\\d+(?:\\.\\d+)?", text)
        return f"{float(found[-1]):g}" if found else None

    def score(self, text, references, labels):
        return float(self.parse(text, labels) in [self.parse(right, labels) for right in references])

    def accepts(self, answer, labels):
        return self.parse(answer, labels) is not None
'''


@pytest.fixture(autouse=True)
def own_kinds(plugins: Plugins) -> None:
    plugins.install("own_kinds", SOURCE, {"selfguide_lite.kinds": {"stars": "Stars", "number": "Number"}})


def started(kind: str, folder: Path) -> Path:
    """Write the task file that `init` writes for a kind."""
    path = folder / f"{kind}.yaml"
    done = CliRunner().invoke(main, ["init", "--kind", kind, "--force", str(path)])
    assert done.exit_code == 0, done.output
    return path


def test_the_registry_lists_shipped_kinds_first(plugins: Plugins) -> None:
    assert KINDS.names() == ("classification", "extraction", "generation", "number", "stars")
    assert kind_named("stars") is kind_named("stars")
    plugins.install("broken_kind", "import nowhere_to_be_found", {"selfguide_lite.kinds": {"broken": "Kind"}})
    with pytest.raises(SelfguideError, match="kind of task 'broken': No module named 'nowhere_to_be_found'"):
        kind_named("broken")
    with pytest.raises(SelfguideError, match="there are: classification, extraction, generation, broken"):
        kind_named("colour")


@pytest.mark.parametrize(
    ("kind", "before", "after", "message"),
    [
        ("stars", "kind: stars", "kind: moons", "kind: there is no kind of task 'moons'; there are: classification"),
        ("stars", 'labels: ["1", "2", "3", "4", "5"]', 'labels: ["4"]', "labels: a classification task needs at least"),
        ("number", 'output: "3"', "output: some", "examples.0.output: 'some' has no number"),
        ("number", "examples:", "labels: [a, b]\nexamples:", "labels: a number task has none; remove them"),
    ],
)
def test_its_task_file_is_checked(tmp_path: Path, kind: str, before: str, after: str, message: str) -> None:
    path = started(kind, tmp_path)
    done = CliRunner().invoke(main, ["check", str(path)])
    assert done.exit_code == 0 and f"ready to run ({kind}, 3 examples" in done.output, done.output
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    done = CliRunner().invoke(main, ["check", str(path)])
    assert done.exit_code == 1 and message in done.output, done.output


def test_defaults_and_methods_follow_from_the_properties(tmp_path: Path) -> None:
    stars, number = (load_task(started(kind, tmp_path)) for kind in ("stars", "number"))
    settings = stars.rules.resolve(stars.settings)
    assert (settings.method, settings.calibrate, settings.agreement_filter, settings.balance) == (
        "score", True, True, False,
    )  # fmt: skip
    settings = number.rules.resolve(number.settings)
    assert (settings.method, settings.calibrate, settings.output_length_filter, settings.balance) == (
        "greedy", False, False, False,
    )  # fmt: skip
    assert "few-shot calibrated" in methods_for(stars) and "no label condition" in methods_for(stars)
    assert set(methods_for(number)) >= {"few-shot", "no length filter"}
    assert not {"few-shot scored", "random labels"} & set(methods_for(number))
    assert (unmeasured("stars").metric, unmeasured("number").metric) == ("closeness", "right number")


def fill(store: Store, task: Task, texts: list[tuple[str, ...]]) -> int:
    """Put in inputs with their answers."""
    task_id = store.add_task(task)
    run = store.start_run(task_id, "generate", None, task.settings, 1, None)
    for number, answers in enumerate(texts):
        added = store.add_input(NewInput(task_id, run, 0, number, f"what is said here is text {chr(97 + number)}"))
        store.add_outputs(NewOutput(added, run, sample, answer) for sample, answer in enumerate(answers))
    return task_id


OPEN = {"input_length_filter": False, "near_duplicate_threshold": None, "calibrate": False, "agreement_filter": False}


def test_the_store_reads_answers_and_the_views_ask_for_properties(tmp_path: Path) -> None:
    stars, number = (load_task(started(kind, tmp_path)) for kind in ("stars", "number"))
    stars = stars.model_copy(update={"settings": stars.settings.changed(OPEN)})
    number = number.model_copy(update={"settings": number.settings.changed(OPEN)})
    with Store.open(tmp_path / "own.db") as store:
        first = fill(store, stars, [("***",), ("5 stars",), ("I give it 5",), ("5",), ("no idea",)])
        # Equal numbers are equal answers, however they are written: two votes of three.
        second = fill(store, number, [("4", "that makes 4.0", "5"), ("none that I see",), ("7.50",)])
        assert [pair.output for pair in store.pairs(first)] == ["3", "5", "5", "5"]  # not balanced
        assert [pair.output for pair in store.pairs(second)] == ["4", "7.5"]
        rejected = store.connection.execute(
            "SELECT i.task_id, v.reason, v.detail FROM output_verdict AS v JOIN input AS i ON i.id = v.input_id"
            " WHERE v.reason IS NOT NULL ORDER BY 1"
        ).fetchall()
        assert rejected == [(first, "label", "none of the labels"), (second, "label", "no answer found")]
        shares = store.connection.execute("SELECT answer, round(share, 2) FROM vote WHERE input_id = 6 ORDER BY place")
        assert shares.fetchall() == [("4", 0.67), ("5", 0.33)]
        store.set_setting(first, "balance", True)
        assert sorted(pair.output for pair in store.pairs(first)) == ["3", "5"]
        # One that is asked for where labels mean nothing is no balance.
        store.set_setting(second, "balance", True)
        assert len(store.pairs(second)) == 2
        assert store.task(first) == stars.model_copy(update={"noise_terms": store.task(first).noise_terms})


def test_evaluation_rows_must_be_answers(tmp_path: Path) -> None:
    number = load_task(started("number", tmp_path))
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input": "a hen", "output": "1"}\n{"input": "a few hens", "output": "many"}\n')
    with pytest.raises(SelfguideError, match=r"line 2: the answer 'many' is no number answer$"):
        eval_rows(number, rows)
    stars = load_task(started("stars", tmp_path))
    with pytest.raises(SelfguideError, match="the answer 'many' is not a label of task 'stars'"):
        eval_rows(stars, rows)


@pytest.mark.slow
def test_a_run_writes_answers_measures_and_predicts(tmp_path: Path) -> None:
    settings = {**OPEN, "rounds": 1, "prompts_per_round": 4, "output_max_tokens": 8, "samples": 2}
    rows = {
        "stars": [EvalRow(f"The room had {n} beds and a bath.", (str(1 + n % 5),)) for n in range(5)],
        "number": [EvalRow(f"there are {n} hens", (f"{n}.0",)) for n in range(5)],
    }
    with open_engine(
        resource("data/tiny_vicuna/tiny-vicuna.gguf"), EngineOptions(tune=False, tuning={"threads": 1})
    ) as engine:
        for kind in ("stars", "number"):
            task = load_task(started(kind, tmp_path))
            task = task.model_copy(update={"settings": task.settings.changed(settings)})
            with Store.open(tmp_path / f"{kind}.db") as store:
                task_id = store.add_task(task)
                context = RunContext(store, task_id, task.settings)
                synthesize(context, engine)
                assert {round_ for round_, _ in store.requests_done(task_id)} == {0}
                found = Battery(context, engine, rows[kind]).prompting()
                usual = found["few-shot scored" if kind == "stars" else "few-shot"]
                assert usual.metric == task.rules.metric
                for given, score in zip(usual.predictions, usual.scores, strict=True):
                    assert score == task.rules.score(given.text, given.references, task.labels)
                if kind == "stars":  # each row's answer is one of five, so closeness is a quarter at a time
                    assert {4 * score for score in usual.scores} <= {0, 1, 2, 3, 4} and max(usual.scores) > 0
                    assert {given.text for given in usual.predictions} <= set(task.labels)
                    asked = store.connection.execute("SELECT DISTINCT label FROM input ORDER BY 1").fetchall()
                    assert asked == [("1",), ("2",), ("3",), ("4",)]  # in turn, as for any kind with labels
                else:
                    assert set(found) == {"zero-shot", "few-shot"}
                method = "few-shot scored" if kind == "stars" else "few-shot"
                way = choose_way(store, task_id, Prompts(), method)
                (answer,) = answer_all(engine, task, Prompts(), ["there are 3 hens"], 8, way)
                assert answer.label == task.rules.parse(answer.output, task.labels)
