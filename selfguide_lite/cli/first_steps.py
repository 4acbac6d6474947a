"""The first commands of a user: from nothing, or from a benchmark's file, to a task file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfguide_lite.cli.common import json_option, model_option, print_json, prompts_option
from selfguide_lite.core.registry import KINDS

if TYPE_CHECKING:
    from selfguide_lite.llm.counter import Counter

_FILE = click.Path(dir_okay=False, path_type=Path)
_SHOWN = 10  # labels in a line for people


class _Kind(click.Choice[str]):
    """A kind of task, also one that another package has added since this module was imported."""

    def __init__(self) -> None:
        super().__init__(KINDS.names())

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        self.choices = KINDS.names()
        return super().convert(value, param, ctx)


_KIND = _Kind()


@click.command("init")
@click.argument("path", metavar="[TASK.yaml]", type=_FILE, default=Path("task.yaml"))
@click.option("--kind", type=_KIND, default="classification", show_default=True, help="Of the example in the file.")
@click.option("-i", "--interactive", is_flag=True, help="Ask for the instruction and the examples.")
@click.option("-f", "--force", is_flag=True, help="Replace the file if it is there.")
def init_command(path: Path, kind: str, interactive: bool, force: bool) -> None:
    """Write a commented task file that already runs. Without a name it is task.yaml.

    \b
    Examples:
      selfguide init my-task.yaml
      selfguide init --kind generation my-task.yaml
      selfguide init --interactive my-task.yaml
    """
    from selfguide_lite.core.errors import SelfguideError
    from selfguide_lite.core.files import atomic_write
    from selfguide_lite.task.starter import starter

    if path.exists() and not force:
        raise SelfguideError(f"{path}: is there already; give another name, or --force to replace it")
    text = _interview(path) if interactive else starter(kind, path.stem, str(path))
    try:
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SelfguideError(f"{path}: cannot write this file: {error.strerror}") from error
    click.echo(f"Wrote {path}.")
    click.echo(f"Next: edit it, then selfguide check {path} and selfguide run {path} --dry-run")


def _interview(path: Path) -> str:
    """Ask for a task, show what the model would be asked, and return the task file's text."""
    from selfguide_lite.core.errors import SelfguideError
    from selfguide_lite.kinds import kind_named
    from selfguide_lite.task import Example, fold
    from selfguide_lite.task.starter import written

    click.echo("A task is one instruction and about three examples. Ctrl-C leaves without writing anything.")
    instruction = click.prompt("Instruction").strip()
    kind = click.prompt("Kind", type=_KIND, default="classification")
    labels: list[str] = []
    if kind_named(kind).structured:
        raise SelfguideError(
            f"a schema is written in a file: `selfguide init --kind {kind} {path}` makes one that runs, to be edited"
        )
    if kind_named(kind).labelled:
        while len(labels) < 2:
            given = click.prompt("Labels, with commas between them")
            labels = list({fold(label): label.strip() for label in given.split(",") if label.strip()}.values())
            if len(labels) < 2:
                click.echo(f"A {kind} task needs at least two different labels.")
    examples: list[Example] = []
    while len(examples) < 3 or click.confirm("One more example?", default=False):
        number = len(examples) + 1
        text = click.prompt(f"Input {number}").strip()
        answer = click.prompt(f"Output {number}").strip()
        if labels and fold(answer) not in map(fold, labels):
            click.echo(f"{answer!r} is not one of the labels; once more.")
        elif text and answer:
            examples.append(Example(input=text, output=answer))
    _preview(kind, instruction, labels, examples)
    click.confirm(f"Write this to {path}?", default=True, abort=True)
    return written(kind, path.stem, str(path), instruction, labels, examples)


def _preview(kind: str, instruction: str, labels: list[str], examples: list[Any]) -> None:
    from selfguide_lite.core.errors import SelfguideError
    from selfguide_lite.core.text import neutral
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.task import Task

    try:
        task = Task(name="preview", kind=kind, instruction=instruction, labels=tuple(labels), examples=tuple(examples))
    except ValueError as error:
        raise SelfguideError(f"these answers make no task: {str(error).splitlines()[-1]}") from error
    click.echo("\nWhat the model will be asked for an answer to a new input:\n")
    for message in Prompts().annotate(task, "(a new input)"):
        click.secho(f"{message.role}:", dim=True)
        click.echo(neutral(message.content, keep_lines=True))
    click.echo()


