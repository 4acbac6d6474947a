"""Every command tells what it is for, with examples; the command line starts without what it does not need."""

import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from selfguide_lite.cli import COMMANDS, main
from selfguide_lite.core.version import __version__

HEAVY = {
    "torch", "transformers", "unsloth", "peft", "trl", "datasets", "llama_cpp", "numpy", "pandas", "plotly", "rich",
    "sqlite_utils", "openai", "jinja2", "pydantic", "gguf", "rouge_score", "nltk", "datasette", "pyarrow",
}  # fmt: skip


def every_command() -> list[tuple[str, click.Command]]:
    """Return all commands and their subcommands by the words that call them."""
    context = click.Context(main)
    found = []
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", sub) for inner, sub in command.commands.items()]
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_a_purpose_and_examples(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    purpose = command.get_short_help_str(200)
    assert len(purpose) > 10 and purpose[0].isupper()
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0
    if not isinstance(command, click.Group):
        assert "Examples:" in done.output, f"selfguide {name} --help has no examples"
        assert re.search(rf"^ +selfguide {name}( |$)", done.output, re.MULTILINE)


def test_every_option_is_explained() -> None:
    silent = [
        f"{name} {parameter.opts[0]}"
        for name, command in every_command()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not silent


def test_examples_use_options_that_there_are() -> None:
    """An example in a help text that names an option the command lacks would not work."""
    commands = dict(every_command())
    wrong = []
    for name, command in commands.items():
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for line in re.findall(rf"^ +selfguide {name}( .*)?$", command.help or "", re.MULTILINE):
            used = re.findall(r"(?<=\s)(--[a-z][a-z-]*|-[a-zA-Z])(?=[\s=]|$)", line.split("|")[0].split(">")[0])
            wrong += [f"{name}: {option}" for option in used if option not in known | {"--help"}]
    assert not wrong


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"selfguide, version {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["status", "--help"]])
def test_start_imports_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom selfguide_lite.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stderr.split())


def test_wrong_usage_has_status_2() -> None:
    assert CliRunner().invoke(main, ["run"]).exit_code == 2
    assert CliRunner().invoke(main, ["rum"]).exit_code == 2
