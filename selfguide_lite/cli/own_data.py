"""Commands that bring in a person's own data: `add inputs`, `add rows`, `split`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from selfguide_lite.cli.common import db_option, find_db, given_task, json_option, print_json, task_option
from selfguide_lite.cli.suggesting import SuggestingGroup
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.text import neutral

if TYPE_CHECKING:
    from selfguide_lite.own_data import Taken
    from selfguide_lite.store import OwnInput, Store
    from selfguide_lite.tabular import Table
    from selfguide_lite.task import Task

Command = TypeVar("Command", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path, allow_dash=True)
_FILE = click.Path(path_type=Path, dir_okay=False)


def _source_options(command: Command) -> Command:
    """Add the file, the task's file, and how the file is read."""
    for option in (
        click.argument("task_file", metavar="[TASK.yaml]", type=_FILE, required=False),
        click.argument("file", metavar="FILE", type=_PATH, required=False),
        click.option(
            "--format",
            "form",
            type=click.Choice(["jsonl", "csv", "tsv", "txt", "parquet", "xlsx"]),
            help="Of the file, where its ending does not tell.",
        ),
        click.option("--from-db", type=_FILE, metavar="DB", help="Take the rows from another SQLite database."),
        click.option("--sql", "statement", metavar="SELECT", help="What to take from it."),
        click.option("--eval", "eval_file", type=_FILE, metavar="FILE", help="Evaluation rows.  [default: the task's]"),
        db_option,
        task_option,
        json_option,
    ):
        command = option(command)
    return command


@click.group("add", cls=SuggestingGroup)
def add_command() -> None:
    """Add inputs or answered rows of your own to a task."""


@add_command.command("inputs")
@_source_options
@click.option("--column", metavar="NAME", help="Where the inputs stand.  [default: input, text, or the only one]")
def add_inputs_command(
    file: Path | None,
    task_file: Path | None,
    form: str | None,
    from_db: Path | None,
    statement: str | None,
    eval_file: Path | None,
    db: Path | None,
    task_name: str | None,
    as_json: bool,
    column: str | None,
) -> None:
    """Add inputs without answers: the next `run` or `annotate` answers them, and new inputs are written in their style.

    FILE is JSONL, CSV, TSV, Parquet, Excel, a text with an input on each line, a folder of .txt files, a folder that
    Hugging Face's datasets saved, or - for lines of standard input. The filters judge them as they do written inputs;
    the setting added_filters_off names those that do not. With TASK.yaml the database is made where it is missing.

    \b
    Examples:
      selfguide add inputs messages.csv my-task.yaml --column message
      selfguide add inputs letters/ -d my-task.db
      cat lines.txt | selfguide add inputs - -d my-task.db
      selfguide add inputs -d my-task.db --from-db mail.db --sql "select body as input from mail"
    """
    from selfguide_lite.own_data import inputs_of

    table = _table(file, form, from_db, statement)
    own = inputs_of(table, column)
    _take(own, table, _Target(task_file, db, task_name, eval_file), as_json, "inputs")


@add_command.command("rows")
@_source_options
@click.option("--input-column", metavar="NAME", help="Of the inputs.  [default: input, or text]")
@click.option("--output-column", metavar="NAME", help="Of the right answers.  [default: output, or label]")
def add_rows_command(
    file: Path | None,
    task_file: Path | None,
    form: str | None,
    from_db: Path | None,
    statement: str | None,
    eval_file: Path | None,
    db: Path | None,
    task_name: str | None,
    as_json: bool,
    input_column: str | None,
    output_column: str | None,
) -> None:
    """Add inputs with their right answers: they go into the dataset as they are, beside the self-made pairs.

    No filter judges them and balance drops none of them. The setting given_weight says how often an epoch shows them.

    \b
    Examples:
      selfguide add rows answered.csv my-task.yaml
      selfguide add rows answered.xlsx -d my-task.db --input-column message --output-column kind
    """
    from selfguide_lite.own_data import rows_of

    target = _Target(task_file, db, task_name, eval_file)
    table = _table(file, form, from_db, statement)
    if task_file is not None:
        task = given_task(task_file)
    else:
        from selfguide_lite.store import Store

        with Store.open(find_db(db), read_only=True, create=False) as store:
            task = store.task(store.only_task_id(task_name))
    _take(rows_of(table, task, input_column, output_column), table, target, as_json, "rows")


def _table(file: Path | None, form: str | None, from_db: Path | None, statement: str | None) -> "Table":
    from selfguide_lite.tabular import read_lines, read_table

    if from_db is not None or statement is not None:
        from selfguide_lite.store.foreign import database_table

        if from_db is None or statement is None:
            raise click.UsageError("--from-db and --sql go together")
        if file is not None:
            raise click.UsageError(
                "give a FILE or --from-db, not both; with --from-db name the task's database with -d"
            )
        return database_table(from_db, statement)
    if file is None:
        raise click.UsageError("name a FILE, - for standard input, or --from-db with --sql")
    if str(file) != "-":
        return read_table(file, form)
    if form in (None, "txt"):
        return read_lines("standard input", sys.stdin)
    import tempfile

    with tempfile.NamedTemporaryFile("wb", suffix=f".{form}", delete=False) as kept:
        kept.write(sys.stdin.buffer.read())
    click.get_current_context().call_on_close(lambda: Path(kept.name).unlink(missing_ok=True))
    return replace(read_table(Path(kept.name), form), name="standard input")


