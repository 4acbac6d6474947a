"""The command that removes files of trainings which nothing needs any more."""

from pathlib import Path

import click

from selfguide_lite.cli.common import db_option, find_db, json_option, print_json, quiet_option, task_option


@click.command("clean")
@db_option
@task_option
@click.option("--yes", is_flag=True, help="Remove without asking.")
@quiet_option
@json_option
def clean_command(db: Path | None, task_name: str | None, yes: bool, quiet: bool, as_json: bool) -> None:
    """Remove the adapters that no evaluation points to, and checkpoints of finished trainings, after showing them.

    What was trained or compared last stays. The database keeps all its rows. Without a terminal to ask on, nothing is
    removed unless --yes is given.

    \b
    Examples:
      selfguide clean -d people.db
      selfguide clean -d people.db --yes
    """
    import sys

    from selfguide_lite.core.lock import exclusive
    from selfguide_lite.core.text import neutral
    from selfguide_lite.store import Store
    from selfguide_lite.trainings import leftovers

    place = find_db(db)
    with exclusive(place), Store.open(place, create=False) as store:
        task_id = store.only_task_id(task_name)
        found = leftovers(store, task_id)
        total = sum(one.bytes for one in found)
        if not (quiet or as_json):
            for one in found:
                click.echo(f"{one.bytes / 2**20:9.1f} MiB  {neutral(str(one.path))}  ({one.why})")
            click.echo(f"{total / 2**20:9.1f} MiB  in all" if found else "Nothing to remove.")
        asks = sys.stdin.isatty() and not (quiet or as_json)
        agreed = bool(found) and (yes or (asks and click.confirm("Remove these?", err=True)))
        if agreed:
            for one in found:
                one.remove()
    if as_json:
        files = [{"path": str(one.path), "why": one.why, "bytes": one.bytes} for one in found]
        print_json({"found": files, "removed": agreed})
    elif found and not quiet:
        click.echo("Removed." if agreed else "Nothing was removed; --yes removes them.")
