"""Evaluation from the command line: bad sets are said alike by every command, ablations of sampled answers are real."""

import json
from pathlib import Path

import pytest
from running import here

from selfguide_lite.cli.common import given_settings
from selfguide_lite.core.resources import resource
from selfguide_lite.core.settings import Settings
from selfguide_lite.evaluate import Gain
from selfguide_lite.experiments.search import Found, Trial, grid, write_settings
from selfguide_lite.kinds import kind_named
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.store.copies import unanswered_copy
from selfguide_lite.store.overlay import SettingsOverlay
from selfguide_lite.task import Task, load_task

TASK = """\
name: shop
kind: classification
instruction: Is the customer happy or upset?
labels: [happy, upset]
examples:
  - {input: "The bread was lovely, thank you!", output: happy}
  - {input: "I waited for an hour.", output: upset}
  - {input: "What a cake that was!", output: happy}
settings: {rounds: 1, prompts_per_round: 4, input_max_tokens: 16, output_max_tokens: 8, samples: 3, epochs: 1}
eval: e.jsonl
"""
COMMANDS = (("check",), ("run", "--dry-run"), ("run",), ("evaluate",), ("compare",), ("search",), ("run", "--rounds=2"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(TASK, encoding="utf-8")
    return tmp_path


def rows(*pairs: tuple[str, object]) -> str:
    return "".join(json.dumps({"input": text, "output": answer}) + "\n" for text, answer in pairs)


def call(*arguments: object) -> tuple[int, str]:
    done = here(*arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "e.jsonl: cannot read this evaluation set: No such file or directory"),
        ("", "e.jsonl: holds no evaluation rows; each line is a JSON object with input and output"),
        (
            "\n" + rows(("a", "happy"), ("b", "so-so"), ("c", "upset"), ("d", "cross")),
            "e.jsonl: line 3: the answer 'so-so' is not a label of task 'shop' (happy, upset), nor are those of 1 ",
        ),
        ('{"input": "a", "answer": "happy"}\n', "e.jsonl: line 1: has no 'output'; it has 'input', 'answer'"),
        (rows(("a", "happy"), ("b", "")), "e.jsonl: line 2: 'output' is empty"),
        (rows(("a", ["happy", " "])), "e.jsonl: line 1: 'output' is empty"),
        (rows(("a", [])), "e.jsonl: line 1: 'output' is an empty list; give at least one right answer"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_the_same_of_a_bad_set(
    folder: Path, command: tuple[str, ...], content: str | None, message: str
) -> None:
    if content is not None:
        (folder / "e.jsonl").write_text(content, encoding="utf-8")
    name, *options = command
    status, said = call(name, "shop.yaml", *options)
    assert status == 1
    assert message in said and len(said.strip().splitlines()) == 1
    assert sorted(path.name for path in folder.glob("*.db")) == []


@pytest.mark.parametrize("command", [("evaluate",), ("compare",), ("search",), ("run", "--rounds=2")], ids=" ".join)
def test_no_set_at_all(folder: Path, command: tuple[str, ...]) -> None:
    (folder / "shop.yaml").write_text(TASK.replace("eval: e.jsonl\n", ""), encoding="utf-8")
    name, *options = command
    status, said = call(name, "shop.yaml", *options)
    assert status == 1
    assert said.strip().endswith("task 'shop' has no evaluation set; name one as `eval:` in its file or with --eval")


def test_check_says_what_a_set_cannot_show(folder: Path) -> None:
    (folder / "e.jsonl").write_text(rows(("I waited for  AN hour.", "upset"), ("b", "happy")), encoding="utf-8")
    status, said = call("check", "shop.yaml")
    assert status == 0
    assert "1 of its inputs are seed examples: they are left out of every score" in said
    assert "none of its rows has the answer upset: errors on it will not show" in said
    (folder / "e.jsonl").write_text(rows(("I waited for an hour.", "upset")), encoding="utf-8")
    status, said = call("check", "shop.yaml")
    assert status == 1 and "all of its inputs are seed examples: nothing is left to evaluate" in said


def scored(store: Store, task: Task) -> int:
    """Put twelve inputs with scored answers into a store."""
    task_id = store.add_task(task)
    run_id = store.start_run(task_id, "generate", None, task.settings, 42, None)
    for number in range(12):
        input_id = store.add_input(NewInput(task_id, run_id, 0, number, f"Thing {number:02} was as it was."))
        share = 0.9 if number % 2 else 0.2
        store.add_outputs(
            NewOutput(input_id, run_id, sample, label, "score", weight)
            for sample, (label, weight) in enumerate(zip(task.labels, (share, 1 - share), strict=True))
        )
    return task_id


@pytest.mark.slow
def test_a_copy_without_answers_has_the_runs_inputs_and_filters(folder: Path) -> None:
    (folder / "e.jsonl").write_text(rows(("a", "happy")), encoding="utf-8")
    task = load_task(folder / "shop.yaml")
    with Store.open(folder / "run.db") as store:
        task_id = scored(store, task)
        store.set_setting(task_id, "length_deviations", 9.0)
        store.change_noise_terms(task_id, add=["thing 03"])
        place = unanswered_copy(store, folder / "compare")
        assert unanswered_copy(store, folder / "compare") == place
        with Store.open(place) as copy:
            assert copy.pool(task_id) == store.pool(task_id) and len(copy.pool(task_id)) == 11
            assert copy.pairs(task_id) == [] and len(store.pairs(task_id)) == 10
        store.change_noise_terms(task_id, drop=["thing 03"])
        assert unanswered_copy(store, folder / "compare") != place
    assert sorted(path.suffix for path in (folder / "compare").iterdir() if not path.name.startswith(".")) == [
        ".db",
        ".db",
    ]


@pytest.mark.slow
def test_self_consistency_is_left_out_of_sampled_answers(folder: Path) -> None:
    """Scoring gives each label its exact share: nothing to vote on. The ablation samples, as the paper does."""
    demo = resource("tests/tiny_tasks/cheer-or-grumble.yaml")
    (folder / demo.name).write_bytes(demo.read_bytes())
    held_out = demo.with_name("cheer-or-grumble.eval.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:9]
    (folder / "cheer-or-grumble.eval.jsonl").write_text("".join(held_out), encoding="utf-8")
    arguments = ["compare", demo.name, "--set", "rounds=2", "--set", "samples=3", "--set", "epochs=1", "-q"]
    arguments += ["--method", "no self-consistency"]
    status, said = call(*arguments, "--json")
    assert status == 0, said
    table = json.loads(said.splitlines()[-1])
    assert table["skipped"] == {}
    *prompting, line = table["methods"]
    assert {"few-shot", "few-shot scored", "zero-shot scored"} <= {one["method"] for one in prompting}
    assert all(one["gain"] is None for one in prompting)
    assert line["method"] == "no self-consistency" and line["gain"]["n"] == 9 and table["verdict"] is None
    # The run's own answers are what they were: sampled ones never join them.
    assert methods_of_answers(folder / "cheer-or-grumble.db") == ["score"]
    (place,) = (folder / "cheer-or-grumble-files" / "compare").glob("sampled-*.db")
    assert methods_of_answers(place) == ["sample"]
    with Store.open(place, read_only=True) as copy:
        task_id = copy.only_task_id()
        asked = copy.connection.execute("SELECT input_id, count(*) FROM output GROUP BY 1").fetchall()
        first = dict(copy.connection.execute("SELECT input_id, label FROM output WHERE sample = 0 AND label <> ''"))
    assert asked and {n for _, n in asked} == {3}
    with Store.open(place) as copy:
        pairs = SettingsOverlay(copy, {"consistency_filter": False}).pairs(task_id)
    assert line["pairs"] == len(pairs) > 0
    first_ones = [(pair.output, first[pair.input_id]) for pair in pairs if pair.input_id in first]
    assert first_ones and all(output == label for output, label in first_ones)  # the first one, no vote


def methods_of_answers(db: Path) -> list[str]:
    with Store.open(db, read_only=True) as store:
        return [method for (method,) in store.connection.execute("SELECT DISTINCT method FROM output")]


def test_the_papers_settings_are_one_word_away(folder: Path) -> None:
    shipped = given_settings(Path("paper"), ())
    assert shipped == given_settings(resource("data/settings/paper.yaml"), ())
    paper = kind_named("classification").resolve(Settings(**shipped))
    assert (paper.input_style, paper.calibrate, paper.agreement_filter) == ("paper", False, False)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in resource("data/settings").glob("*.yaml")))
def test_shipped_settings_go_by_their_names(folder: Path, name: str) -> None:
    (folder / "e.jsonl").write_text(rows(("a", "happy")), encoding="utf-8")
    status, said = call("run", "shop.yaml", "--settings", name, "--dry-run", "--json")
    assert status == 0, said
    status, said = call("run", "shop.yaml", "--settings", "nameless")
    assert status == 1 and said.strip().endswith("nameless: cannot read this settings file: No such file or directory")


def test_what_search_writes_can_be_shipped(folder: Path) -> None:
    gain = Gain("exact match", 9, "few-shot", 0.5, 0.6, 0.0, 0.2)
    for candidate in grid([load_task(resource("tests/tiny_tasks/thank-you.yaml")), load_task(folder / "shop.yaml")]):
        trial = Trial(candidate, {"a": gain}, {})
        write_settings(Found(trial, (trial,), {}, 42, 75), folder / "found.yaml")
        written = given_settings(folder / "found.yaml", ())
        assert written == candidate.changes
        assert set(written) <= {"input_temperature", "epochs", "input_length_filter", "output_length_filter"}
