"""The first commands of a user: from nothing, or from a benchmark's file, to a task file."""

from pathlib import Path

import click

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("import-ni")
@click.argument("source", metavar="FILE.json", type=_FILE)
@click.option("-o", "--output", "task_path", type=_FILE, help="Task file to write  [default: FILE.yaml, here]")
@click.option("--eval", "eval_path", type=_FILE, help="Evaluation set to write  [default: beside it, .eval.jsonl]")
@click.option("--examples", type=click.IntRange(1, 100), default=3, show_default=True, help="How many seed examples.")
@click.option("--kind", type=click.Choice(["classification", "generation"]), help="Instead of what the answers say.")
@click.option("-f", "--force", is_flag=True, help="Replace files that are there.")
def import_ni_command(
    source: Path, task_path: Path | None, eval_path: Path | None, examples: int, kind: str | None, force: bool
) -> None:
    """Turn a Super-NaturalInstructions task into a task file and an evaluation set."""
    from typing import cast

    from selfguide_lite.natural_instructions import import_natural_instructions
    from selfguide_lite.task import Kind

    task_path = task_path or Path(f"{source.stem}.yaml")
    eval_path = eval_path or task_path.with_name(f"{task_path.stem}.eval.jsonl")
    imported = import_natural_instructions(
        source, task_path, eval_path, examples=examples, kind=cast(Kind | None, kind), overwrite=force
    )
    task = imported.task
    labels = f", labels {', '.join(task.labels)}" if task.labels else ""
    click.echo(f"{task_path}: {task.kind}, {len(task.examples)} examples{labels}")
    click.echo(f"{eval_path}: {len(imported.rows)} evaluation rows")
    for note in imported.notes:
        click.echo(f"Note: {note}")
    click.echo(f"Next: selfguide run {task_path}")
