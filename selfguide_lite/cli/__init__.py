"""The command `selfguide`. A command's module is imported only when the command is asked for, so start-up is quick."""

import importlib
import io
import sys
from typing import Any, NoReturn

import click

from selfguide_lite.cli.suggesting import SuggestingGroup
from selfguide_lite.core.errors import SelfguideError, in_plain_words, is_interrupt
from selfguide_lite.core.limits import refuse_little_address_space
from selfguide_lite.core.text import neutral
from selfguide_lite.core.version import __version__

# command: module below this package; the function is named after the command, with `_command` at its end
COMMANDS: dict[str, str] = {
    "setup": "machine",
    "init": "first_steps",
    "check": "first_steps",
    "import-ni": "first_steps",
    "split": "own_data",
    "add": "own_data",
    "run": "run",
    "generate": "run",
    "annotate": "run",
    "train": "train",
    "export": "export",
    "predict": "predict",
    "serve": "predict",
    "chat": "predict",
    "models": "models",
    "clean": "clean",
    "evaluate": "evaluate",
    "compare": "evaluate",
    "search": "evaluate",
    "status": "store",
    "sql": "store",
    "dataset": "store",
    "show": "store",
    "settings": "settings",
    "set": "settings",
    "filter": "filters",
    "review": "review",
    "browse": "store",
    "report": "report",
    "bench": "machine",
    "doctor": "machine",
}


class _Lazy(SuggestingGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"selfguide_lite.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_") + "_command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            # A terminal without Unicode shows ? in place of a sign that it lacks: no text may end a command.
            if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
                stream.reconfigure(errors="replace")
        try:
            refuse_little_address_space()
            return super().invoke(ctx)
        except SelfguideError as error:
            click.echo(f"Error: {neutral(str(error))}", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            _say_interrupted()
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            if is_interrupt(error):
                _say_interrupted()
            words = in_plain_words(error)
            if words is None:
                raise
            click.echo(f"Error: {neutral(words)}", err=True)
            sys.exit(1)


def _say_interrupted() -> NoReturn:
    click.echo("Interrupted. The same command goes on where this one stopped.", err=True)
    sys.exit(130)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="selfguide")
def main() -> None:
    """Turn one instruction and three examples into a small model that is good at that one task."""
