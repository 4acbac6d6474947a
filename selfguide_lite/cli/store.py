"""Commands that look at a run's database: status, sql, dataset, show, filter, browse. Every one only prints what a
function of `selfguide_lite.store` returns."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfguide_lite.cli.common import (
    db_option,
    find_db,
    given_settings,
    json_option,
    print_json,
    prompts_option,
    task_option,
)
from selfguide_lite.cli.tables import opened_task, print_table, whole_pipe
from selfguide_lite.core.text import neutral

if TYPE_CHECKING:
    from selfguide_lite.core.progress import FunnelRow
    from selfguide_lite.store import LengthBound, Store
    from selfguide_lite.store.lineage import Life, Origin


@click.command("status")
@db_option
@task_option
@json_option
def status_command(db: Path | None, task_name: str | None, as_json: bool) -> None:
    """Show the way from prompts sent to pairs kept, the labels' balance and the length bounds.

    \b
    Examples:
      selfguide status
      selfguide status -d my-task.db --json
    """
    from dataclasses import asdict

    with opened_task(db, task_name) as (store, task_id), whole_pipe():
        funnel, bounds = store.funnel(task_id), store.length_bounds(task_id)
        labels = store.label_balance(task_id)
        agreement = store.agreement(task_id)
        task = store.task(task_id)
        if as_json:
            print_json(
                {
                    "task": task.name,
                    "kind": task.kind,
                    "funnel": [{"stage": row.stage, "reason": row.reason, "n": row.n} for row in funnel],
                    "labels": [{"label": row.label, "answers": row.answers, "pairs": row.pairs} for row in labels],
                    "agreement": asdict(agreement) | {"beyond_chance": agreement.beyond_chance},
                    "length": [
                        {
                            "part": b.part,
                            "low": b.low,
                            "high": b.high,
                            "enabled": b.enabled,
                            "mean": b.mean,
                            "rule": b.rule,
                        }
                        for b in bounds
                    ],
                }
            )
            return
        click.echo(f"{neutral(task.name)} ({task.kind}) in {store.path}")
        if not funnel:
            click.echo("Nothing generated yet.")
        _show_funnel(funnel)
        if labels:
            click.echo("\nlabels")
            print_table(["label", "answers", "in the dataset"], [(r.label, r.answers, r.pairs) for r in labels], "  ")
        if agreement.asked:
            click.echo(f"\n{agreement.sentence}")
        click.echo("\nlengths, in characters")
        print_table(["part", "kept between", "examples' mean", "filter"], map(_bound_cells, bounds), "  ")


_STAGES = {
    "input": "prompts answered, and inputs of your own",
    "output": "answers to kept inputs",
    "answer": "kept inputs",
    "dataset": "inputs with an answer",
}


def _show_funnel(rows: Sequence["FunnelRow"]) -> None:
    from selfguide_lite.report.funnel import funnel_stages, outcome

    for stage in funnel_stages(rows):
        click.echo(f"\n{stage.name}: {stage.entered:,} {_STAGES.get(stage.name, '')}")
        counts = [("kept", stage.kept), *stage.dropped, *([("unanswered", stage.waiting)] if stage.waiting else [])]
        print_table(
            ["outcome", "n", "of those"],
            [(outcome(reason), f"{n:,}", f"{n / stage.entered:.1%}" if stage.entered else "") for reason, n in counts],
            "  ",
        )


def _bound_cells(bound: "LengthBound") -> tuple[str, str, str, str]:
    return bound.part, f"{bound.low:.1f} and {bound.high:.1f}", f"{bound.mean:.1f}", "on" if bound.enabled else "off"


@click.command("sql")
@click.argument("statement")
@db_option
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Answer with CSV.")
@click.option("--jsonl", "as_lines", is_flag=True, help="Answer with a JSON object a line.")
def sql_command(statement: str, db: Path | None, as_json: bool, as_csv: bool, as_lines: bool) -> None:
    """Ask the database a question in SQL. Only reads: SQLite itself refuses to write.

    \b
    Examples:
      selfguide sql "select * from funnel"
      selfguide sql "select reason, count(*) from input_verdict group by reason"
      selfguide sql --csv "select * from dataset" > pairs.csv
    """
    from selfguide_lite.store import query

    if as_json + as_csv + as_lines > 1:
        raise click.UsageError("choose one of --json, --csv and --jsonl")
    with query.query(find_db(db), statement) as (columns, rows), whole_pipe():
        if as_json or as_csv or as_lines:
            pieces = (query.json_array if as_json else query.csv_lines if as_csv else query.json_lines)(columns, rows)
            for piece in pieces:
                click.echo(piece, nl=False)
        elif columns:
            print_table(columns, rows)


@click.command("dataset")
@db_option
@task_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="PLACE",
    help="Where to write; the ending .jsonl, .csv or .parquet tells the format, a name without one is a folder that "
    "`datasets` loads.  [default: JSONL to standard output]",
)
@click.option(
    "--format",
    "form_name",
    default="pairs",
    show_default=True,
    metavar="FORM",
    help="Of a record: pairs, chat, prompt-completion, axolotl, alpaca, or one of a plugin.",
)
@click.option(
    "--answer-style",
    metavar="STYLE",
    help="What stands before an input: few-shot, bare or system.  [default: as `train` does]",
)
@prompts_option
def dataset_command(
    db: Path | None,
    task_name: str | None,
    output: Path | None,
    form_name: str,
    answer_style: str | None,
    prompts: Path | None,
) -> None:
    """Write the training pairs to a file or folder for other tools.

    \b
    Examples:
      selfguide dataset -o pairs.jsonl
      selfguide dataset -o for-trl.parquet --format prompt-completion
      selfguide dataset -o for-datasets --format chat
      selfguide dataset --format alpaca | head
    """
    from selfguide_lite.dataset_files import form_named, records, write_dataset, write_json_lines
    from selfguide_lite.prompts import Prompts

    form = form_named(form_name)
    with opened_task(db, task_name) as (store, task_id):
        task, pairs = store.task(task_id), store.each_pair(task_id)
        if answer_style is not None:
            changed = given_settings(None, [f"answer_style={answer_style}"])
            task = task.model_copy(update={"settings": task.settings.changed(changed)})
        rows = records(task, pairs, form, Prompts(prompts))
        if output is None:
            with whole_pipe():
                write_json_lines(rows, sys.stdout)
            return
        written = write_dataset(rows, form, output)
        click.echo(f"Wrote {written:,} pairs to {output}.", err=True)


@click.command("show")
@click.argument("input_id", metavar="ID", type=int)
@db_option
@json_option
def show_command(input_id: int, db: Path | None, as_json: bool) -> None:
    """Show the life of one input: prompt, text, verdict, samples, votes, and whether it is in the dataset.

    \b
    Examples:
      selfguide show 17
      selfguide show 17 --json
    """
    from dataclasses import asdict

    from selfguide_lite.core.errors import SelfguideError
    from selfguide_lite.store import Store
    from selfguide_lite.store.lineage import life

    with Store.open(find_db(db), read_only=True) as store, whole_pipe():
        found = life(store, input_id)
        try:
            prompt = _prompt(store, found)
        except SelfguideError as error:
            prompt = [("?", str(error))]
        if as_json:
            print_json({**asdict(found), "messages": [{"role": role, "content": text} for role, text in prompt]})
        else:
            _show_life(found, prompt)


def _prompt(store: "Store", found: "Life") -> list[tuple[str, str]]:
    """Render the prompt that asked for this input again, with the template that its run kept."""
    from selfguide_lite.core.registry import INPUT_STYLES
    from selfguide_lite.prompt_styles import ShownInput, input_style
    from selfguide_lite.prompts import PromptTemplate

    if found.origin is None or found.origin.template is None:
        return []
    task = store.task(found.task_id)
    template = PromptTemplate(Path(f"run {found.origin.run_id}"), found.origin.template)

    def shown(text: str, label: str | None) -> ShownInput:
        return ShownInput(text, label, task.label_meanings.get(label or ""))

    examples = [task.examples[number] for number in found.seed_inputs if number < len(task.examples)]
    seeds = tuple(shown(example.input, task.rules.parse(example.output, task.labels)) for example in examples)
    pool = tuple(shown(text, label) for (_, text), label in zip(found.pool_inputs, found.pool_labels, strict=True))
    variables: dict[str, Any] = {}
    for style in INPUT_STYLES.names():  # the template says itself which of their variables it needs
        variables |= input_style(style).variables(task, seeds, pool, found.label)
    messages = template.render(variables)
    return [(message.role, message.content) for message in messages]


def _show_life(found: "Life", prompt: Sequence[tuple[str, str]]) -> None:
    where = "" if found.round is None else f", round {found.round}, prompt {found.prompt}"
    came = "made" if found.source is None else f"from {neutral(found.source)}, added"
    click.echo(f"input {found.id}{where}, {came} {found.created_at}")
    for role, text in prompt:
        click.echo(f"\nprompt, {role}")
        click.echo(_indented(text))
    click.echo("\ntext" + (f" (asked for {neutral(found.label)})" if found.label else ""))
    click.echo(_indented(found.text))
    verdict = "kept" if found.reason is None else f"rejected: {found.reason} ({neutral(found.detail or '')})"
    click.echo(f"\nverdict: {neutral(verdict)}")
    if found.samples:
        click.echo("\nanswers")
        print_table(
            ["sample", "weight", "text", "label", "verdict"],
            [
                (
                    f"{s.method} {s.sample}",
                    s.weight,
                    s.text,
                    s.label,
                    "counts" if s.reason is None else f"{s.reason} ({s.detail})",
                )
                for s in found.samples
            ],
            "  ",
        )
    if found.votes:
        click.echo("\nvotes")
        print_table(["answer", "votes", "share"], [(v.answer, v.n, f"{v.share:.1%}") for v in found.votes], "  ")
    if found.output is None:
        click.echo(f"\nnot in the dataset: {neutral(found.why_not or '')}")
    else:
        click.echo("\nin the dataset as")
        click.echo(_indented(found.output))
    for what, origin in (("input", found.origin), ("answer", found.answer_origin)):
        if origin is not None and origin.stage != "add":
            click.echo(f"\n{_origin(what, origin)}")


def _origin(what: str, origin: "Origin") -> str:
    return (
        f"{what} made by run {origin.run_id} ({origin.stage}), started {origin.started_at}: "
        f"model {neutral(origin.model or 'unknown')} (SHA-256 {(origin.model_sha256 or 'unknown')[:16]}), "
        f"seed {origin.seed}, prompt template {(origin.template_sha256 or 'unknown')[:16]}, "
        f"selfguide-lite {origin.program_version}"
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in neutral(text, keep_lines=True).split("\n"))


@click.command("browse")
@db_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Listen on this port; 0 takes a free one.  [default: 8001, or a free one where that is taken]",
)
@click.option("--open", "open_browser", is_flag=True, help="Open a web browser too.")
def browse_command(db: Path | None, port: int | None, open_browser: bool) -> None:
    """Look at the database in a web browser, with Datasette, on this machine only, at an address with a random token.

    \b
    Examples:
      selfguide browse
      selfguide browse -d my-task.db --port 9000 --open
    """
    from selfguide_lite.store.browse import serve

    sys.exit(serve(find_db(db), port, open_browser, lambda url: click.echo(f"Browse at {url}", err=True)))
