"""The main job, and its first two stages one by one."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from selfguide_lite.cli.common import (
    db_option,
    find_db,
    given_task,
    json_option,
    print_json,
    stoppable,
    task_option,
)
from selfguide_lite.cli.next_steps import next_steps
from selfguide_lite.cli.run_options import JobCommand, job_options
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.text import neutral

if TYPE_CHECKING:
    from selfguide_lite.pipeline import RunResult
    from selfguide_lite.run_options import RunOptions
    from selfguide_lite.task import Task

_TASK = click.argument("task_file", metavar="TASK.yaml", type=click.Path(path_type=Path, dir_okay=False))


@click.command("run", cls=JobCommand)
@_TASK
@db_option
@job_options()
@click.option(
    "--dry-run", "only_plan", is_flag=True, help="Show every prompt and what a run would cost; write nothing."
)
@click.option(
    "--rounds",
    "times",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Repeat the whole run up to N times, each time with the model of the last finetune, while the score on a "
    "fifth of the evaluation rows rises; the other rows score the best one. (Rounds of prompts: --set rounds=N.)",
    metavar="N",
)
@click.option("--no-train", is_flag=True, help="Only make the data; also for models that cannot be finetuned.")
@click.option("--yes", is_flag=True, help="Accept a changed task without asking.")
@click.option(
    "--rename",
    "renames",
    multiple=True,
    metavar="OLD=NEW",
    help="A label that the task file has under another name now: its answers are kept. May be given several times.",
)
@json_option
def run_command(
    task_file: Path,
    db: Path | None,
    options: "RunOptions",
    quiet: bool,
    only_plan: bool,
    times: int,
    no_train: bool,
    yes: bool,
    renames: tuple[str, ...],
    as_json: bool,
) -> None:
    """The whole job: write data for a task, finetune on it, measure the gain over the best prompting.

    Everything goes into one database as it is made. A run that was stopped goes on where it stopped when the same
    command is given again; a stage whose work is done is skipped. TASK.yaml may also be the bare name of a demo task.

    \b
    Examples:
      selfguide run people.yaml --dry-run
      selfguide run people.yaml
      selfguide run people.yaml -m vicuna-7b-v1.5.Q4_K_M.gguf --set rounds=20
      selfguide run people.yaml -d try2.db --seed 7 --set input_temperature=1.0
      selfguide run people.yaml --rounds 3
      selfguide run people.yaml --json | tail -n 1
    """
    from selfguide_lite.pipeline import run
    from selfguide_lite.report.progress import RUN_STAGES, listener_for

    task = given_task(task_file)
    if only_plan:
        _show_plan(options.set_for(task), options, as_json)
        return
    place = find_db(db, task)
    if times > 1:
        if options.engine.server is not None:
            raise click.UsageError("--rounds needs a model file, since every round is written by another model")
        if no_train:
            raise click.UsageError("--rounds finetunes after each round, so --no-train does not go with it")
        _run_rounds(task, place, times, options, quiet=quiet, as_json=as_json)
        return
    names = _renamed(renames)
    agreed = _agreed(place, task, names, yes)
    with stoppable(place), listener_for(quiet, RUN_STAGES if task.eval else RUN_STAGES[:-1]) as listener:
        job = replace(options, listener=listener, train=not no_train)
        result = run(task, place, job, agree=lambda _: agreed, renamed=names)
    if not quiet:
        click.echo(_summary(result, task_file), err=as_json)
        click.echo(_after_run(result, task_file, options.model), err=as_json)
    if as_json:
        print_json(result.as_json())


def _after_run(result: "RunResult", task_file: Path, model: Path | str | None) -> str:
    """Name the commands that make sense after a run: with a finetuned model to use, or with a dataset alone."""
    if result.adapter is None:
        again = ("run", str(task_file), *(() if model is None else ("-m", str(model))))
        return next_steps(("report",), ("dataset", "-o", "pairs.jsonl"), again, db=result.db)
    first = [("predict", "..."), ("report",)]
    measured = result.measurement is not None and result.measurement.verdict.tested
    return next_steps(*first, ("export", "--to", "ollama") if measured else ("evaluate", str(task_file)), db=result.db)


def _agreed(place: Path, task: "Task", renamed: Mapping[str, str], yes: bool) -> bool:
    """Say how a task changed since its database has it, and ask on a terminal whether to go on."""
    from selfguide_lite.store import Store
    from selfguide_lite.task_change import look

    if not place.exists():
        return False
    try:
        with Store.open(place, read_only=True, create=False) as store:
            change = look(store, task, renamed)
    except SelfguideError:  # the run says what is wrong with the file, or completes one that was being made
        return False
    if change is None:
        return False
    for line in change.lines:
        click.echo(neutral(line), err=True)
    return yes or (sys.stdin.isatty() and click.confirm("Go on?", err=True))


def _renamed(given: tuple[str, ...]) -> dict[str, str]:
    """Return labels' old names with their new ones."""
    pairs = [one.partition("=") for one in given]
    for old, equals, new in pairs:
        if not (old.strip() and equals and new.strip()):
            raise click.BadParameter(f"{old}{equals}{new} is not OLD=NEW", param_hint="--rename")
    return {old.strip(): new.strip() for old, _, new in pairs}


