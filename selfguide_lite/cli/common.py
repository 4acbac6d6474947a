"""The options that several commands share, and the few steps from an option to what a command works with."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from selfguide_lite.cli.renamed import say_renamed
from selfguide_lite.core.errors import SelfguideError, short
from selfguide_lite.core.paths import default_db
from selfguide_lite.core.plain_json import plain_json

if TYPE_CHECKING:
    from selfguide_lite.task import Task

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)
_OUT_OF_IT = 0.01  # seconds after which a destructor has surely ended; if not, the signal is sent once more

db_option = click.option(
    "-d", "--db", type=_FILE, metavar="FILE", help="The run's database.  [default: the task's name with .db]"
)
task_option = click.option("--task", "task_name", metavar="NAME", help="Which task, where the database holds several.")
# The libraries of training take no other seeds.
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=42, show_default=True, help="Fixes every random choice."
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors and the answer.")
json_option = click.option("--json", "as_json", is_flag=True, help="Answer with JSON for a program to read.")
prompts_option = click.option(
    "--prompts",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of your own prompt templates; those it lacks are the ones shipped.",
)


def hand_on(context: click.Context, variable: str, text: str) -> None:
    """Set a variable of the environment, where child processes find it too, until the command ends."""
    before = os.environ.get(variable)

    def restore() -> None:
        os.environ.pop(variable, None)
        if before is not None:
            os.environ[variable] = before

    context.call_on_close(restore)
    os.environ[variable] = text


def _use_engine_settings(context: click.Context, _: click.Parameter, given: tuple[str, ...]) -> None:
    """Hand `--engine` on through the environment."""
    from selfguide_lite.llm.tuning import parse_overrides

    if not given:
        return
    text = " ".join(given)
    try:
        parse_overrides(text)
    except SelfguideError as error:
        raise click.BadParameter(str(error)) from error
    _add_engine_settings(context, text)


def _use_exact_weights(context: click.Context, _: click.Parameter, given: bool) -> None:
    """Hand `--exact` on as the engine setting that it is."""
    if given:
        _add_engine_settings(context, "exact=on")


def _add_engine_settings(context: click.Context, text: str) -> None:
    """Add to what the environment says; of two values of a setting the later counts."""
    from selfguide_lite.llm.tuning import ENGINE_VARIABLE

    hand_on(context, ENGINE_VARIABLE, f"{os.environ.get(ENGINE_VARIABLE, '')} {text}".strip())


tuning_option = click.option(
    "--engine",
    multiple=True,
    metavar="KEY=VALUE",
    expose_value=False,
    callback=_use_engine_settings,
    help="Overrule what was measured for this machine, such as --engine workers=1; `bench` shows what is used.",
)
exact_option = click.option(
    "--exact",
    is_flag=True,
    expose_value=False,
    callback=_use_exact_weights,
    help="Compute with the very file, not with its working copy; `models` shows the copies.",
)
model_option = click.option(
    "-m",
    "--model",
    type=click.Path(path_type=Path),
    envvar="SELFGUIDE_MODEL",
    metavar="GGUF",
    help="The model: a GGUF file.  [default: $SELFGUIDE_MODEL, else SmolLM2-135M-Instruct]",
)


def engine_options(command: Command) -> Command:
    """Add `--engine`, and `--model`, `--server`, `--server-model`, passed as `model`, `server`, `server_model`."""
    for option in (
        exact_option,
        tuning_option,
        click.option("--server-model", metavar="NAME", help="Which of the server's models.  [default: its first]"),
        click.option(
            "--server",
            metavar="URL",
            help="Generate with an OpenAI-compatible server, such as http://127.0.0.1:8080/v1, in place of a file.",
        ),
        model_option,
    ):
        command = option(command)
    return command


def settings_options(command: Command) -> Command:
    """Add `--settings` and `--set`, passed as `settings_file` and `assignments`; see `given_settings`."""
    for option in (
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="Change one setting, such as --set rounds=10; may be given several times. "
            "`selfguide settings` lists them all.",
        ),
        click.option(
            "--settings",
            "settings_file",
            type=_FILE,
            metavar="FILE",
            help="YAML of settings, as `search` writes it, or the name of a shipped one.",
        ),
    ):
        command = option(command)
    return command


def given_settings(settings_file: Path | None, assignments: Sequence[str]) -> dict[str, Any]:
    """Return the settings that were given on the command line, checked, the later ones over the earlier.

    :param settings_file: YAML mapping of setting to value
    :param assignments: `key=value`, the value written as in YAML
    :raises SelfguideError: where the file is wrong, naming it and the setting
    :raises click.BadParameter: where an assignment is wrong
    """
    from selfguide_lite.core.refusals import setting_problem
    from selfguide_lite.core.renamed import renamed_notes, with_current_names
    from selfguide_lite.core.settings import Settings
    from selfguide_lite.core.yaml_file import parse_yaml, read_yaml

    given: dict[str, Any] = {}
    if settings_file is not None:
        settings_file = _shipped(settings_file, "data/settings")
        document = read_yaml(settings_file, "settings file")
        if not isinstance(document.data, dict):
            raise SelfguideError(f"{settings_file}: must be a mapping of settings to values, such as rounds: 10")
        if document.repeated:
            place, (line, _) = document.repeated[0]
            raise SelfguideError(f"{settings_file}: line {line}: {short('.'.join(place))} is given twice; remove one")
        given.update({str(key): value for key, value in document.data.items()})
        if problem := setting_problem(given):
            raise SelfguideError(f"{settings_file}: {problem}")
        say_renamed(renamed_notes(given))
        given = with_current_names(given)
    written: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise click.BadParameter(f"{assignment!r} is not KEY=VALUE", param_hint="--set")
        try:
            value = parse_yaml(text, f"{assignment!r}: ", "setting").data
        except SelfguideError as error:
            raise click.BadParameter(str(error), param_hint="--set") from error
        written[key.strip()] = value
        if problem := setting_problem(written):
            raise click.BadParameter(problem, param_hint="--set")
    say_renamed(renamed_notes(written))
    given |= with_current_names(written)
    return Settings.model_validate(given).model_dump(exclude_unset=True)


def given_task(task_file: Path) -> "Task":
    """Return the task of a file or of the demo task of that name, saying which settings in it have new names.

    :raises SelfguideError: naming the file, the line and the field
    """
    from selfguide_lite.task import load_task

    return load_task(find_task_file(task_file), lambda note: say_renamed([note]))


def find_task_file(given: Path) -> Path:
    """Return the task file that is meant: the path itself, or the demo task of that name."""
    return _shipped(given, "data/tasks")


def _shipped(given: Path, folder: str) -> Path:
    """Return the file itself, or the shipped one of that bare name."""
    if given.exists() or given.suffix or len(given.parts) > 1:
        return given
    from selfguide_lite.core.resources import resource

    try:
        return resource(f"{folder}/{given.name}.yaml")
    except FileNotFoundError:
        return given


def find_db(db: Path | None, task: "Task | None" = None) -> Path:
    """Return the database that is meant: the one given, the task's default, or the only one in the current folder.

    :raises SelfguideError: where none was given and the current folder has none or several
    """
    if db is not None:
        return db
    if task is not None:
        return default_db(task.name)
    here = sorted(Path().glob("*.db"))
    if len(here) == 1:
        return here[0]
    found = ", ".join(path.name for path in here[:5]) + (", ..." if len(here) > 5 else "")
    raise SelfguideError(
        f"which database? this folder has several ({found}): name one with -d FILE"
        if here
        else "this folder has no database: name one with -d FILE, or make one with `selfguide run TASK.yaml`"
    )


def print_json(value: object) -> None:
    """Write one line of JSON to standard output."""
    click.echo(plain_json(value, allow_nan=False))


class Terminated(KeyboardInterrupt):
    """SIGTERM came: the work is left as cleanly as on SIGINT, the exit status is 143."""


@contextmanager
def stoppable(db: Path) -> Iterator[None]:
    """Let SIGINT and SIGTERM end a long job cleanly, with a line on what is kept and how to go on.

    :param db: the database in which the work so far is kept
    """

    def terminate(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate), signal.getsignal(signal.SIGINT)
    try:
        with _sent_again():
            yield
    except KeyboardInterrupt as stop:
        # A second signal must not cut the farewell short.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        click.echo(f"Stopped. {work_done(db)}The same command goes on where this one stopped.", err=True)
        sys.exit(143 if isinstance(stop, Terminated) else 130)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


@contextmanager
def _sent_again() -> Iterator[None]:
    """Send a signal once more that fell into a destructor: Python shows an exception from there and goes on."""
    usual = sys.unraisablehook

    def hook(lost: "sys.UnraisableHookArgs") -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            usual(lost)
            return
        number = signal.SIGTERM if issubclass(lost.exc_type, Terminated) else signal.SIGINT
        again = threading.Timer(_OUT_OF_IT, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual


def work_done(db: Path) -> str:
    """Say in a sentence what a database holds; empty where it cannot be read."""
    from selfguide_lite.store.summaries import row_counts

    counts = row_counts(db)
    if counts is None:
        return ""
    inputs, outputs, steps = counts
    return f"{db} keeps {inputs} inputs, {outputs} answers and {steps} training steps. "
