"""An input style is one class with its template: one from another package asks for inputs as the shipped ones do."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from plugins_for_tests import Plugins

from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.registry import ANSWER_STYLES, INPUT_STYLES
from selfguide_lite.core.resources import resource
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.methods.asking import answer_prompt
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Store
from selfguide_lite.synthesis import generate
from selfguide_lite.task import load_task

SOURCE = '''
from pathlib import Path


class Upside:
    """The label first, then what was said to it."""

    summary = "the newest first"
    shows_few = False

    def template(self, task):
        return str(Path(__file__).parent / "input-upside.j2")

    def variables(self, task, seeds, pool, label):
        return {"lines": [f"{one.label}: {one.text}" for one in reversed([*seeds, *pool])], "wanted": label}
'''
TEMPLATE = """\
{% call user() %}
{% for line in lines %}{{ line }}
{% endfor %}{{ wanted }}:
{% endcall %}
"""


@pytest.fixture(autouse=True)
def own_style(plugins: Plugins) -> None:
    plugins.install("own_style", SOURCE, {"selfguide_lite.prompt_styles": {"upside-down": "Upside"}})
    (plugins.folder / "input-upside.j2").write_text(TEMPLATE, encoding="utf-8")


def test_settings_take_its_name_and_no_other() -> None:
    assert INPUT_STYLES.names() == ("chat-turns", "paper", "upside-down")
    done = CliRunner().invoke(main, ["run", "no.yaml", "--set", "input_style=backwards"])
    assert done.exit_code == 2
    assert "no input style 'backwards'; there are: chat-turns, paper, upside-down" in done.output


def test_its_template_can_be_replaced_and_is_missed(tmp_path: Path, plugins: Plugins) -> None:
    task = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml"))
    shipped = Prompts().input_template(task, "upside-down")
    assert shipped.source == TEMPLATE
    (tmp_path / "input-upside.j2").write_text("{% call user() %}{{ wanted }}{% endcall %}", encoding="utf-8")
    assert Prompts(tmp_path).new_input(task, [], [], "cheer", "upside-down")[0].content == "cheer"
    (plugins.folder / "input-upside.j2").unlink()
    with pytest.raises(SelfguideError, match=r"input-upside.j2: cannot read this prompt template"):
        Prompts().input_template(task, "upside-down")


@pytest.mark.slow
def test_inputs_are_asked_for_with_it_and_shown_again(tmp_path: Path) -> None:
    task = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml"))
    settings = task.settings.changed(
        {
            "input_style": "upside-down",
            "rounds": 1,
            "prompts_per_round": 4,
            "label_condition": True,
            "label_order": "in-turn",
        }
    )
    task = task.model_copy(update={"settings": settings})
    db = tmp_path / "a.db"
    options = EngineOptions(tune=False, tuning={"threads": 1})
    with Store.open(db) as store, open_engine(resource("data/tiny_vicuna/tiny-vicuna.gguf"), options) as engine:
        task_id = store.add_task(task)
        generate(RunContext(store, task_id, settings), engine)
        rows = store.connection.execute(
            "SELECT i.id, i.label, r.template FROM input AS i JOIN run AS r ON r.id = i.run_id ORDER BY i.prompt"
        ).fetchall()
    assert [label for _, label, _ in rows] == [task.labels[number % len(task.labels)] for number in range(4)]
    assert {template for _, _, template in rows} == {TEMPLATE}
    done = CliRunner().invoke(main, ["show", "-d", str(db), "--json", str(rows[0][0])])
    assert done.exit_code == 0, done.output
    (message,) = json.loads(done.stdout)["messages"]
    lines = message["content"].splitlines()
    assert lines[-1] == f"{rows[0][1]}:"
    assert sorted(lines[:-1]) == sorted(f"{one.output}: {one.input}" for one in task.examples)


ANSWER_SOURCE = '''
class Alike:
    """The example that shares most words with the input, alone."""

    summary = "the most similar example"

    def examples(self, task, text):
        words = set(text.split())
        return [max(task.examples, key=lambda one: len(words & set(one.input.split())))]
'''


def test_an_answer_style_of_another_package_says_which_examples_are_shown(plugins: Plugins) -> None:
    plugins.install("own_answers", ANSWER_SOURCE, {"selfguide_lite.prompt_styles.answers": {"alike": "Alike"}})
    assert ANSWER_STYLES.names() == ("bare", "few-shot", "system", "alike")
    task = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml"))
    task = task.model_copy(update={"settings": task.settings.changed({"answer_style": "alike"})})
    for example in task.examples:
        shown = answer_prompt(Prompts(), task.settings.answer_style)(task, f"{example.input} again")
        assert [message.role for message in shown] == ["user", "assistant", "user"]
        assert example.input in shown[0].content and shown[1].content == example.output