def _run_rounds(task: "Task", db: Path, times: int, options: "RunOptions", *, quiet: bool, as_json: bool) -> None:
    """Run several rounds and print what each gained."""
    from selfguide_lite.experiments.iterations import run_rounds
    from selfguide_lite.experiments.tables import rounds_text
    from selfguide_lite.report.progress import RUN_STAGES, listener_for

    with stoppable(db), listener_for(quiet, RUN_STAGES) as listener:
        done = run_rounds(task, db, times, options=replace(options, listener=listener))
    if not quiet:
        click.echo(rounds_text(done), err=as_json)
    if as_json:
        print_json(done.as_json())


def _show_plan(task: "Task", options: "RunOptions", as_json: bool) -> None:
    """Print what a run would ask and cost."""
    from selfguide_lite.dry_run import dry_run
    from selfguide_lite.llm import open_engine
    from selfguide_lite.task.eval_rows import eval_rows

    rows = len(eval_rows(task)) if task.eval is not None else 0
    with open_engine(options.model, options.engine) as engine:
        plan = dry_run(task, task.settings, engine, options.prompts, seed=options.seed, eval_rows=rows)
    if as_json:
        print_json(plan.as_json())
        return
    from rich.console import Console

    from selfguide_lite.dry_run.plan import plan_view

    Console(highlight=False).print(plan_view(plan), soft_wrap=True)


def _summary(result: "RunResult", task_file: Path) -> str:
    """All methods side by side, the result, and where things lie, for people."""
    lines = [""]
    if measured := result.measurement:
        from selfguide_lite.experiments.tables import methods_text, untested_advice

        lines += [methods_text(measured), ""]
    lines.append(f"database  {result.db}  ({result.pairs} pairs)")
    if result.adapter is not None:
        lines.append(f"adapter   {result.adapter}")
    if measured and (advice := untested_advice(measured.verdict, str(task_file))):
        lines.append(advice)
    return "\n".join(lines)


@click.command("generate", cls=JobCommand)
@_TASK
@db_option
@job_options()
def generate_command(task_file: Path, db: Path | None, options: "RunOptions", quiet: bool) -> None:
    """Write new inputs for a task, in rounds; the first stage of `run`.

    More rounds than before add to what is there.

    \b
    Examples:
      selfguide generate people.yaml
      selfguide generate people.yaml --set rounds=80 --set input_temperature=1.0
      selfguide generate people.yaml --server http://127.0.0.1:8080/v1
    """
    from selfguide_lite.core.lock import exclusive
    from selfguide_lite.llm import model_path, open_engine
    from selfguide_lite.llm.build_check import require_build
    from selfguide_lite.own_data import OwnData
    from selfguide_lite.report.progress import listener_for
    from selfguide_lite.run_context import RunContext
    from selfguide_lite.run_files import nothing_left_of_a_false_start
    from selfguide_lite.store import Store
    from selfguide_lite.synthesis import generate
    from selfguide_lite.task.eval_rows import eval_rows

    task = options.set_for(given_task(task_file))
    place = find_db(db, task)
    own, rows = OwnData.of(task), eval_rows(task) if task.eval is not None else []
    if options.engine.server is None:
        model_path(options.model)  # what is missing is said before anything is made
        require_build()
    with stoppable(place), exclusive(place), nothing_left_of_a_false_start(place), Store.open(place) as store:
        task_id = store.add_task(task)
        with (
            listener_for(quiet, ("generate",)) as listener,
            open_engine(options.model, options.engine) as engine,
        ):
            own.take_in(store, task_id, rows, listener)
            settings = options.chosen(task, store.chosen_settings(task_id))
            generate(RunContext(store, task_id, settings, options.prompts, options.seed, listener), engine)
    if not quiet:
        click.echo(next_steps(("annotate",), ("status",), db=place), err=True)


@click.command("annotate", cls=JobCommand)
@db_option
@task_option
@job_options()
def annotate_command(db: Path | None, task_name: str | None, options: "RunOptions", quiet: bool) -> None:
    """Answer the inputs that passed the filters; the second stage of `run`.

    \b
    Examples:
      selfguide annotate -d people.db
      selfguide annotate -d people.db --set method=sample --set samples=20
    """
    from selfguide_lite.core.lock import exclusive
    from selfguide_lite.llm import open_engine
    from selfguide_lite.report.progress import listener_for
    from selfguide_lite.run_context import RunContext
    from selfguide_lite.store import Store
    from selfguide_lite.synthesis import annotate

    place = find_db(db)
    with stoppable(place), exclusive(place), Store.open(place, create=False) as store:
        task_id = store.only_task_id(task_name)
        task = options.set_for(store.task(task_id))
        store.add_task(task)
        with (
            listener_for(quiet, ("annotate",)) as listener,
            open_engine(options.model, options.engine) as engine,
        ):
            annotate(RunContext(store, task_id, task.settings, options.prompts, options.seed, listener), engine)
    if not quiet:
        click.echo(next_steps(("status",), ("report",), ("train",), db=place), err=True)
