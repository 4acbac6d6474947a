"""How a stage is to be done: the options for it that several commands share, and what they come to."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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

if TYPE_CHECKING:
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.task import Task

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the shared options say.

    :param settings: fields of `Settings` that were given, over those of the task
    """

    model: Path | None
    server: str | None
    server_model: str | None
    settings: dict[str, Any]
    prompts: "Prompts"
    seed: int
    quiet: bool

    def set_for(self, task: "Task") -> "Task":
        """Return a task with the given settings over its own."""
        return task.model_copy(update={"settings": task.settings.changed(self.settings)})


def how_options(*, server: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options for model, settings, prompts, seed and quiet, passed together as `how`.

    :param server: whether a server may take the model's place
    """

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def wrapped(
            *,
            model: Path | None,
            settings_file: Path | None,
            assignments: tuple[str, ...],
            prompts: Path | None,
            seed: int,
            quiet: bool,
            server: str | None = None,
            server_model: str | None = None,
            **others: Any,
        ) -> None:
            from selfguide_lite.prompts import Prompts

            settings = given_settings(settings_file, assignments)
            command(how=RunOptions(model, server, server_model, settings, Prompts(prompts), seed, quiet), **others)

        # Applied from the last to the first, as decorators are: help lists them in the order given here.
        engine = (engine_options,) if server else (model_option, tuning_option)
        for option in reversed((*engine, settings_options, prompts_option, seed_option, quiet_option)):
            wrapped = option(wrapped)
        return wrapped

    return add
