"""Commands about this machine: is it fit for the job."""

from pathlib import Path

import click

from selfguide_lite.cli.common import json_option, model_option, print_json

_COLOURS = {"green": "green", "yellow": "yellow", "red": "red"}
_SIGNS = {"green": "ok  ", "yellow": "note", "red": "BAD "}


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

    from selfguide_lite.doctor import examine
    from selfguide_lite.report.text import neutral

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
