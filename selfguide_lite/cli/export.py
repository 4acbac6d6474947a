"""The way out: a finetuned model for another program, in one folder."""

from pathlib import Path

import click

from selfguide_lite.cli.common import (
    db_option,
    find_db,
    json_option,
    model_option,
    print_json,
    prompts_option,
    quiet_option,
    task_option,
)

_PATH = click.Path(path_type=Path)


@click.command("export")
@db_option
@task_option
@model_option
@click.option(
    "--to", "target", required=True, metavar="TARGET", help="llama.cpp, ollama, hf, vllm, or one of a plugin."
)
@click.option("--merge", metavar="TYPE", help="Write one complete model: f16, q8_0, q4_k_m, ..., or auto.")
@click.option(
    "--max-changed",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Share of answers that `--merge auto` may change.",
)
@click.option(
    "-a",
    "--adapter",
    metavar="N|FILE",
    help="An adapter: its number (see models adapters) or file.  [default: what won]",
)
@click.option("--rows", type=click.IntRange(1), default=24, show_default=True, help="To replay at most.")
@click.option("-o", "--out", type=_PATH, metavar="FOLDER", help="Where to write.  [default: TASK-TARGET]")
@click.option("-f", "--force", is_flag=True, help="Replace the folder if it is there.")
@prompts_option
@quiet_option
@json_option
def export_command(
    db: Path | None,
    task_name: str | None,
    model: Path | None,
    target: str,
    merge: str | None,
    max_changed: float,
    adapter: str | None,
    rows: int,
    out: Path | None,
    force: bool,
    prompts: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write the finetuned model for another program: one folder with everything in it, which can be moved.

    Before it is done, evaluation rows (or pairs) are answered from the files just written, and the answers are compared
    with those of the engine. `--merge auto` takes the smallest type that changes few enough answers.

    \b
    Examples:
      selfguide export -d people.db --to llama.cpp
      selfguide export -d people.db --to ollama --merge auto -o people-ollama
      selfguide export -d people.db --to hf --adapter 2
    """
    from selfguide_lite.core.text import neutral
    from selfguide_lite.export.targets import target_named
    from selfguide_lite.exporting import ExportOptions, export
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.report.progress import listener_for

    target_named(target)
    options = ExportOptions(target, task_name, merge, adapter, model, out, rows, max_changed, force, Prompts(prompts))
    with listener_for(quiet or as_json, ("export",)) as listener:
        made = export(find_db(db), options, listener)
    if as_json:
        print_json(made.as_json())
    elif not quiet:
        click.echo(f"{made.folder}  ({made.bytes / 2**20:.1f} MiB)")
        for line in (*made.outcome.lines, made.outcome.other, made.outcome.merged):
            if line:
                click.echo(neutral(line))
