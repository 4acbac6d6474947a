"""The options that say how much of the machine a long command may take: threads, priority, battery."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from selfguide_lite.core.battery import LEVEL, LEVEL_VARIABLE, POLICIES, POLICY_VARIABLE

Command = TypeVar("Command", bound=Callable[..., Any])


def _hand_on(variable: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return what hands an option on through the environment, where child processes find it, until the command ends."""

    def hand_on(context: click.Context, _: click.Parameter, value: Any) -> None:
        if value is None:
            return
        before = os.environ.get(variable)

        def restore() -> None:
            os.environ.pop(variable, None)
            if before is not None:
                os.environ[variable] = before

        context.call_on_close(restore)
        os.environ[variable] = str(value)

    return hand_on


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
            callback=_hand_on(LEVEL_VARIABLE),
            help=f"Below it work pauses.  [default: {LEVEL}]",
        ),
        click.option(
            "--on-battery",
            type=click.Choice(POLICIES),
            expose_value=False,
            callback=_hand_on(POLICY_VARIABLE),
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
            callback=_hand_on("SELFGUIDE_THREADS"),
            help="Processor cores to use.  [default: all physical ones that are made for speed]",
        ),
    ):
        command = option(command)
    return command
