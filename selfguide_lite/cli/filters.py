"""Commands that look at and change a database's filters."""

from pathlib import Path
from typing import Any

import click

from selfguide_lite.cli.common import db_option, find_db, json_option, print_json, task_option
from selfguide_lite.cli.settings import set_command
from selfguide_lite.cli.suggesting import SuggestingGroup
from selfguide_lite.cli.tables import opened_task, print_table, whole_pipe
from selfguide_lite.core.text import neutral

_stage_option = click.option(
    "--stage", type=click.Choice(["input", "output", "answer"]), help="Whether it judges inputs, outputs or answers."
)


@click.group("filter", cls=SuggestingGroup)
def filter_command() -> None:
    """List the filters, change their settings, and add filters of your own in SQL."""


@filter_command.command("list")
@db_option
@task_option
@json_option
def filter_list_command(db: Path | None, task_name: str | None, as_json: bool) -> None:
    """Show every filter, how many texts it rejects, how many it alone rejects, and the settings in force."""
    from dataclasses import asdict

    from selfguide_lite.store.filters import list_filters

    with opened_task(db, task_name) as (store, task_id), whole_pipe():
        rows = list_filters(store, task_id)
        settings = {key: value for key, value in store.settings(task_id).items() if key not in ("task_id", "kind")}
        if as_json:
            print_json({"filters": [asdict(row) for row in rows], "settings": settings})
            return
        print_table(
            ["stage", "filter", "rejects", "it alone", ""],
            [
                (
                    row.stage,
                    row.name,
                    "" if row.problem else f"{row.rejects:,}",
                    "" if row.problem else f"{row.alone:,}",
                    f"not counted: {row.problem}" if row.problem else "yours" if row.own else "",
                )
                for row in rows
            ],
        )
        click.echo("")
        print_table(
            ["setting", "value"], [(key, "none" if value is None else value) for key, value in settings.items()]
        )


@filter_command.command("add")
@click.argument("name")
@click.argument("statement")
@_stage_option
@db_option
def filter_add_command(name: str, statement: str, stage: Any, db: Path | None) -> None:
    """Add a filter of your own: a SELECT that gives the `id` and a `detail` of every row to reject.

    A filter of answers judges what an input was answered with in the end; its `id` is the input's.

    \b
    Examples:
      selfguide filter add shouting --stage input \\
        "select id, 'all capitals' as detail from input where text = upper(text)"
      selfguide filter add cut_off --stage output \\
        "select id, 'cut off' as detail from output where finish_reason = 'length'"
      selfguide filter add narrow --stage answer \\
        "select input_id as id, 'narrow win' as detail from answer where confidence < 0.6"
    """
    from selfguide_lite.store import Store
    from selfguide_lite.store.filters import add_filter

    if stage is None:
        raise click.UsageError("say --stage input, --stage output or --stage answer")
    with Store.open(find_db(db), create=False) as store:
        rejects = add_filter(store, stage, name, statement)
    click.echo(f"Filter {name} rejects {rejects:,} {stage}s.")


@filter_command.command("drop")
@click.argument("name")
@_stage_option
@db_option
def filter_drop_command(name: str, stage: Any, db: Path | None) -> None:
    """Take a filter of your own away."""
    from selfguide_lite.store import Store
    from selfguide_lite.store.filters import drop_filter

    with Store.open(find_db(db), create=False) as store:
        drop_filter(store, name, stage)
    click.echo(f"Filter {name} was dropped.")


filter_command.add_command(set_command, "set")


@filter_command.command("noise")
@click.argument("term", required=False)
@click.option("--drop", is_flag=True, help="Take the term away.")
@db_option
@task_option
def filter_noise_command(term: str | None, drop: bool, db: Path | None, task_name: str | None) -> None:
    """List the noise terms, or add or drop one: a text that contains one is rejected.

    \b
    Examples:
      selfguide filter noise
      selfguide filter noise "of course"
      selfguide filter noise --drop "output"
    """
    from selfguide_lite.store.filters import add_noise_term, drop_noise_term

    with opened_task(db, task_name, write=term is not None) as (store, task_id), whole_pipe():
        if term is None:
            for known in store.noise_terms(task_id):
                click.echo(neutral(known))
            return
        before = store.pair_count(task_id)
        (drop_noise_term if drop else add_noise_term)(store, task_id, term)
        click.echo(f"{before:,} pairs before, {store.pair_count(task_id):,} now.")
