"""Settings can be found, read and changed by their names; what is refused is told in the tool's own words."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stories import SHOP, told

from selfguide_lite.cli import main
from selfguide_lite.core.setting_words import allowed, stages
from selfguide_lite.core.settings import Settings
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import Store
from selfguide_lite.task import read_task


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that no test changes."""
    path = tmp_path_factory.mktemp("settings") / "shop.db"
    told(path, SHOP, 2).close()
    return path


def test_every_setting_is_listed_with_default_range_meaning_and_stage() -> None:
    done = call("settings")
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(call("settings", "--json").output)}
    assert list(rows) == list(Settings.model_fields) == [name for names in stages().values() for name in names]
    for name, row in rows.items():
        assert f"\n  {name}  default {row['default']}; allowed: {row['allowed']}\n" in done.output
        assert row["stage"] in ("generate", "annotate", "filters", "train") and row["meaning"] and row["value"] is None
    assert rows["rounds"] | {"meaning": ""} == {
        "name": "rounds",
        "stage": "generate",
        "allowed": "whole number, at least 0",
        "default": "10",
        "meaning": "",
        "value": None,
        "source": None,
    }
    assert "classification: true, " in rows["balance"]["default"] and "generation: false" in rows["balance"]["default"]
    assert "`selfguide settings`" in call("run", "--help").output


@pytest.mark.slow
def test_any_setting_is_changed_in_a_database_and_a_run_goes_by_it(tmp_path: Path) -> None:
    db = tmp_path / "shop.db"
    told(db, SHOP, 2).close()

    def now(name: str) -> tuple[str, str]:
        (row,) = json.loads(call("settings", name, "-d", db, "--json").output)
        return row["value"], row["source"]

    assert now("rounds")[1] != "database" and now("min_vote_share") == ("0.3", "default")
    assert "rounds is 20, from the next run on" in call("set", "rounds", "20", "-d", db).output
    done = call("set", "min_vote_share", "0.75", "-d", db)
    assert done.exit_code == 0 and "pairs before, " in done.output
    assert now("rounds") == ("20", "database") and now("min_vote_share") == ("0.75", "database")
    assert "min_vote_share is 0.5" in call("filter", "set", "min_vote_share", "0.5", "-d", db).output  # the alias
    with Store.open(db) as store:
        stored = store.chosen_settings(1)
        assert stored == {"rounds": 20} and store.task(1).settings.rounds == 20
        assert RunOptions().chosen(SHOP, stored).rounds == 20  # over the task file
        assert RunOptions(settings={"rounds": 3}).chosen(SHOP, stored).rounds == 3  # under the command line
        store.add_task(SHOP)  # what a run with the task's file does
        assert store.task(1).settings.rounds == 20
    for name, value in (("rounds", "10"), ("min_vote_share", "0.3")):
        assert call("set", name, "default", "-d", db).exit_code == 0
        assert now(name) == (value, "default")
    assert "learning_rate is 0.001" in call("set", "learning_rate", "1e-3", "-d", db).output
    assert "label_condition is false" in call("set", "label_condition", "off", "-d", db).output
    assert now("label_condition") == ("false", "database")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "ruonds", "3"), "ruonds: no such setting; did you mean rounds?"),
        (("set", "xyz", "3"), "xyz: no such setting; `selfguide settings` lists them all"),
        (("set", "rounds", "many"), "rounds: 'many' is not allowed; allowed: whole number, at least 0"),
        (("set", "epochs", "0"), "epochs: '0' is not allowed; allowed: number, more than 0, at most 1000"),
        (("set", "method", "guess"), "method: 'guess' is not allowed; allowed: score, sample, greedy, "),
        (("set", "noise_list", "paper"), "`selfguide filter noise`"),
        (("sql", "update setting set value = 1"), "`selfguide set` changes a setting"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    db = tmp_path / "shop.db"
    told(db, SHOP, 2).close()
    done = call(*arguments, "-d", db)
    assert done.exit_code == 1 and says in done.output and done.output.count("\n") == 1, done.output


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("rum",), "no such command 'rum'; did you mean run?"),
        (("setings",), "did you mean settings?"),
        (("filter", "lsit"), "did you mean list?"),
        (("models", "pul"), "did you mean pull?"),
        (("qqqq",), "--help` lists them"),
    ],
)
def test_a_mistyped_command_is_told_the_nearest(typed: tuple[str, ...], says: str) -> None:
    done = call(*typed)
    assert done.exit_code == 2 and says in done.output


TASK = """\
name: shop
kind: classification
instruction: Happy or upset?
labels: [happy, upset]
examples:
  - {input: good, output: happy}
  - {input: bad, output: upset}
"""


def test_refusals_are_in_the_own_words(tmp_path: Path) -> None:
    """Whatever is wrong with a field: the line names it, and no word is the validating library's."""
    wrong = [f"settings: {{{name}: {value}}}" for name in Settings.model_fields for value in ("[1]", "'#'", "-7")]
    wrong += [f"{name}: {value}" for name in ("eval", "inputs", "train", "label_shares") for value in ("[]", "x")]
    wrong += ["label_shares: {happy: x, upset: 1}", "noise_terms: {a: b}", "noise_terms: ['']", "settings: 3"]
    path, refused = tmp_path / "task.yaml", 0
    for more in wrong:
        path.write_text(TASK + more + "\n", encoding="utf-8")
        for problem in read_task(path)[2]:
            said = str(problem)
            refused += 1
            assert "nput should" not in said and "alid " not in said and "not allowed here" not in said, said
            assert said.startswith("line 8, column ") and more.split(":")[0] in said
            name = problem.field.removeprefix("settings.")
            if name in Settings.model_fields and name not in ("input_style", "answer_style", "trainer"):
                assert f"allowed: {allowed(name).replace('`', '')}" in said
    assert refused > 120


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("instruction: Happy or upset?", "instruction: ''", "line 3, column 1: instruction: must not be empty"),
        (
            "instruction: Happy or upset?",
            "instruction: [a]",
            "line 3, column 1: instruction: must be a text",
        ),
        ("labels: [happy, upset]", "labels: happy", "line 4, column 1: labels: must be a list, not 'happy'"),
        ("- {input: good, output: happy}", "- good", "line 6, column 5: examples.0: must be a mapping"),
        ("kind: classification", "kind: x", "line 2, column 1: kind: there is no kind of task 'x'; there are: "),
    ],
)
def test_the_line_and_the_field_are_named(old: str, new: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(TASK.replace(old, new), encoding="utf-8")
    assert any(str(problem).startswith(says) for problem in read_task(path)[2]), list(map(str, read_task(path)[2]))
