"""Is it better: `evaluate` a task by every method, `compare` with more, `search` for settings."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfguide_lite.cli.common import (
    db_option,
    find_db,
    given_task,
    json_option,
    model_option,
    print_json,
    prompts_option,
    quiet_option,
    stoppable,
    tuning_option,
)
from selfguide_lite.cli.machine_use import machine_use_options
from selfguide_lite.cli.run_options import JobCommand, job_options

if TYPE_CHECKING:
    from selfguide_lite.evaluate import Measurement
    from selfguide_lite.run_options import RunOptions

_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_TASK = click.argument("task_file", metavar="TASK.yaml", type=_FILE)
_EVAL = click.option("--eval", "eval_file", type=_FILE, metavar="FILE", help="JSONL in place of the task's own set.")


@click.command("evaluate")
@_TASK
@db_option
@model_option
@tuning_option
@click.option("-a", "--adapter", metavar="N|FILE", help="Adapter to evaluate.  [default: the newest]")
@_EVAL
@click.option("--examples", type=click.IntRange(0), default=3, show_default=True, help="Fixed and broken ones to show.")
@prompts_option
@machine_use_options
@quiet_option
@json_option
def evaluate_command(
    task_file: Path,
    db: Path | None,
    model: Path | None,
    adapter: str | None,
    eval_file: Path | None,
    examples: int,
    prompts: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Answer a task's evaluation set by every way of prompting and with the adapter, and show what is better.

    Free text is greedy; scored methods take the label with the largest probability, calibrated ones set it right by
    the mean answer to inputs without answers. Every prediction is kept in the table `prediction`; the same command
    again answers only what is missing.

    \b
    Examples:
      selfguide evaluate people.yaml
      selfguide evaluate people.yaml -a 2 --eval other.jsonl
      selfguide evaluate people.yaml --json
    """
    from selfguide_lite.experiments.before_after import measured
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.report.progress import listener_for
    from selfguide_lite.run_options import RunOptions

    task = given_task(task_file)
    place = find_db(db, task)
    with stoppable(place), listener_for(quiet or as_json, ("evaluate",)) as listener:
        options = RunOptions(model=model, prompts=Prompts(prompts), listener=listener)
        found = measured(task, place, adapter=adapter, eval_file=eval_file, options=options)
    if as_json:
        print_json(_evaluation_json(found))
    else:
        _show(found, examples, place)


def _evaluation_json(found: "Measurement") -> dict[str, Any]:
    from dataclasses import asdict

    from selfguide_lite.evaluate.by_field import scores_by_method
    from selfguide_lite.evaluate.evaluation import form_share, recall_of
    from selfguide_lite.methods.names import parts

    answer: dict[str, Any] = {
        "task": found.task.name,
        "metric": found.verdict.metric,
        "evaluations": [
            {
                "id": one.id,
                "method": one.method,
                "mean": one.mean,
                "low": one.low,
                "high": one.high,
                "n": len(one.scores),
                "leaked": one.leaked,
            }
            for one in found.evaluations.values()
        ],
        "gain": None if found.gain is None else asdict(found.gain),
        "methods": found.means,
    }
    if found.task.rules.labelled:
        answer["macro_f1"] = found.macro_f1
        answer["recall"] = {name: recall_of(found.task, one) for name, one in found.evaluations.items()}
        free = {name: one for name, one in found.evaluations.items() if parts(name)[1] == "free"}
        answer["in_form"] = {name: form_share(found.task, one) for name, one in free.items()}
    if fields := scores_by_method(found.task, list(found.evaluations.values())):
        answer["fields"] = {
            name: {
                "valid": one.valid,
                "exact": one.exact,
                "micro_f1": one.micro,
                "f1": {field.name: field.count.f1 for field in one.fields},
            }
            for name, one in fields.items()
        }
    return {**answer, "verdict": found.verdict.sentence}


def _show(found: "Measurement", examples: int, db: Path) -> None:
    from selfguide_lite.evaluate import changes, confusion
    from selfguide_lite.experiments.tables import change_lines, confusion_text, fields_text, methods_text, recalls_text

    task = found.task
    click.echo(methods_text(found))
    before, after = found.best_prompting, found.best_finetuned
    if after is None:
        click.echo("\nNo adapter yet: `selfguide run` makes one, or name one with -a.")
    both = [one for one in (before, after) if one is not None]
    if task.rules.labelled:
        click.echo(f"\n{recalls_text(found)}")
        for one in both:
            click.echo(f"\n{one.method}\n{confusion_text(confusion(task, one.predictions), task.labels)}")
    if task.rules.structured and found.evaluations:
        click.echo(f"\n{fields_text(found)}")
    if before is not None and after is not None:
        changed = changes(before, after)
        for name, part in (
            ("Better", [change for change in changed if change.difference > 0]),
            ("Worse", [change for change in reversed(changed) if change.difference < 0]),
        ):
            click.echo(f"\n{name} by {after.method} than by {before.method}: {len(part)} rows")
            for change in part[:examples]:
                click.echo("\n".join(change_lines(change)) + "\n")
    last = both[-1].id
    click.echo(
        f'All errors: selfguide sql -d {db} "SELECT input, text, score FROM prediction'
        f' WHERE evaluation_id = {last} AND score < 1"'
    )


