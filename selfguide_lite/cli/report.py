"""The command that writes the HTML report."""

from pathlib import Path

import click

from selfguide_lite.cli.common import db_option, find_db, task_option


@click.command("report")
@db_option
@task_option
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="The file to write.  [default: the database's name with .html]",
)
def report_command(db: Path | None, task_name: str | None, out: Path | None) -> None:
    """Write everything about a run into one HTML file that opens offline.

    The task, the funnel, lengths, votes and labels, near duplicates, samples to search, the loss, before and after,
    and how everything was made. Needs the extra `report`: pip install 'selfguide-lite[report]'.

    \b
    Examples:
      selfguide report
      selfguide report -d people.db -o report.html
    """
    from selfguide_lite.report.page import write_report
    from selfguide_lite.store import Store

    place = find_db(db)
    out = out or place.with_suffix(".html")
    with Store.open(place, create=False) as store:
        write_report(store, store.only_task_id(task_name), out)
    click.echo(f"Wrote {out}.")
