"""The models on this machine: listed, got from the hub, looked at, removed."""

from dataclasses import asdict
from pathlib import Path

import click

from selfguide_lite.cli.common import db_option, find_db, json_option, print_json, task_option
from selfguide_lite.cli.suggesting import SuggestingGroup


@click.group("models", cls=SuggestingGroup, invoke_without_command=True)
@json_option
@click.pass_context
def models_command(context: click.Context, as_json: bool) -> None:
    """List the models on this machine with their licences, get one, or look at one.

    \b
    Examples:
      selfguide models
      selfguide models pull smollm2-135m
      selfguide models pull vicuna-7b-v1.5
      selfguide models pull owner/repository/file.gguf
      selfguide models show my-model.gguf
    """
    if context.invoked_subcommand is not None:
        return
    from selfguide_lite.core.text import neutral
    from selfguide_lite.models import DEFAULT, KNOWN, cached_models, models_dir

    found = cached_models()
    if as_json:
        print_json([{**asdict(one), "path": str(one.path)} for one in found])
        return
    for known in KNOWN.values():
        where = str(known.path) if known.path else f"not here: {known.pull_command}"
        click.echo(f"{known.name}{' (the default)' if known.name == DEFAULT else ''}")
        click.echo(f"  {known.title} by {known.made_by}, {known.parameters} parameters, licence {known.licence}")
        click.echo(f"  {known.size} in {known.weights}, chat format: {known.chat}, from {known.source}")
        click.echo(f"  {where}")
    click.echo(f"Cache, {models_dir().parent}:{'' if found else ' empty'}")
    for model in found:
        note = f": {model.note}" if model.note else ""
        click.echo(f"  {model.kind:5} {model.bytes / 2**20:9.1f} MiB  {neutral(model.name + note)}")
    click.echo("Kinds: gguf, a model that was pulled; copy, computed with in its place; hf, to train from;")
    click.echo("state, the beginnings of prompts as a model has read them. `selfguide models remove NAME` clears one.")
    click.echo("Any other: `selfguide models pull owner/repository/file.gguf`")


@models_command.command("pull")
@click.argument("name")
def pull_command(name: str) -> None:
    """Get a GGUF by its short name, or from the hub; goes on where a broken download stopped."""
    from selfguide_lite.models import pull

    path = pull(name)
    click.echo(str(path))
    click.echo(f"Use it with -m {path}, or: export SELFGUIDE_MODEL={path}", err=True)


@models_command.command("show")
@click.argument("path", metavar="FILE.gguf", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def show_command(path: Path, as_json: bool) -> None:
    """Say what a model file is, whether it can be finetuned, and what memory it needs.

    \b
    Examples:
      selfguide models show my-model.gguf
      selfguide models show my-model.gguf --json
    """
    from selfguide_lite.core.text import neutral
    from selfguide_lite.model_report import model_report

    report = model_report(path)
    if as_json:
        print_json(report.as_json())
        return
    for name, value in report.lines():
        click.echo(f"{name:16}{neutral(value)}")


@models_command.command("adapters")
@db_option
@task_option
@json_option
def adapters_command(db: Path | None, task_name: str | None, as_json: bool) -> None:
    """List the adapters that a run's database knows, with their gains over prompting.

    Their numbers are what `--adapter` of predict, export, serve, chat and evaluate takes.

    \b
    Examples:
      selfguide models adapters -d my-task.db
      selfguide predict -d my-task.db --adapter 1 "a text"
    """
    from selfguide_lite.core.text import neutral
    from selfguide_lite.store import Store
    from selfguide_lite.trainings import adapters_of

    with Store.open(find_db(db), read_only=True, create=False) as store:
        found = adapters_of(store, store.only_task_id(task_name))
    if as_json:
        print_json([one.as_json() for one in found])
        return
    if not found:
        click.echo("No adapter yet: `selfguide run` or `selfguide train` makes one.")
    for one in found:
        adapter = one.adapter
        pairs = "" if adapter.pairs is None else f", {adapter.pairs:,} pairs"
        click.echo(f"{adapter.id}{' (taken where none is named)' if one.current else ''}: {one.gain}")
        click.echo(f"  trained {adapter.created_at[:16].replace('T', ' ')} for {neutral(one.base)}{pairs}")
        click.echo(f"  {neutral(adapter.path)}{'' if one.there else ' (gone)'}")


@models_command.command("remove")
@click.argument("name")
def remove_command(name: str) -> None:
    """Remove a model from the cache, by its name in the list."""
    from selfguide_lite.models import remove

    gone = remove(name)
    click.echo(f"removed {gone.path} ({gone.bytes / 2**20:.1f} MiB)")
