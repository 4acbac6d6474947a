"""Hostile texts through every command that shows or writes what is stored: they come out as texts, or harmless."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hostile_texts import CONTROL, STORABLE, TEXTS, UNSEEN, hostile_store, hostile_task
from rich.console import Console
from robustness_counts import count

from selfguide_lite.cli import main
from selfguide_lite.core.progress import FunnelRow, Listener
from selfguide_lite.core.registry import FORMS
from selfguide_lite.prompts import Prompts
from selfguide_lite.report.progress import RUN_STAGES, LiveDisplay, PlainLines
from selfguide_lite.store import Store
from selfguide_lite.store.stored_values import clean
from selfguide_lite.tabular import read_table
from selfguide_lite.task import load_task
from selfguide_lite.task.eval_rows import EvalRow
from selfguide_lite.task.natural_instructions import eval_jsonl, task_yaml

pytestmark = pytest.mark.slow

KINDS = ("generation", "classification")
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
Run = Callable[..., Result]


@pytest.fixture(scope="module", params=KINDS)
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / "hostile.db"
    hostile_store(path, request.param).close()
    return path


def run(*arguments: object, status: int = 0) -> str:
    """Run a command and return what it says, which no terminal obeys."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == status, result.output
    found = CONTROL.search(result.output)
    assert not found, repr(result.output[max(0, found.start() - 60) : found.end() + 20])
    return result.output


def as_shown(text: str) -> list[str]:
    """The pieces of a text that every terminal shows as they are."""
    return [piece for piece in clean(text).split("\n") if piece.isprintable() and piece]


def test_status_and_the_filters(db: Path) -> None:
    for arguments in (("status",), ("status", "--json"), ("filter", "list"), ("filter", "list", "--json")):
        run(*arguments, "-d", db)
    shown = run("filter", "noise", "-d", db)
    assert "{{ never }}" in shown and "[blink] never" in shown and "<never>" in shown
    sayable = [wrong for wrong in TEXTS.values() if "\0" not in wrong and "\ud83d" not in wrong]  # by an argument
    for place, wrong in enumerate(sayable):
        commands = (
            (("status",), (f"--task={wrong}",)),
            (("filter", "set"), ("--", "min_vote_share", wrong)),
            (("filter", "set"), ("--", wrong, "1")),
            (("filter", "noise", "--drop"), ("--", wrong)),
            (("filter", "drop"), ("--", wrong)),
            (("filter", "add", "--stage", "input"), ("--", wrong, "select 1")),
            (("filter", "add", "--stage", "input"), ("--", "x", wrong)),
            (("sql",), ("--", f"select nothing as {wrong}")),
        )
        for command, arguments in commands[place % 4 :: 4]:  # every text, and every command with many of them
            said = run(*command, "-d", db, *arguments, status=1)
            assert said.startswith("Error: ") and said.count("\n") == 1, said
    count("texts", len(sayable))


