"""Commands about this machine: what it lacks, is it fit for the job, how fast is it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from selfguide_lite.cli.common import find_task_file, json_option, model_option, print_json, quiet_option, tuning_option

if TYPE_CHECKING:
    from rich.table import Table

    from selfguide_lite.bench.run import Report
    from selfguide_lite.setup.machine import Device
    from selfguide_lite.setup.plan import Plan

_WORKLOADS = ("annotate", "tree", "score", "objects", "generate", "growth")

_COLOURS = {"green": "green", "yellow": "yellow", "red": "red"}
_SIGNS = {"green": "ok  ", "yellow": "note", "red": "BAD "}


@click.command("setup")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="What is computed on: auto takes an NVIDIA card where there is one.",
)
@click.option("--no-train", is_flag=True, help="Leave out torch and the packages for finetuning.")
@click.option(
    "--torch-index", envvar="TORCH_INDEX", default="", metavar="URL", help="One more package index for torch's builds."
)
@click.option(
    "--jobs", envvar="JOBS", type=click.IntRange(0), default=0, metavar="N", help="Compilers at once; 0: one a core."
)
@click.option(
    "--cuda-packages",
    is_flag=True,
    help="With a card and no CUDA toolkit: build llama.cpp with NVIDIA's compiler from pip's index (1 GB).",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done; install nothing.")
def setup_command(
    device: "Device", no_train: bool, torch_index: str, jobs: int, cuda_packages: bool, dry_run: bool
) -> None:
    """Install what a plain install leaves out: llama.cpp built for this machine, what finetuning needs, the model.

    Works in the environment that this command is installed in, whether made by venv, pipx or uv, with pip in it or
    without. What is there already is not done again. A llama.cpp that was built before is taken from the cache.

    \b
    Examples:
      selfguide setup
      selfguide setup --dry-run
      selfguide setup --device cpu
      selfguide setup --no-train
    """
    from selfguide_lite.core.errors import SelfguideError
    from selfguide_lite.core.text import neutral
    from selfguide_lite.setup.carry_out import carry_out, plan_here
    from selfguide_lite.setup.machine import look
    from selfguide_lite.setup.plan import Wanted

    def say(line: str) -> None:
        click.echo(f"setup: {neutral(line)}")

    plan = plan_here(look(device), Wanted(not no_train, torch_index, jobs, cuda_packages))
    if plan.refusal:
        raise SelfguideError(plan.refusal)
    for note in plan.notes:
        say(note)
    if not plan.steps:
        say("everything is there")
    elif dry_run:
        _show_steps(plan, say)
    else:
        carry_out(plan, say)
        say("done")


def _show_steps(plan: "Plan", say: Callable[[str], None]) -> None:
    """Print the steps of a set-up with their commands."""
    from selfguide_lite.core.text import neutral

    for step in plan.steps:
        say(step.what)
        for path, pins in step.files.items():
            click.echo(neutral(f"  {path}: {' '.join(f'{pin.name}=={pin.version}' for pin in pins)}"))
        for command in step.commands:
            click.echo(f"  {neutral(str(command))}")
        for place, command in enumerate(step.either):
            click.echo(f"  {'else ' if place else ''}{neutral(str(command))}")


@click.command("doctor")
@model_option
@json_option
def doctor_command(model: Path | None, as_json: bool) -> None:
    """Say whether this machine is fit for the job, and what to do where it is not.

    Exit status 1 where something does not work. The answer is what a bug report needs.

    \b
    Examples:
      selfguide doctor
      selfguide doctor -m vicuna-7b-v1.5.Q4_K_M.gguf
      selfguide doctor --json > doctor.json
    """
    from dataclasses import asdict

    from selfguide_lite.core.text import neutral
    from selfguide_lite.doctor import examine

    found = []
    for check in examine(model):
        found.append(check)
        if not as_json:
            click.secho(_SIGNS[check.status], fg=_COLOURS[check.status], nl=False)
            click.echo(f"  {check.name}: {neutral(check.value)}")
            if check.advice:
                click.echo(f"      -> {neutral(check.advice)}")
    fit = all(check.status != "red" for check in found)
    if as_json:
        print_json({"fit": fit, "checks": [asdict(check) for check in found]})
    if not fit:
        raise click.exceptions.Exit(1)


@click.command("bench")
@model_option
@tuning_option
@click.option(
    "--random",
    "size",
    type=click.Choice(["160m", "1b", "7b"]),
    help="Measure annotation and growth on a random-weight llama of this size, made in the cache first.",
)
@click.option(
    "--only",
    type=click.Choice([*_WORKLOADS, "train", "run"]),
    multiple=True,
    help="Measure only this; may be given repeatedly.",
)
@click.option("--train", is_flag=True, help="Measure a finetune too, against plain PEFT with Trainer; takes a minute.")
@click.option("--train-pairs", type=click.IntRange(16), default=160, show_default=True, help="Rows to train on, once.")
@click.option("--train-rounds", type=click.IntRange(1), default=3, show_default=True, help="Trainings of each kind.")
@click.option("--task", "task_file", metavar="TASK.yaml", help="With --only run: the task, or a demo task's name.")
@click.option("--busy", type=click.IntRange(0, 64), default=2, show_default=True, help="Busy programs beside one run.")
@json_option
@quiet_option
def bench_command(
    model: Path | None,
    size: str | None,
    only: tuple[str, ...],
    train: bool,
    train_pairs: int,
    train_rounds: int,
    task_file: str | None,
    busy: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure the engine on this machine, against the ways in use today.

    Every contender runs in its own process, one after the other, for a few minutes in all. Prints a table and, last,
    one line of JSON (with --json nothing else). Close other programs first: they take part in the measurement.

    \b
    Examples:
      selfguide bench
      selfguide bench --random 160m
      selfguide bench -m vicuna-7b-v1.5.Q4_K_M.gguf --only annotate
      selfguide bench --only train
      selfguide bench --only run --task my-task.yaml

    --only run does the whole job of a task four times, by stage: as it is, with bare prompts, as it was before prompts
    were shared, and beside busy programs. That takes half an hour on two cores.
    """
    from functools import partial

    from rich.console import Console

    from selfguide_lite.bench.run import run_bench
    from selfguide_lite.core.text import neutral

    silent = as_json or quiet

    def say(step: str) -> None:
        if not silent:
            click.echo(f"{step} ...", err=True)

    training = None
    if train or "train" in only:
        from selfguide_lite.finetune.bench import compare

        training = partial(compare, pairs=train_pairs, rounds=train_rounds)
    whole = None
    if "run" in only:
        from selfguide_lite.experiments.whole_run import bench_run
        from selfguide_lite.task import load_task
        from selfguide_lite.task.eval_rows import eval_rows

        if task_file is None:
            raise click.UsageError("--only run needs a task: --task TASK.yaml, or the name of a demo task")
        place = find_task_file(Path(task_file))
        eval_rows(load_task(place))  # what is wrong is said before half an hour of work
        whole = partial(bench_run, place, busy=busy, say=say)
    rows = [name for name in only if name in _WORKLOADS] if only else _WORKLOADS
    report = run_bench(model, random=size, rows=rows, training=training, whole=whole, say=say)
    if not as_json:
        Console().print(_table(report))
        for name, reason in report.missing.items():
            click.echo(f"{name} could not be measured: {neutral(reason)}", err=True)
    print_json({"model": report.model, "tuning": report.tuning, **report.rows, "missing": report.missing})


def _table(report: "Report") -> "Table":
    """What was measured, and what is aimed at where there is an aim."""
    from rich.table import Table
    from rich.text import Text

    from selfguide_lite.bench.run import AT_MOST, TARGETS
    from selfguide_lite.core.text import neutral
    from selfguide_lite.llm.llama import Tuning

    title = Text(f"{neutral(report.model)}: {Tuning(**report.tuning)}")
    table = Table(title=title, title_justify="left")
    table.add_column("workload")
    table.add_column("measured")
    table.add_column("value", justify="right")
    table.add_column("aim", justify="right")
    for row, numbers in report.rows.items():
        for name, value in numbers.items():
            aim = TARGETS.get((row, name), math.nan)
            most = name in AT_MOST
            shown = "" if math.isnan(aim) else f"{'at most' if most else 'at least'} {aim:g}"
            missed = not math.isnan(aim) and (value > aim if most else value < aim)
            table.add_row(row, name.replace("_", " "), Text(_number(value), style="red" if missed else ""), shown)
        table.add_section()
    return table


def _number(value: float) -> str:
    return f"{value:,.2f}" if value == 0 or abs(value) >= 0.01 else f"{value:.1e}"
