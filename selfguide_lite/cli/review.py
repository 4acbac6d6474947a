"""Look at what a model wrote, one pair at a time, and say what is right."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from selfguide_lite.cli.common import db_option, find_db, json_option, print_json, task_option

if TYPE_CHECKING:
    from selfguide_lite.store import Store


@dataclass(frozen=True, slots=True)
class _How:
    """How a review is done."""

    terminal: bool
    order: str
    sample: int | None
    seed: int
    reviewer: str | None
    port: int


@click.command("review")
@db_option
@task_option
@click.option("--terminal", is_flag=True, help="In the terminal, not in a browser.")
@click.option(
    "--order",
    type=click.Choice(["doubt", "disagreement", "random", "dropped"]),
    help="The least certain answers first; those that are not the label asked for; at random; what filters dropped.  "
    "[default: doubt]",
)
@click.option("--sample", type=click.IntRange(1), metavar="N", help="N at random, three quarters of them pairs.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Fixes the random order.")
@click.option("--reviewer", metavar="NAME", help="Who reviews.  [default: the login name]")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Of the page.  [default: a free one]")
@click.option("--quality", is_flag=True, help="Review nothing: only say how good the data is by what was reviewed.")
@json_option
def review_command(
    db: Path | None,
    task_name: str | None,
    terminal: bool,
    order: str | None,
    sample: int | None,
    seed: int,
    reviewer: str | None,
    port: int,
    quality: bool,
    as_json: bool,
) -> None:
    """Accept, reject and edit pairs, on a page in the browser that this machine alone can open.

    A verdict beats every filter, an edited answer takes the place of the votes, and the next training learns it. What
    was there stays, and every verdict can be undone. From random samples the end says how good the data is.

    \b
    Examples:
      selfguide review
      selfguide review --sample 40
      selfguide review --terminal --order disagreement
      selfguide review --quality --json
    """
    from dataclasses import asdict

    from selfguide_lite.evaluate.data_quality import data_quality
    from selfguide_lite.review.server import check_installed
    from selfguide_lite.store import Store

    if sample is not None and order not in (None, "random"):
        raise click.UsageError("--sample is drawn at random; leave --order out")
    if not (terminal or quality):
        check_installed()
    with Store.open(find_db(db), create=False) as store:
        task_id = store.only_task_id(task_name)
        if not quality:
            order = order or ("random" if sample else "doubt")
            _review(store, task_id, _How(terminal, order, sample, seed, reviewer, port))
        found = data_quality(store, task_id)
    if as_json:
        print_json(
            [{**asdict(one), "share": one.share.mean, "low": one.share.low, "high": one.share.high} for one in found]
        )
    else:
        for one in found:
            click.echo(one.sentence)
        if quality and not found:
            click.echo("Nothing was reviewed at random yet; `selfguide review --sample 40` does it.")


def _review(
    store: "Store",
    task_id: int,
    how: "_How",
) -> None:
    from getpass import getuser

    from selfguide_lite.review.session import Session

    session = Session(store, task_id, how.reviewer or getuser())
    if how.terminal:
        from rich.console import Console

        from selfguide_lite.review.terminal import review_in_terminal

        queue = session.queue(how.order, None, how.seed, how.sample)
        console = Console(highlight=False)
        made = review_in_terminal(
            session, queue, how.order, click.getchar, lambda text: str(click.prompt(text)), console
        )
        click.echo(f"{made:,} judged.")
        return
    from selfguide_lite.review.app import FirstQueue
    from selfguide_lite.review.server import serve_review

    first = FirstQueue(how.order, how.seed, how.sample)
    serve_review(session, how.port, first, lambda url: click.echo(f"Review at {url}\nCtrl-C ends.", err=True))
