"""Commands that list the settings and change them in a database."""

from pathlib import Path

import click

from selfguide_lite.cli.common import db_option, find_db, json_option, print_json, task_option
from selfguide_lite.cli.renamed import say_renamed
from selfguide_lite.cli.tables import opened_task, whole_pipe

_TITLES = {
    "generate": "generate: how inputs are written",
    "annotate": "annotate: how inputs are answered",
    "filters": "filters: what stays in the dataset; a change counts at once",
    "train": "train: how the model is finetuned and asked",
}
_WIDEST = 100


@click.command("settings")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@db_option
@task_option
@json_option
def settings_command(names: tuple[str, ...], db: Path | None, task_name: str | None, as_json: bool) -> None:
    """List every setting: its stage, default, range and what it does; with -d also its value there.

    Give them to a run with --set, in the task file under `settings`, or to a database with `selfguide set`. The later
    of these counts: the default, the task file, the database, the command line.

    \b
    Examples:
      selfguide settings
      selfguide settings rounds min_vote_share
      selfguide settings -d people.db
    """
    from dataclasses import asdict

    from selfguide_lite.core.errors import SelfguideError, short
    from selfguide_lite.core.refusals import no_such_setting
    from selfguide_lite.core.renamed import current_name
    from selfguide_lite.core.settings import Settings
    from selfguide_lite.setting_list import list_settings

    wanted = [current_name(name) for name in names]
    for name in wanted:
        if name not in Settings.model_fields:
            raise SelfguideError(f"{short(name)}: {no_such_setting(name)}")
    if db is None and task_name is None:
        rows = list(list_settings())
    else:
        with opened_task(find_db(db), task_name) as (store, task_id):
            rows = list(list_settings(store, task_id))
    rows = [row for row in rows if not wanted or row.name in wanted]
    with whole_pipe():
        if as_json:
            print_json([asdict(row) for row in rows])
            return
        stage = ""
        for row in rows:
            if row.stage != stage:
                click.secho(("\n" if stage else "") + _TITLES[row.stage], bold=True)
                stage = row.stage
            click.echo("  " + click.style(row.name, fg="cyan") + f"  default {row.default}; allowed: {row.allowed}")
            if row.value is not None and row.source is not None:
                where = {"default": "the default", "task": "from the task file or the last run's options"}
                _paragraph(f"now {row.value}, {where.get(row.source, 'changed in this database')}")
            _paragraph(row.meaning.replace("`", ""))


def _paragraph(text: str) -> None:
    from shutil import get_terminal_size

    width = min(_WIDEST, get_terminal_size().columns)
    click.echo(click.wrap_text(text, width, "      ", "      "))


@click.command("set")
@click.argument("key")
@click.argument("value")
@db_option
@task_option
def set_command(key: str, value: str, db: Path | None, task_name: str | None) -> None:
    """Change a setting in a database. `selfguide settings` lists them; `filter set` is the same command.

    A filter's threshold or switch counts at once: the dataset follows. Settings of the other stages count from the next
    run on, over those of the task file; --set goes over them. The value `default` takes a change back.

    \b
    Examples:
      selfguide set min_vote_share 0.5
      selfguide set near_duplicate_threshold 0.8
      selfguide set input_length_filter false
      selfguide set rounds 20
      selfguide set rounds default
    """
    from selfguide_lite.core.renamed import current_name, renamed_notes
    from selfguide_lite.setting_list import shown
    from selfguide_lite.store import FILTER_SETTINGS
    from selfguide_lite.store.choices import change_setting, checked_setting

    say_renamed(renamed_notes([key]))
    key = current_name(key)
    with opened_task(db, task_name, write=True) as (store, task_id):
        at_once = key in FILTER_SETTINGS
        checked_setting(key, value)  # what is refused is refused before the dataset is read
        before = store.pair_count(task_id) if at_once else 0
        now = change_setting(store, task_id, key, value)
        told = f"{key} is {'none' if now is None else shown(now)}"
        if at_once:
            click.echo(f"{told}: {before:,} pairs before, {store.pair_count(task_id):,} now.")
        else:
            click.echo(f"{told}, from the next run on.")