@contextmanager
def _counter(model: Path | None) -> "Iterator[Counter | None]":
    """Give the tokenizer of the model that is meant; None where none was named and the default one is missing."""
    import os

    from selfguide_lite.core.errors import SelfguideError
    from selfguide_lite.llm import model_path

    try:
        path = model_path(model)
    except SelfguideError:
        if model is not None or os.environ.get("SELFGUIDE_MODEL"):
            raise
        yield None
        return
    from selfguide_lite.llm.counter import Counter

    counter = Counter(path)
    try:
        yield counter
    finally:
        counter.close()


@click.command("check")
@click.argument("path", metavar="TASK.yaml", type=_FILE)
@model_option
@prompts_option
@click.option("--strict", is_flag=True, help="Exit with status 1 for warnings too.")
@json_option
def check_command(path: Path, model: Path | None, prompts: Path | None, strict: bool, as_json: bool) -> None:
    """Say what is wrong with a task file and what in it will work badly, with line and column.

    Prompts are measured with the model's own tokenizer; the model itself is not loaded. Says too where the model
    cannot be finetuned.

    \b
    Examples:
      selfguide check my-task.yaml
      selfguide check my-task.yaml --model vicuna-7b-v1.5.Q4_K_M.gguf
      selfguide check my-task.yaml --json
    """
    from dataclasses import asdict

    from selfguide_lite.check import check_file
    from selfguide_lite.cli.common import find_task_file
    from selfguide_lite.core.text import neutral
    from selfguide_lite.gguf.trainable import why_not_trainable
    from selfguide_lite.prompts import Prompts

    path = find_task_file(path)
    with _counter(model) as counter:
        task, findings = check_file(path, Prompts(prompts), counter)
        untrainable = why_not_trainable(counter.path) if counter is not None else None
    if as_json:
        found = [asdict(finding) for finding in findings]
        print_json({"task": task.name if task else None, "findings": found, "untrainable": untrainable})
    else:
        for finding in findings:
            field = f"{finding.field}: " if finding.field else ""
            line = f"{path}:{finding.line}:{finding.column}: {finding.level}: {field}{finding.message}"
            click.secho(neutral(line), fg="red" if finding.level == "error" else None)
        if task is not None:
            labels = f", {len(task.labels)} labels" if task.labels else ""
            warnings = f", {len(findings)} warning{'s' if len(findings) > 1 else ''}" if findings else ""
            click.echo(f"{path}: ready to run ({task.kind}, {len(task.examples)} examples{labels}{warnings})")
        if untrainable is not None:
            click.secho(neutral(f"This model cannot be finetuned: {untrainable}"), fg="red")
    if task is None or (strict and (findings or untrainable)):
        raise click.exceptions.Exit(1)


@click.command("import-ni")
@click.argument("source", metavar="FILE.json", type=_FILE)
@click.option("-o", "--output", "task_path", type=_FILE, help="Task file to write  [default: FILE.yaml, here]")
@click.option("--eval", "eval_path", type=_FILE, help="Evaluation set to write  [default: beside it, .eval.jsonl]")
@click.option("--examples", type=click.IntRange(1, 100), default=3, show_default=True, help="How many seed examples.")
@click.option("--kind", type=_KIND, help="Instead of what the answers say.")
@click.option("-f", "--force", is_flag=True, help="Replace files that are there.")
def import_ni_command(
    source: Path, task_path: Path | None, eval_path: Path | None, examples: int, kind: str | None, force: bool
) -> None:
    """Turn a Super-NaturalInstructions task into a task file and an evaluation set.

    \b
    Examples:
      selfguide import-ni task1195_disflqa_disfluent_to_fluent_conversion.json
      selfguide import-ni task738.json -o topics.yaml --eval topics.eval.jsonl
    """
    from selfguide_lite.core.text import neutral
    from selfguide_lite.task.natural_instructions import import_natural_instructions

    task_path = task_path or Path(f"{source.stem}.yaml")
    eval_path = eval_path or task_path.with_name(f"{task_path.stem}.eval.jsonl")
    imported = import_natural_instructions(source, task_path, eval_path, examples=examples, kind=kind, overwrite=force)
    task = imported.task
    more = f" and {len(task.labels) - _SHOWN} more" if len(task.labels) > _SHOWN else ""
    labels = f", labels {', '.join(task.labels[:_SHOWN])}{more}" if task.labels else ""
    click.echo(neutral(f"{task_path}: {task.kind}, {len(task.examples)} examples{labels}"))
    click.echo(f"{eval_path}: {len(imported.rows)} evaluation rows")
    for note in imported.notes:
        click.echo(neutral(f"Note: {note}"))
    click.echo(f"Next: selfguide run {task_path}")
