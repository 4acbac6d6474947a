"""The models on this machine: listed, got from the hub, looked at, removed."""

from pathlib import Path

import click

from selfguide_lite.cli.common import json_option, print_json


@click.group("models", invoke_without_command=True)
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
        print_json([{"name": m.name, "kind": m.kind, "path": str(m.path), "bytes": m.bytes} for m in found])
        return
    for known in KNOWN.values():
        where = str(known.path) if known.path else f"not here: {known.pull_command}"
        click.echo(f"{known.name}{' (the default)' if known.name == DEFAULT else ''}")
        click.echo(f"  {known.title} by {known.made_by}, {known.parameters} parameters, licence {known.licence}")
        click.echo(f"  {known.size} in {known.weights}, chat format: {known.chat}, from {known.source}")
        click.echo(f"  {where}")
    click.echo(f"Cache, {models_dir().parent}:{'' if found else ' empty'}")
    for model in found:
        click.echo(f"  {model.kind:5} {model.bytes / 2**20:9.1f} MiB  {neutral(model.name)}")
    click.echo("Kinds: gguf, a model that was pulled; copy, the same in a type that is read faster; hf, to train from.")
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


@models_command.command("remove")
@click.argument("name")
def remove_command(name: str) -> None:
    """Remove a model from the cache, by its name in the list."""
    from selfguide_lite.models import remove

    gone = remove(name)
    click.echo(f"removed {gone.path} ({gone.bytes / 2**20:.1f} MiB)")