@dataclass(frozen=True, slots=True)
class _Target:
    """Which task of which database is meant, and which rows evaluate it."""

    task_file: Path | None
    db: Path | None
    task_name: str | None
    eval_file: Path | None

    def open(self, task: "Task | None") -> "Store":
        """Open the database, made where it is missing if a task's file says what it is for."""
        from selfguide_lite.store import Store

        return Store.open(find_db(self.db, task), create=task is not None)


def _take(own: "list[OwnInput]", table: "Table", target: _Target, as_json: bool, what: str) -> None:
    from selfguide_lite.core.lock import exclusive
    from selfguide_lite.own_data import take_in
    from selfguide_lite.task.eval_rows import load_eval

    task = None if target.task_file is None else given_task(target.task_file)
    rows = None if target.eval_file is None else load_eval(target.eval_file)
    with target.open(task) as store, exclusive(store.path):
        task_id = store.only_task_id(target.task_name) if task is None else store.add_task(task)
        taken = take_in(store, task_id, own, table.name, rows)
    if as_json:
        print_json(_as_json(taken))
        return
    for note in taken.notes:
        click.echo(neutral(note), err=True)
    there = f", {taken.known:,} were there already" if taken.known else ""
    click.echo(f"{taken.new:,} {what} added to {store.path}{there}.")


def _as_json(taken: "Taken") -> dict[str, Any]:
    return {
        "new": taken.new,
        "known": taken.known,
        "refused": list(taken.refused),
        "contradictions": [list(pair) for pair in taken.contradictions],
    }


@click.command("split")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--eval", "wanted", type=click.IntRange(1), default=100, show_default=True, help="Evaluation rows.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Fixes which rows.")
@click.option("-o", "--output", type=_FILE, metavar="STEM", help="Name the two files so.  [default: as FILE]")
@click.option("--input-column", metavar="NAME", help="Of the inputs.  [default: input, or text]")
@click.option("--output-column", metavar="NAME", help="Of the right answers.  [default: output, or label]")
@click.option("-f", "--force", is_flag=True, help="Replace the two files if they are there.")
def split_command(
    file: Path,
    wanted: int,
    seed: int,
    output: Path | None,
    input_column: str | None,
    output_column: str | None,
    force: bool,
) -> None:
    """Part answered rows into an evaluation set and rows to train on, every label in proportion.

    Writes STEM.eval.jsonl, for `eval:` in the task's file, and STEM.train.jsonl, for `train:`.

    \b
    Examples:
      selfguide split answered.csv
      selfguide split answered.xlsx --eval 200 --seed 1 --output-column kind
    """
    from selfguide_lite.core.files import atomic_write
    from selfguide_lite.core.plain_json import plain_json
    from selfguide_lite.tabular import INPUT_COLUMNS, OUTPUT_COLUMNS, read_table
    from selfguide_lite.task.eval_rows import EvalRow
    from selfguide_lite.task.split import ENOUGH, half_width, split

    table = read_table(file)
    given = table.column(input_column, INPUT_COLUMNS, "--input-column")
    answer = table.column(output_column, OUTPUT_COLUMNS, "--output-column")
    rows = [EvalRow(table.text(row, given), (table.text(row, answer),)) for row in table.read()]
    try:
        parts = split(rows, wanted, seed)
    except SelfguideError as error:
        raise SelfguideError(f"{file}: {error}") from error
    stem = output or file.with_suffix("")
    made = {name: stem.with_name(f"{stem.name}.{name}.jsonl") for name in ("eval", "train")}
    for path in made.values():
        if path.exists() and not force:
            raise SelfguideError(f"{path}: is there already; name others with -o, or --force to replace it")
    for path, places in ((made["eval"], parts.evaluation), (made["train"], parts.train)):
        with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as handle:
            for place in places:
                handle.write(plain_json({"input": rows[place].input, "output": rows[place].references[0]}) + "\n")
        click.echo(f"{len(places):,} rows in {path}")
    if parts.repeated:
        click.echo(
            f"{parts.repeated:,} rows whose input occurs more than once are for training: none is in both files",
            err=True,
        )
    if wanted < ENOUGH:
        click.echo(
            f"With {wanted} evaluation rows an accuracy of 80 % is known to about ±{half_width(wanted):.0f} points; "
            f"{ENOUGH} rows give ±{half_width(ENOUGH):.0f}",
            err=True,
        )