@click.command("compare", cls=JobCommand)
@_TASK
@db_option
@_EVAL
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Only this one; may be given several times.")
@click.option("--no-ablations", is_flag=True, help="Only the methods, no SELF-GUIDE without one of its parts.")
@click.option("--curve", metavar="N,N,...", help="Also SELF-GUIDE with only so many pairs, such as 50,100,200,400.")
@job_options(server=False)
@json_option
def compare_command(
    task_file: Path,
    db: Path | None,
    eval_file: Path | None,
    methods: tuple[str, ...],
    no_ablations: bool,
    curve: str | None,
    options: "RunOptions",
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare prompting, Self-ICL, few-shot finetuning and SELF-GUIDE, also without each of its parts.

    What `run` made in the same database is used, and what two methods share is computed once. Takes up to eight
    finetunes; the same command goes on where it was stopped.

    \b
    Examples:
      selfguide compare people.yaml
      selfguide compare people.yaml --no-ablations --curve 50,100,200,400
      selfguide compare people.yaml --method finetuned --method "no noise filter"
    """
    from selfguide_lite.experiments.comparison import compare
    from selfguide_lite.experiments.methods import methods_of
    from selfguide_lite.experiments.tables import comparison_text
    from selfguide_lite.report.progress import listener_for
    from selfguide_lite.task.eval_rows import eval_rows

    task = given_task(task_file)
    rows = eval_rows(task, eval_file)
    place = find_db(db, task)
    with stoppable(place), listener_for(quiet or as_json) as listener:
        comparison = compare(
            task,
            place,
            methods=methods or (methods_of(task.kind) if no_ablations else None),
            curve=_numbers(curve, "--curve"),
            rows=rows,
            options=replace(options, listener=listener),
        )
    if as_json:
        print_json(comparison.as_json())
    else:
        click.echo(comparison_text(comparison))


def _numbers(text: str | None, option: str) -> list[int]:
    try:
        found = sorted({int(part) for part in (text or "").split(",") if part.strip()})
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 50,100,200", param_hint=option) from error
    if found and found[0] < 1:
        raise click.BadParameter("a dataset has at least one pair", param_hint=option)
    return found


@click.command("search", cls=JobCommand)
@click.argument("task_files", metavar="TASK.yaml...", type=_FILE, nargs=-1, required=True)
@click.option("--folder", type=_PATH, default=Path("search"), show_default=True, help="For the databases and adapters.")
@click.option("-o", "--output", type=_FILE, help="Settings file to write.  [default: settings.yaml in the folder]")
@click.option("--budget", type=click.IntRange(1), metavar="N", help="Try only N settings of the grid.")
@click.option("--temperature", "temperatures", type=click.FloatRange(0, 5), multiple=True, help="In the grid.")
@click.option("--epochs", type=click.FloatRange(0, 1000, min_open=True), multiple=True, help="In the grid.")
@click.option("--no-filters", is_flag=True, help="Leave the length filters as they are; only temperature and epochs.")
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="Share of the evaluation rows that chooses; the others score what was chosen.",
)
@job_options(server=False)
@json_option
def search_command(
    task_files: tuple[Path, ...],
    folder: Path,
    output: Path | None,
    budget: int | None,
    temperatures: tuple[float, ...],
    epochs: tuple[float, ...],
    no_filters: bool,
    validation: float,
    options: "RunOptions",
    quiet: bool,
    as_json: bool,
) -> None:
    """Find one setting for all tasks: the one whose worst gain over the best prompting is the largest.

    The grid is input temperature (0.6 to 1.0), epochs (1 to 3) and the two length filters. The file it writes is for
    `selfguide run --settings FILE`. The same command goes on where it was stopped.

    \b
    Examples:
      selfguide search people.yaml places.yaml --budget 8
      selfguide search *.yaml --temperature 0.6 --temperature 0.8 --epochs 3 --no-filters
    """
    from selfguide_lite.experiments.search import EPOCHS, FILTERS, TEMPERATURES, grid, search, write_settings
    from selfguide_lite.experiments.tables import found_text
    from selfguide_lite.report.progress import listener_for

    tasks = [given_task(path) for path in task_files]
    candidates = grid(tasks, temperatures or TEMPERATURES, epochs or EPOCHS, FILTERS[:1] if no_filters else FILTERS)
    target = output or folder / "settings.yaml"
    with stoppable(folder / "trainings.db"), listener_for(quiet or as_json) as listener:
        found = search(
            tasks,
            folder,
            candidates=candidates,
            budget=budget,
            validation=validation,
            options=replace(options, listener=listener),
        )
    write_settings(found, target)
    if as_json:
        print_json({**found.as_json(), "settings": str(target)})
    else:
        click.echo(found_text(found))
        click.echo(f"\nWrote {target}; use it with: selfguide run TASK.yaml --settings {target}")
