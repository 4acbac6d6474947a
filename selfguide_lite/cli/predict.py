"""Use what was made: answers from the command line, from files, to other programs, and in a conversation."""

import sys
import time
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from selfguide_lite.cli.common import (
    db_option,
    find_db,
    json_option,
    model_option,
    print_json,
    prompts_option,
    quiet_option,
    task_option,
    tuning_option,
)

if TYPE_CHECKING:
    from selfguide_lite.prediction import Answer, Predictor

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)


def _model_options(command: Command) -> Command:
    """Add what says which model answers, and how."""
    for option in (
        prompts_option,
        click.option("--method", metavar="NAME", help="Such as 'few-shot calibrated'.  [default: what won]"),
        click.option(
            "-a",
            "--adapter",
            "given",
            metavar="N|FILE",
            help="An adapter: its number (see models adapters) or file.  [default: the newest]",
        ),
        tuning_option,
        model_option,
        task_option,
        db_option,
    ):
        command = option(command)
    return command


@click.command("predict")
@click.argument("text", metavar="[TEXT|-]", default="-")
@_model_options
@click.option("--no-adapter", is_flag=True, help="Ask the model as it was before the finetune, few-shot.")
@click.option("-i", "--input", "source", type=_FILE, metavar="FILE", help="Answer every row of a .jsonl, .csv or .tsv.")
@click.option(
    "-o", "--output", "target", type=_FILE, metavar="FILE", help="Where to write the rows with their answers."
)
@click.option("--column", metavar="NAME", help="Where the inputs stand.  [default: input, text, or the only one]")
@click.option("--as", "name", metavar="NAME", default="prediction", show_default=True, help="Of the answers' column.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Give no answer where no label has at least this probability.",
)
@click.option("-f", "--force", is_flag=True, help="Replace the output file if it is there.")
@quiet_option
@json_option
def predict_command(
    text: str,
    db: Path | None,
    task_name: str | None,
    model: Path | None,
    given: str | None,
    method: str | None,
    prompts: Path | None,
    no_adapter: bool,
    source: Path | None,
    target: Path | None,
    column: str | None,
    name: str,
    threshold: float | None,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Answer one input, one on each line of standard input, or every row of a file, by the method that won.

    That is the finetuned model or a prompting: what `run` or `evaluate` found on the evaluation rows; standard error
    says which and why. With --json scored methods give every label's share.

    A file's columns are all kept, rows and blank lines stay in their places. The answers go into a new column; scored
    methods add a column for each label's probability. A batch that was stopped goes on with the same command.

    \b
    Examples:
      selfguide predict -d people.db "Mira sang well today."
      selfguide predict -d people.db < inputs.txt > answers.txt
      selfguide predict -d people.db -i messages.csv -o answered.csv --column message --threshold 0.8
      cat inputs.txt | selfguide predict -d people.db --json -
    """
    from selfguide_lite.prediction import PredictOptions, Predictor
    from selfguide_lite.prediction.batch import Batch, BatchOptions
    from selfguide_lite.prompts import Prompts

    if no_adapter and (given is not None or method is not None):
        raise click.UsageError("--no-adapter cannot be given with --adapter or --method")
    if (source is None) != (target is None):
        raise click.UsageError("--input and --output go together")
    if source is not None and text != "-":
        raise click.UsageError("give a TEXT or --input, not both")
    batch = (
        None
        if source is None or target is None
        else Batch(source, target, BatchOptions(column, name, threshold), force)
    )
    options = PredictOptions(task_name, model, given, method, Prompts(prompts), no_adapter)
    with Predictor.open(find_db(db), options) as loaded:
        if not (no_adapter or quiet):
            click.echo(loaded.way.why, err=True)  # once nothing is wrong: a refusal is one line
        if batch is not None and target is not None:
            done = batch.run(loaded, (lambda *_: None) if quiet else _progress())
            failed = done.failed
            if not quiet:
                left = f", {done.unsure:,} left unanswered" if threshold is not None else ""
                click.echo(
                    f"{done.rows:,} rows in {target}{left}" + (f", {failed:,} failed" if failed else ""), err=True
                )
        else:
            failed = _print_answers(loaded, text, threshold, as_json)
    if failed:
        sys.exit(1)


def _print_answers(loaded: "Predictor", text: str, threshold: float | None, as_json: bool) -> int:
    """Answer one text, or the lines of standard input, each in its place; return how many failed."""
    from selfguide_lite.prediction.batch import lines_with_blanks

    many = text == "-"
    failed = 0
    for answer in lines_with_blanks(_lines(), loaded) if many else loaded.answer([text]):
        if answer is None:
            click.echo("")
            continue
        failed += answer.error is not None
        _print_answer(answer, bool(loaded.labels), threshold, as_json, many)
    return failed


def _print_answer(answer: "Answer", labelled: bool, threshold: float | None, as_json: bool, many: bool) -> None:
    from selfguide_lite.core.text import neutral

    unsure = answer.is_unsure(threshold)
    if as_json:
        line: dict[str, Any] = {"input": answer.input, "output": None if unsure else answer.value}
        line |= {"label": None if unsure else answer.label} if labelled else {}
        line |= {"shares": dict(answer.shares)} if answer.shares is not None else {}
        print_json(line | ({"error": answer.error} if answer.error else {}))
    elif answer.error is not None:
        click.echo(f"Error: {answer.error}", err=True)
        click.echo("" if many else None, nl=many)
    else:
        click.echo("" if unsure else neutral(answer.label or answer.output, keep_lines=not many))


def _progress() -> Callable[[int, int, int], None]:
    """Return what writes to standard error how far a batch is: over the same line on a terminal, else now and then."""
    began, terminal = time.monotonic(), sys.stderr.isatty()
    said = [0.0]

    def tell(done: int, total: int, resumed: int) -> None:
        now = time.monotonic()
        if not terminal and now - said[0] < 10 and done < total:
            return
        said[0] = now
        rate = (done - resumed) / max(now - began, 1e-9)
        before = f", {resumed:,} were answered before" if resumed else ""
        click.echo(
            f"{done:,} of {total:,} rows, {rate:.1f} a second{before}" + ("\r" if terminal and done < total else "\n"),
            err=True,
            nl=False,
        )

    return tell


def _lines() -> Iterator[str]:
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # one broken byte is no reason to lose all other answers
    yield from sys.stdin


@click.command("serve")
@_model_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Another one needs the key SELFGUIDE_SERVE_KEY.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
def serve_command(
    db: Path | None,
    task_name: str | None,
    model: Path | None,
    given: str | None,
    method: str | None,
    prompts: Path | None,
    host: str,
    port: int,
) -> None:
    """Answer other programs over HTTP, on this machine only: OpenAI's chat endpoint, and POST /predict.

    The task's prompt is built in: the last message of a user is the input. Requests of several clients are answered
    together. A key in SELFGUIDE_SERVE_KEY must be sent as `Authorization: Bearer KEY`; to listen on another address
    than this machine's own, one is needed.

    \b
    Examples:
      selfguide serve -d people.db
      curl http://127.0.0.1:8080/predict -H "Content-Type: application/json" -d '{"input": "Mira sang well."}'
    """
    from selfguide_lite.prediction import PredictOptions, Predictor
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.serve import ServeOptions, check_installed, serve

    options = ServeOptions.from_environment(host, port)
    check_installed()
    with Predictor.open(find_db(db), PredictOptions(task_name, model, given, method, Prompts(prompts))) as loaded:
        click.echo(loaded.way.why, err=True)
        serve(loaded, options, lambda url: click.echo(f"Listening on {url}", err=True))


@click.command("chat")
@_model_options
def chat_command(
    db: Path | None,
    task_name: str | None,
    model: Path | None,
    given: str | None,
    method: str | None,
    prompts: Path | None,
) -> None:
    """Try a run's model: type an input and see the answer before and after the finetune, side by side.

    `:keep` or `:keep ANSWER` makes the last input a row with that answer, which the next training learns; with
    `:keep --example` or `:keep --example ANSWER` it becomes an example of the task. `:quit` ends.

    \b
    Examples:
      selfguide chat -d people.db
    """
    from selfguide_lite.chat import Chat
    from selfguide_lite.prediction import Choice, PredictOptions
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.store import Store

    options = PredictOptions(task_name, model, given, method, Prompts(prompts))
    with Store.open(find_db(db), create=False) as store:
        choice = Choice.of(store, options)
        with choice.load(options.prompts) as loaded:
            click.echo(choice.way.why, err=True)
            chat = Chat(store, store.only_task_id(task_name), loaded)
            while (line := _typed()) is not None:
                told = chat.say(line)
                if told is None:
                    return
                click.echo(told)


def _typed() -> str | None:
    """Return the next line that is typed; None at the end."""
    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return None
