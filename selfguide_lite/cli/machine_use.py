"""The options that say how much of the machine a long command may take: threads, priority, battery."""

import os
from collections.abc import Callable
from typing import Any

import click

from selfguide_lite.cli.common import Command, hand_on
from selfguide_lite.core.battery import LEVEL, LEVEL_VARIABLE, POLICIES, POLICY_VARIABLE


def _through(variable: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return what hands an option on through a variable of the environment."""

    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value is not None:
            hand_on(context, variable, str(value))

    return callback


def _be_nice(_: click.Context, __: click.Parameter, value: int) -> None:
    if value:
        os.nice(value)


def machine_use_options(command: Command) -> Command:
    """Add `--threads`, `--nice`, `--on-battery` and `--battery-level`, which need no parameter of the function."""
    for option in (
        click.option(
            "--battery-level",
            type=click.IntRange(1, 99),
            metavar="PERCENT",
            expose_value=False,
            callback=_through(LEVEL_VARIABLE),
            help=f"Below it work pauses.  [default: {LEVEL}]",
        ),
        click.option(
            "--on-battery",
            type=click.Choice(POLICIES),
            expose_value=False,
            callback=_through(POLICY_VARIABLE),
            help="With a low battery that is not charging: pause until it is, or go on.  [default: pause]",
        ),
        click.option(
            "--nice",
            type=click.IntRange(0, 19),
            default=0,
            metavar="N",
            expose_value=False,
            callback=_be_nice,
            help="Lower priority. At 5 a busy program of usual priority takes three quarters of a shared core.",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1, 1024),
            metavar="N",
            expose_value=False,
            callback=_through("SELFGUIDE_THREADS"),
            help="Processor cores to use.  [default: all physical ones that are made for speed]",
        ),
    ):
        command = option(command)
    return command
