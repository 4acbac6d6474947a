"""The documents are true: generated parts are fresh, links lead somewhere, what is shown exists, nothing is missing."""

import ast
import inspect
import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
import yaml
from answering_model import CALIBRATED, TINY, answering
from click.testing import CliRunner
from stories import NOTES, SHOP, told

import selfguide_lite
from selfguide_lite.cli import main
from selfguide_lite.cli.common import given_settings
from selfguide_lite.core.setting_words import stages
from selfguide_lite.core.settings import Settings
from selfguide_lite.store import Store, filter_views
from selfguide_lite.task import Task

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
# Their links are looked at too.
MORE_PAGES = (ROOT / "CHANGELOG.md", *sorted((ROOT / "data").rglob("*.md")))
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(text: str) -> str:
    """A page without its blocks of code and its comments."""
    return FENCE.sub("", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))


def blocks(text: str, language: str) -> list[str]:
    shown = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return [textwrap.dedent(body) for _, name, body in FENCE.findall(shown) if name == language]


def relative(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_readme_is_one_screen() -> None:
    assert len(text_of(ROOT / "README.md").split()) <= 900


@pytest.mark.slow
def test_generated_parts_are_fresh() -> None:
    """In a process of its own: what other tests add, such as a kind of task, stands in no document."""
    command = [sys.executable, "-m", "cogapp", "--check", *map(relative, PAGES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `make docs`: {done.stdout}{done.stderr}"


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links, as GitHub and others make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(text_of(page)), flags=re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        number = 0
        while (slug := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(slug)
    return found


def broken_links(page: Path, text: str) -> list[str]:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path) if path else page
        inside = there.exists() and there.resolve().is_relative_to(ROOT)
        if not inside or (anchor and anchor not in anchors(there)):
            broken.append(target)
    return broken


@pytest.mark.parametrize("page", [*PAGES, *MORE_PAGES], ids=relative)
def test_links_and_anchors_exist(page: Path) -> None:
    assert broken_links(page, text_of(page)) == []


def test_every_document_can_be_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+)", text_of(ROOT / "README.md")))
    assert {relative(page) for page in PAGES[1:]} - linked == set()


def shell_lines(text: str) -> Iterator[str]:
    for block in (*blocks(text, "sh"), *blocks(text, "bash")):
        yield from block.replace("\\\n", " ").splitlines()


def shown(text: str, program: str) -> list[tuple[list[str], bool]]:
    """The arguments of every call of a program that a page shows, and whether it is a whole one, in a block of code."""
    found = [(words, True) for line in shell_lines(text) for words in calls(line, program)]
    inline = [code for code in INLINE.findall(prose(text)) if code.startswith(f"{program} ")]
    return found + [(words, False) for code in inline for words in calls(code, program)]


def calls(line: str, program: str) -> list[list[str]]:
    """The arguments of every call of a program in a line of a shell."""
    lexer = shlex.shlex(line.replace("$(", " ; "), posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    found: list[list[str]] = []
    taking = False
    start = True
    for word in lexer:
        if set(word) <= set("();<>|&"):
            taking, start = False, set(word) <= set("();|&")
        elif word == program and start:
            found.append([])
            taking, start = True, False
        elif taking:
            found[-1].append(word)
        else:
            start = False
    return found


def parse(words: list[str], whole: bool) -> dict[str, Any]:
    """Let click read a call of `selfguide`, without running it, and return its parameters.

    :raises click.ClickException: where a command, an option or a value does not exist
    """
    command: click.Command = main
    context = click.Context(main, info_name="selfguide")
    words = list(words)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        context = click.Context(command, info_name=name, parent=context)
    try:
        with command.make_context(context.info_name, words, parent=context.parent) as read:
            return dict(read.params)
    except (click.MissingParameter, click.exceptions.NoArgsIsHelpError):
        if whole:
            raise
    except click.exceptions.Exit:  # of --help and --version
        pass
    return {}


def check_call(words: list[str], whole: bool) -> None:
    given = parse(words, whole)
    if "assignments" in given:
        given_settings(given["settings_file"], given["assignments"])


SHOWN = [(relative(page), words, whole) for page in PAGES for words, whole in shown(text_of(page), "selfguide")]


@pytest.mark.parametrize(("page", "words", "whole"), SHOWN, ids=[f"{p}: {' '.join(w)}" for p, w, _ in SHOWN])
def test_shown_commands_and_options_exist(
    page: str, words: list[str], whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_call(words, whole)


def test_a_command_or_option_that_does_not_exist_is_found() -> None:
    page = (
        "```sh\necho 1; x=$(selfguide models pull a) # selfguide nothing\nselfguide run t.yaml --sett a | head\n```\n"
    )
    (pull, _), (run, _) = shown(page, "selfguide")
    assert pull == ["models", "pull", "a"] and run == ["run", "t.yaml", "--sett", "a"]
    check_call(pull, True)
    for wrong in (
        run,
        ["rum"],
        ["models", "fetch"],
        ["run", "t.yaml", "--set", "rouns=3"],
        ["predict", "--rounds", "3"],
    ):
        with pytest.raises((click.ClickException, selfguide_lite.SelfguideError)):
            check_call(wrong, True)
    with pytest.raises(click.ClickException):
        check_call(["run"], True)
    check_call(["run"], False)


def test_every_command_is_listed_and_every_set_names_a_setting() -> None:
    listed = set(re.findall(r"^\| \[`([\w-]+)`\]\(", text_of(ROOT / "docs/commands.md"), flags=re.MULTILINE))
    assert listed == set(main.list_commands(click.Context(main)))
    for page in PAGES:
        for assignment in re.findall(r"--set (\w+=[^\s`]+)", text_of(page)):
            if not assignment.startswith("KEY=") and not assignment.endswith("=N"):
                given_settings(None, [assignment])


def every_command(group: click.Group, parent: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        yield context.command_path, command
        if isinstance(command, click.Group):
            yield from every_command(command, context)


def test_every_option_of_every_command_is_described() -> None:
    parts = re.split(r"^#+ ", text_of(ROOT / "docs/commands.md"), flags=re.MULTILINE)
    sections = {part.partition("\n")[0]: part for part in parts}
    commands = dict(every_command(main, click.Context(main, info_name="selfguide")))
    assert set(commands) == {name for name in sections if name.startswith("selfguide ")} and len(commands) > 25
    for path, command in commands.items():
        rows = re.findall(r"^\| `(-.*?)` \| (.+) \|$", sections[path], flags=re.MULTILINE)
        described = {name for names, _ in rows for name in re.findall(r"(?<![\w-])--?[\w-]+", names)}
        options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
        names = {name for one in options for name in (*one.opts, *one.secondary_opts)}
        assert names <= described, path
        assert all(meaning.strip() for _, meaning in rows)


def test_the_python_api_is_documented_and_typed() -> None:
    page = text_of(ROOT / "docs/api.md")
    named = set(re.findall(r"^### (\w+)$", page, flags=re.MULTILINE))
    assert named == set(selfguide_lite.__all__) - {"__version__"}
    for name in sorted(named):
        found = getattr(selfguide_lite, name)
        assert inspect.getdoc(found) and found.__module__.startswith("selfguide_lite"), name
        if inspect.isfunction(found):
            signature = inspect.signature(found)
            assert signature.return_annotation is not inspect.Signature.empty
            for parameter in signature.parameters.values():
                assert parameter.annotation is not inspect.Parameter.empty, f"{name}: {parameter.name}"


def test_shown_make_targets_exist() -> None:
    makefile = text_of(ROOT / "Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    variables = set(re.findall(r"^(\w+)\s*\?=", makefile, flags=re.MULTILINE))
    asked = [(relative(page), word) for page in PAGES for words, _ in shown(text_of(page), "make") for word in words]
    assert len(asked) > 10
    assert [one for one in asked if "=" not in one[1] and one[1] not in targets] == []
    assert [one for one in asked if "=" in one[1] and one[1].partition("=")[0] not in variables] == []


def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are run, but for the job itself, which takes minutes: that it takes these arguments is looked at."""
    signature = inspect.signature(selfguide_lite.run)
    jobs: list[Task] = []

    def run(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        if "options" in given:
            Settings.model_validate(given["options"].settings)
        jobs.append(given["task"])
        # What `RunResult` does not have the example may not read.
        names = [name for name in dir(selfguide_lite.RunResult) if not name.startswith("_")]
        fields = {*names, *selfguide_lite.RunResult.__dataclass_fields__}
        return SimpleNamespace(**dict.fromkeys(fields, "a value"))

    monkeypatch.setattr(selfguide_lite, "run", run, raising=False)
    # What a run left behind is stood in for by a database whose task the tiny model answers without a finetune.
    answering(tmp_path / "my-task.db")
    stand_in = selfguide_lite.PredictOptions(model=TINY, method=CALIBRATED)
    loads = partial(selfguide_lite.load, options=stand_in)
    monkeypatch.setattr(selfguide_lite, "load", loads, raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "data/tasks", tmp_path / "data/tasks")
    assert CliRunner().invoke(main, ["init", "my-task.yaml"]).exit_code == 0
    examples = [(page, block) for page in PAGES for block in blocks(text_of(page), "python")]
    for page, block in examples:
        code = compile(block, relative(page), "exec")
        if "cross_val_score" not in block:  # it trains several times: tests/predict/test_estimator.py does it
            exec(code, {"__name__": "example"})
    assert len(jobs) >= 2 and all(isinstance(job, Task) for job in jobs)


TASK_FIELDS = [field.alias or name for name, field in Task.model_fields.items()]  # as a task file names them


def test_yaml_and_json_examples_can_be_read() -> None:
    for page in PAGES:
        for block in blocks(text_of(page), "yaml"):
            data = yaml.safe_load(block)
            assert set(data) <= set(TASK_FIELDS), relative(page)
        for block in blocks(text_of(page), "json"):
            assert all({"input", "output"} == set(json.loads(line)) for line in block.splitlines())


RECIPES = [
    statement.strip() for block in blocks(text_of(ROOT / "docs/database.md"), "sql") for statement in block.split(";")
]
RECIPES = [statement for statement in RECIPES if statement]


@pytest.fixture(scope="module", params=[SHOP, NOTES], ids=lambda task: task.kind)
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "run.db"
    told(path, request.param, hostile=False).close()
    return path


@pytest.mark.slow
def test_sql_recipes_run(filled: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    shutil.copy(filled, path)
    connection = sqlite3.connect(path)
    answered = 0
    for statement in RECIPES:
        rows = connection.execute(statement).fetchall()
        answered += bool(rows)
    connection.commit()
    connection.close()
    assert len(RECIPES) >= 15 and answered >= 10
    with Store.open(path) as store:  # the filter of the last recipe counts from now on
        (own,) = filter_views.user_filters(store.connection, filter_views.view_files())
        assert (own.stage, own.name, own.problem) == ("input", "question", None)
        assert store.connection.execute("SELECT value FROM setting WHERE key = 'min_vote_share'").fetchone() == (0.6,)


def test_every_setting_is_described() -> None:
    names = [name for group in stages().values() for name in group]
    assert sorted(names) == sorted(Settings.model_fields)
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
    page = text_of(ROOT / "docs/settings.md")
    assert [name for name in Settings.model_fields if f"\n| `{name}` | " not in page] == []
    rows = re.findall(r"^\| `\w+` \|(.+)\|$", page, flags=re.MULTILINE)
    assert len(rows) == len(names) and all(cell.strip() for row in rows for cell in re.split(r"(?<!\\)\|", row))


def test_every_field_of_a_task_is_described() -> None:
    page = text_of(ROOT / "docs/your-own-task.md")
    assert [name for name in TASK_FIELDS if f"\n| `{name}` | " not in page] == []


def variables_in_code() -> set[str]:
    """Every environment variable that the package, the Makefile, the set-up and the tests read or set."""
    found: set[str] = set()
    for path in sorted((ROOT / "selfguide_lite").rglob("*.py")):
        found |= python_variables(text_of(path))
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path != Path(__file__):
            found |= {name for name in python_variables(text_of(path)) if name in PRODUCT_OF_TESTS}
    found |= set(re.findall(r"^(\w+)\s*\?=", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    for path in (ROOT / ".ci").iterdir():
        script = text_of(path)
        found |= set(re.findall(r"\$\{([A-Z][A-Z0-9_]*):?[-+]", script))
    return found


# What the tests read that a developer sets; others are of the tests' own child processes.
PRODUCT_OF_TESTS = (
    *("SELFGUIDE_BENCH_INPUTS", "SELFGUIDE_LONG_INPUTS", "SELFGUIDE_PROOF_CACHE", "HYPOTHESIS_PROFILE"),
    *("SELFGUIDE_TEST_AXOLOTL", "SELFGUIDE_TEST_SERVER"),
)
NAME = re.compile(r"[A-Z][A-Z0-9_]+")


def python_variables(source: str) -> set[str]:
    """The environment's variables that a module names: in calls on `environ`, click's `envvar`, and constants."""
    found = set(re.findall(r"\bSELFGUIDE_[A-Z_]+", source))
    if not re.search(r"environ|getenv|envvar|_VARIABLE", source):
        return found
    for node in ast.walk(ast.parse(source)):
        named: list[ast.expr] = []
        if isinstance(node, ast.Subscript) and "environ" in ast.unparse(node.value):
            named = [node.slice]
        elif isinstance(node, ast.Call) and re.search(r"(environ\.\w+|getenv)$", ast.unparse(node.func)):
            named = node.args[:1]
        elif isinstance(node, ast.Compare) and "environ" in ast.unparse(node.comparators[0]):
            named = [node.left]
        elif isinstance(node, ast.keyword) and node.arg == "envvar":
            named = [node.value]
        elif isinstance(node, ast.BinOp) and "environ" in ast.unparse(node.left) and isinstance(node.right, ast.Dict):
            named = [key for key in node.right.keys if key is not None]
        elif isinstance(node, ast.Assign) and re.search(r"_VARIABLES?\b", ast.unparse(node.targets[0])):
            named = list(ast.walk(node.value))  # type: ignore[arg-type]
        found |= {one.value for one in named if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return {name for name in found if NAME.fullmatch(name)}


def test_every_environment_variable_is_described() -> None:
    page = text_of(ROOT / "docs/environment.md")
    described = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE))
    in_code = variables_in_code()
    assert in_code - described == set()
    assert described - in_code == {"_SELFGUIDE_COMPLETE", "HF_TOKEN"}  # click and the hub's client read these


def test_a_new_environment_variable_is_found() -> None:
    source = (
        'import os\nA = os.environ.get("ONE_A")\nB = os.environ["TWO_B"]\nC = "THREE_C" in os.environ\n'
        'D = os.getenv("FOUR_D")\nKEY_VARIABLES = ("FIVE_E", "SIX_F")\nf(envvar="SEVEN_G")\n'
        'E = os.environ | {"EIGHT_H": "1"}\nread("SELFGUIDE_NINE")\n'
    )
    names = {"ONE_A", "TWO_B", "THREE_C", "FOUR_D", "FIVE_E", "SIX_F", "SEVEN_G", "EIGHT_H", "SELFGUIDE_NINE"}
    assert python_variables(source) == names


def messages_in_code() -> list[str]:
    """Every text in the package, with … for what is put in, and the set-up script line by line."""
    found: list[str] = []
    for path in sorted((ROOT / "selfguide_lite").rglob("*.py")):
        for node in ast.walk(ast.parse(text_of(path))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                found.append("".join(map(str, parts)))
    return found + text_of(ROOT / ".ci/setup").splitlines()


def is_said(message: str, texts: list[str]) -> bool:
    """Whether one text of the code has all parts of a message, in their order."""
    parts = [part.strip(" :;") for part in message.removeprefix("setup: ").split("…")]
    parts = [part for part in parts if len(part) > 3]
    wanted = re.compile(".*".join(map(re.escape, parts)), re.DOTALL)
    return any(wanted.search(text) for text in texts)


def test_troubleshooting_shows_messages_of_the_code() -> None:
    page = text_of(ROOT / "docs/troubleshooting.md")
    tables = re.findall(r"^\| message \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page, flags=re.MULTILINE)
    messages = [INLINE.findall(line)[0] for table in tables for line in table.splitlines()]
    texts = messages_in_code()
    assert len(messages) > 30
    assert [message for message in messages if not is_said(message, texts)] == []
    assert not is_said("…: this file has never been refused for that reason", texts)


def test_the_tests_that_hold_what_was_found_are_there() -> None:
    page = text_of(ROOT / "docs/trust.md")
    written = "\n".join(text_of(path) for path in sorted((ROOT / "tests").rglob("test_*.py")))
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 15 and [name for name in named if f"def {name}(" not in written] == []
    assert [path for path in re.findall(r"`(tests/[\w/]+\.py)`", page) if not (ROOT / path).is_file()] == []


def test_troubleshooting_has_advice_for_every_filter() -> None:
    page = text_of(ROOT / "docs/troubleshooting.md")
    advised = {
        (stage.strip(), reason)
        for reason, stages in re.findall(r"^\| `(\w+)` \| ([a-z, ]+) \|", page, flags=re.MULTILINE)
        for stage in stages.split(",")
    }
    shipped = {(stage, name) for stage in filter_views.STAGES for name in filter_views.shipped_filters(stage)}
    assert advised == shipped | {("dataset", "balance"), ("answer", "unanswered")}