def test_a_filter_whose_details_are_hostile(tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    hostile_store(path).close()
    run("filter", "add", "own", "select id, text as detail from input", "--stage", "input", "-d", path)
    for number in range(3, len(TEXTS) + 1, 6):  # other ones than the test below
        run("show", number, "-d", path)
    run("status", "-d", path)
    run("report", "-d", path, "-o", tmp_path / "own.html")
    assert run("filter", "drop", "own", "-d", path)


def test_show_tells_the_life_of_every_input(db: Path) -> None:
    shown_here = list(enumerate(TEXTS.values(), 1))[::6]  # each takes half a second
    for number, text in shown_here:
        shown = run("show", number, "-d", db)
        for piece in as_shown(text):
            assert piece in shown, (piece, shown)  # neither markup nor template has eaten any of it
        assert not UNSEEN.search(shown)
        told = json.loads(run("show", number, "--json", "-d", db))
        assert told["text"] == clean(text)
    count("texts", len(shown_here))


@pytest.mark.parametrize(
    "table", ["input", "output", "task", "model", "run", "prediction", "dataset", "vote", "setting"]
)
def test_sql_in_every_form(table: str, db: Path) -> None:
    question = f'select * from "{table}" order by 1, 2'
    with Store.open(db, read_only=True) as store:
        cursor = store.connection.execute(question)
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
    assert rows
    assert json.loads(run("sql", question, "--json", "-d", db)) == rows
    assert [json.loads(line) for line in run("sql", question, "--jsonl", "-d", db).splitlines()] == rows
    cells = list(csv.reader(io.StringIO(run("sql", question, "--csv", "-d", db), newline="")))
    assert len(cells) == 1 + len(rows)
    assert not [cell for row in cells for cell in row if cell.lstrip(" ").startswith(FORMULA)]
    shown = run("sql", question, "-d", db)
    assert len(shown) < 2_000_000
    count("texts", sum(isinstance(value, str) for row in rows for value in row.values()))


def test_sql_names_its_columns_as_hostile_as_one_likes(db: Path) -> None:
    for text in STORABLE.values():
        name = text.replace('"', '""')
        for form in ((), ("--json",), ("--jsonl",), ("--csv",)):
            run("sql", f'select 1 as "{name}"', *form, "-d", db)


@pytest.mark.parametrize("form", FORMS.names())
def test_the_dataset_in_every_form_and_format(form: str, db: Path, tmp_path: Path) -> None:
    with Store.open(db, read_only=True) as store:
        pairs, task = store.pairs(1), store.task(1)
    expected: list[dict[str, object]] = []
    for pair in pairs:
        prompt = [{"role": m.role, "content": m.content} for m in Prompts().answer(task, pair.input)]
        said = {"role": "assistant", "content": pair.output}
        marked = [*({**turn, "training": False} for turn in prompt), {**said, "training": True}]
        whole: dict[str, dict[str, object]] = {
            "pairs": {"input": pair.input, "output": pair.output},
            "alpaca": {"instruction": task.instruction, "input": pair.input, "output": pair.output},
            "chat": {"messages": [*prompt, said]},
            "prompt-completion": {"prompt": prompt, "completion": [said]},
            "axolotl": {"messages": marked},
        }
        expected.append(whole[form])
    assert [json.loads(line) for line in run("dataset", "--format", form, "-d", db).splitlines()] == expected
    for ending in ("jsonl", "csv", "parquet"):
        run("dataset", "--format", form, "-d", db, "-o", tmp_path / f"pairs.{ending}")
    written = (tmp_path / "pairs.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line) for line in written.splitlines()] == expected and not CONTROL.search(written)
    with (tmp_path / "pairs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + len(expected)
    for cell in (cell for row in rows for cell in row):
        assert not cell.lstrip(" ").startswith(FORMULA) and not CONTROL.search(cell), repr(cell[:80])
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(tmp_path / "pairs.parquet").to_pylist() == expected
    run("dataset", "--format", form, "-d", db, "-o", tmp_path / "folder")
    assert [row.values for row in read_table(tmp_path / "folder").read()] == expected
    count("texts", 6 * len(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_check_and_import_of_a_hostile_task(kind: str, tmp_path: Path) -> None:
    task = hostile_task(kind)
    path, rows = tmp_path / "task.yaml", tmp_path / "rows.jsonl"
    answers = task.labels or tuple(STORABLE.values())
    rows.write_text(
        eval_jsonl(EvalRow(text, (answers[n % len(answers)],)) for n, text in enumerate(STORABLE.values())),
        encoding="utf-8",
    )
    written = task_yaml(task.model_copy(update={"eval": Path("rows.jsonl")}))
    path.write_text(written, encoding="utf-8")
    assert not CONTROL.search(written) and not CONTROL.search(rows.read_text(encoding="utf-8"))
    assert load_task(path).model_copy(update={"eval": None}) == task
    result = CliRunner().invoke(main, ["check", str(path)])
    assert not CONTROL.search(result.output) and "Traceback" not in result.output
    for line in run("check", path, "--json", status=result.exit_code).splitlines():
        json.loads(line)
    instances = [{"input": text, "output": answers[n % len(answers)]} for n, text in enumerate(TEXTS.values())] * 4
    content = {"Definition": [task.instruction], "Positive Examples": instances[:5], "Instances": instances}
    (tmp_path / "task1_hostile.json").write_text(json.dumps(content), encoding="utf-8")
    run("import-ni", tmp_path / "task1_hostile.json", "-o", tmp_path / "ni.yaml", "--kind", kind)
    assert load_task(tmp_path / "ni.yaml").kind == kind
    assert not CONTROL.search((tmp_path / "ni.yaml").read_text(encoding="utf-8"))
    count("texts", 2 * len(TEXTS))


def test_errors_repeat_a_hostile_file_in_plain_letters(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    for name, text in TEXTS.items():
        content = {
            text[:100]: 1,
            "name": "x",
            "kind": text,
            "labels": ["a", "b", text],
            "examples": [{"input": "x", "output": text, text[-50:]: text}],
            "settings": {text[:100]: 1, "rounds": text},
        }
        path.write_text(json.dumps(content), encoding="utf-8")
        assert "error" in run("check", path, status=1)
        if CONTROL.search(text):
            assert run("run", path, status=1).count("\n") == 1, name
            assert run("run", path, "--settings", path, status=1).count("\n") == 1, name
    for text in ("\x1b[31m\x9b1m", "\u202e"):
        label = {"name": "x", "kind": "classification", "instruction": "x", "labels": ["a", "b"]}
        path.write_text(json.dumps({**label, "examples": [{"input": "x", "output": text}]}), encoding="utf-8")
        assert "is not one of the labels" in run("check", path, status=1)
    count("texts", len(TEXTS))


def test_models_in_the_cache_are_listed_in_plain_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFGUIDE_CACHE", str(tmp_path))
    folder = tmp_path / "models" / "owner" / "repository"
    folder.mkdir(parents=True)
    for number, text in enumerate(text.replace("/", "-")[:60] for text in STORABLE.values()):
        (folder / f"{number}{text}.gguf").write_bytes(b"GGUF")
    assert sum(line.startswith("  gguf ") for line in run("models").splitlines()) == len(STORABLE)
    assert len(json.loads(run("models", "--json"))) == len(STORABLE)
    run("models", "remove", "\x1b[31m\u202e", status=1)
    count("texts", len(STORABLE))


@pytest.mark.parametrize("form", ["sql", "filter", "init", "task", "noise"])
def test_arguments_that_are_no_text(form: str, tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    hostile_store(path).close()
    broken = os.fsdecode(b"\xff\xfe")
    commands: dict[str, tuple[object, ...]] = {
        "sql": ("sql", f"select '{broken}'", "-d", path),
        "filter": ("filter", "add", "x", f"select id, '{broken}' as detail from input", "--stage", "input", "-d", path),
        "init": ("init", tmp_path / f"{broken}.yaml"),
        "task": ("status", "--task", broken, "-d", path),
        "noise": ("filter", "noise", "--drop", broken, "-d", path),
    }
    said = run(*commands[form], status=1)
    assert said.startswith("Error: ") and said.count("\n") == 1, said
    assert not list(tmp_path.glob("*.yaml"))
    count("inputs")


def told(listener: Listener) -> None:
    texts = list(TEXTS.values())
    listener.start("generate", len(texts))
    for number, text in enumerate(texts):
        listener.advance("generate", number + 1, tokens=5, kept=number, text=text)
        listener.note(text)
        listener.funnel([FunnelRow("input", "kept", number), FunnelRow(text, text, number + 1)])
    for text in texts:
        listener.done("generate", text)


def test_the_live_screen_and_the_plain_lines() -> None:
    written: list[str] = []
    told(PlainLines(RUN_STAGES, write=written.append))
    assert written and not any(CONTROL.search(line) or "\n" in line for line in written)
    for width in (40, 100):
        console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
        display = LiveDisplay(console, RUN_STAGES)
        for text in TEXTS.values():
            with console.capture() as capture:
                display.start("generate", 10)
                display.advance("generate", 5, tokens=5, kept=4, text=text)
                display.note(text)
                display.funnel([FunnelRow("input", "kept", 3), FunnelRow(text, text, 7)])
                console.print(display)
                display.done("generate", text)
                console.print(display)
            shown = capture.get()
            assert not CONTROL.search(shown), repr(shown)
        assert "[bold red]loud" in as_drawn(console, display, TEXTS["markup"])
    count("texts", 3 * len(TEXTS))


def as_drawn(console: Console, display: LiveDisplay, text: str) -> str:
    display.start("generate", 10)
    display.advance("generate", 5, text=text)
    with console.capture() as capture:
        console.print(display)
    return capture.get()
