"""Answers from what won."""

import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfguide_lite.cli.common import (
    db_option,
    find_db,
    json_option,
    model_option,
    print_json,
    prompts_option,
    task_option,
    tuning_option,
)

if TYPE_CHECKING:
    from selfguide_lite.prediction import Answer

_PATH = click.Path(path_type=Path)


@click.command("predict")
@click.argument("text", metavar="[TEXT|-]", default="-")
@db_option
@task_option
@model_option
@tuning_option
@click.option("-a", "--adapter", "given", type=_PATH, metavar="FILE", help="An adapter.  [default: the newest]")
@click.option("--no-adapter", is_flag=True, help="Ask the model as it was before the finetune, few-shot.")
@click.option("--method", metavar="NAME", help="One method, such as 'few-shot calibrated'.  [default: what won]")
@prompts_option
@json_option
def predict_command(
    text: str,
    db: Path | None,
    task_name: str | None,
    model: Path | None,
    given: Path | None,
    no_adapter: bool,
    method: str | None,
    prompts: Path | None,
    as_json: bool,
) -> None:
    """Answer one input, or one on each line of standard input, by the method that was found to be the best.

    That is the finetuned model or a prompting: what `run` or `evaluate` found on the evaluation rows; standard error
    says which and why. With --json scored methods give every label's share.

    \b
    Examples:
      selfguide predict -d people.db "Mira sang well today."
      selfguide predict -d people.db < inputs.txt > answers.txt
      cat inputs.txt | selfguide predict -d people.db --json -
    """
    from selfguide_lite.core.text import neutral
    from selfguide_lite.prediction import PredictOptions, Predictor
    from selfguide_lite.prompts import Prompts

    if no_adapter and (given is not None or method is not None):
        raise click.UsageError("--no-adapter stands alone: it is neither --adapter nor --method")
    options = PredictOptions(task_name, model, given, method, Prompts(prompts), no_adapter)
    many = text == "-"
    failed = 0
    with Predictor.open(find_db(db), options) as predictor:
        if not no_adapter:
            click.echo(predictor.way.why, err=True)  # once nothing is wrong: a refusal is one line
        for answer in predictor.answer(_lines() if many else [text]):
            failed += answer.error is not None
            if as_json:
                print_json(_as_json(answer, with_label=predictor.task.rules.labelled))
            elif answer.error is not None:
                click.echo(f"Error: {answer.error}", err=True)
                click.echo("" if many else None, nl=many)
            else:
                click.echo(neutral(answer.label or answer.output, keep_lines=not many))
    if failed:
        sys.exit(1)


def _as_json(answer: "Answer", *, with_label: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"input": answer.input, "output": answer.output}
    line |= {"label": answer.label} if with_label else {}
    line |= {"shares": dict(answer.shares)} if answer.shares is not None else {}
    return line | ({"error": answer.error} if answer.error else {})


def _lines() -> Iterator[str]:
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # one broken byte is no reason to lose all other answers
    for line in sys.stdin:
        if text := line.strip():
            yield text
