"""The options that say how a job is done, which several commands share, and the `RunOptions` that they come to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from selfguide_lite.cli.common import (
    engine_options,
    given_settings,
    model_option,
    prompts_option,
    quiet_option,
    seed_option,
    settings_options,
    tuning_option,
)
from selfguide_lite.cli.machine_use import machine_use_options

if TYPE_CHECKING:
    from selfguide_lite.run_options import RunOptions

Command = TypeVar("Command", bound=Callable[..., Any])


class JobCommand(click.Command):
    """A command whose function takes what `job_options` adds together, as `options: RunOptions`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Put the parsed options of the job together and call the command's function."""
        ctx.params["options"] = _run_options(ctx.params)
        return super().invoke(ctx)


def _run_options(given: dict[str, Any]) -> "RunOptions":
    """Take the options of a job out of a command's parameters.

    :raises SelfguideError: where the settings file or the folder of prompts is wrong
    """
    from selfguide_lite.llm import EngineOptions
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.run_options import RunOptions

    return RunOptions(
        model=given.pop("model"),
        settings=given_settings(given.pop("settings_file"), given.pop("assignments")),
        prompts=Prompts(given.pop("prompts")),
        seed=given.pop("seed"),
        engine=EngineOptions(server=given.pop("server", None), server_model=given.pop("server_model", None)),
    )


def job_options(*, server: bool = True) -> Callable[[Command], Command]:
    """Add the options for model, settings, prompts, seed and use of the machine to a `JobCommand`, and `--quiet`.

    :param server: whether a server may take the model's place
    """

    def add(command: Command) -> Command:
        # Applied from the last to the first, as decorators are: help lists them in the order given here.
        engine = (engine_options,) if server else (model_option, tuning_option)
        options = (*engine, settings_options, prompts_option, seed_option, machine_use_options, quiet_option)
        for option in reversed(options):
            command = option(command)
        return command

    return add
