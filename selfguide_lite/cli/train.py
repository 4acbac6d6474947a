"""Finetuning by itself, the way back to GGUF, answers from the result, and the models on this machine."""

import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfguide_lite.cli.common import (
    db_option,
    find_db,
    given_settings,
    json_option,
    model_option,
    print_json,
    prompts_option,
    quiet_option,
    seed_option,
    settings_options,
    stoppable,
    task_option,
    tuning_option,
)
from selfguide_lite.cli.renamed import TrainCommand
from selfguide_lite.core.errors import SelfguideError

if TYPE_CHECKING:
    from selfguide_lite.store import Store

_PATH = click.Path(path_type=Path)
# option: field of Settings
_SETTINGS = {
    "epochs": "epochs",
    "learning_rate": "learning_rate",
    "batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "max_seq_length": "max_seq_length",
    "rank": "lora_rank",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
}


@click.command("train", cls=TrainCommand)
@db_option
@task_option
@model_option
@click.option("--base", metavar="HF", help="Take the weights from this Hugging Face folder or name, not from the GGUF.")
@click.option("--epochs", type=float, help="Passes over the dataset.  [default: 3]")
@click.option("--learning-rate", type=float, help="At its peak.  [default: by the model's size, 2e-4 from 1B on]")
@click.option("--batch-size", type=int, help="Rows a step.  [default: 8]")
@click.option("--gradient-accumulation-steps", type=int, help="Steps whose gradients are summed.  [default: 1]")
@click.option(
    "--max-seq-length", type=int, help="Tokens of prompt and answer; longer rows are left out.  [default: 2048]"
)
@click.option("--rank", type=int, help="Of the LoRA.  [default: 16]")
@click.option("--alpha", type=float, help="The LoRA is scaled by alpha / rank.  [default: 32]")
@click.option("--dropout", type=float, help="On the LoRA's input.  [default: 0]")
@click.option("--target-modules", metavar="LIST", help="Projections to adapt, with commas.  [default: all seven]")
@click.option("--bits", type=click.Choice(["4", "8", "16"]), help="Of the base on a GPU.  [default: what fits]")
@click.option(
    "--gradient-checkpointing/--no-gradient-checkpointing",
    default=None,
    help="Less memory, a third slower.  [default: large]",
)
@click.option("--save-steps", type=click.IntRange(1), help="Steps between checkpoints.  [default: an epoch]")
@click.option("-o", "--out", type=_PATH, metavar="ADAPTER", help="The GGUF adapter.  [default: beside the database]")
@settings_options
@prompts_option
@seed_option
@quiet_option
@json_option
def train_command(
    db: Path | None,
    task_name: str | None,
    model: Path | None,
    base: str | None,
    target_modules: str | None,
    bits: str | None,
    gradient_checkpointing: bool | None,
    save_steps: int | None,
    out: Path | None,
    settings_file: Path | None,
    assignments: tuple[str, ...],
    prompts: Path | None,
    seed: int,
    quiet: bool,
    as_json: bool,
    **numbers: float | int | None,
) -> None:
    """Finetune the model on the dataset and write the adapter; the third stage of `run`.

    A training that was stopped goes on from its last checkpoint when the same command is given again. On several
    GPUs: torchrun --nproc-per-node 2 -m selfguide_lite train ...

    \b
    Examples:
      selfguide train -d people.db
      selfguide train -d people.db --batch-size 1 --gradient-accumulation-steps 8
      selfguide train -d people.db -m vicuna-7b-v1.5.Q4_K_M.gguf --bits 4 --batch-size 1
      selfguide train -d people.db --epochs 5 --learning-rate 1e-4
    """
    from contextlib import nullcontext

    from selfguide_lite.core.lock import exclusive
    from selfguide_lite.core.paths import adapter_path, lora_dir
    from selfguide_lite.export.adapter import export_adapter
    from selfguide_lite.finetune import PROJECTIONS, TrainOptions, TrainTarget, is_main_process
    from selfguide_lite.finetuning import train_task
    from selfguide_lite.llm import model_path
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.report.progress import listener_for
    from selfguide_lite.run_context import RunContext
    from selfguide_lite.store import Store

    given = given_settings(settings_file, assignments)
    chosen = [f"{_SETTINGS[name]}={value}" for name, value in numbers.items() if value is not None]
    given |= given_settings(None, chosen)
    modules = tuple(name.strip() for name in target_modules.split(",")) if target_modules else PROJECTIONS
    if unknown := [name for name in modules if name not in PROJECTIONS]:
        raise click.BadParameter(f"{unknown[0]!r}; there are {', '.join(PROJECTIONS)}", param_hint="--target-modules")
    place, gguf, main = find_db(db), model_path(model), is_main_process()
    with (
        stoppable(place),
        exclusive(place) if main else nullcontext(),
        Store.open(place, create=False) as store,
        listener_for(quiet or not main, ("train", "export")) as listener,
    ):
        task_id = store.only_task_id(task_name)
        task = store.task(task_id)
        settings = task.rules.resolve(task.settings.changed(given))
        options = TrainOptions.from_settings(
            settings,
            seed=seed,
            bits=int(bits) if bits else None,
            gradient_checkpointing=gradient_checkpointing,
            save_steps=save_steps,
            target_modules=modules,
        )
        context = RunContext(store, task_id, settings, Prompts(prompts), seed, listener)
        trained = train_task(context, TrainTarget(gguf, lora_dir(place, task.name), base, apart=True), options)
        if not main:
            return
        adapter = export_adapter(store, task_id, trained, gguf, out or adapter_path(place, task.name), listener)
    if as_json:
        print_json(
            {
                "task": task.name,
                "adapter": adapter.path,
                "pairs": trained.examples,
                "left_out": trained.left_out,
                "steps": trained.steps,
                "loss": trained.loss,
                "learning_rate": trained.learning_rate,
                "seconds": trained.seconds,
            }
        )
    elif not quiet:
        click.echo(f"adapter   {adapter.path}")


@click.command("export")
@db_option
@task_option
@model_option
@click.option("-a", "--adapter", "given", type=_PATH, metavar="FILE", help="An adapter.  [default: the newest]")
@click.option("--merge", "kind", metavar="TYPE", help="Write a complete model: f16, q8_0, q4_k_m, ...")
@click.option("-o", "--out", type=_PATH, metavar="FILE", help="What to write.  [default: in the current folder]")
@prompts_option
@quiet_option
def export_command(
    db: Path | None,
    task_name: str | None,
    model: Path | None,
    given: Path | None,
    kind: str | None,
    out: Path | None,
    prompts: Path | None,
    quiet: bool,
) -> None:
    """Write the adapter, or with --merge a complete model, for use elsewhere.

    Beside it come an Ollama Modelfile and a script that runs it with llama.cpp, both with the task's prompt in them.

    \b
    Examples:
      selfguide export -d people.db
      selfguide export -d people.db --merge q4_k_m -o people.gguf
    """
    import shutil

    from selfguide_lite.core.files import atomic_write
    from selfguide_lite.core.paths import slug
    from selfguide_lite.export.runtime_export import write_handover
    from selfguide_lite.gguf.adapter import check_adapter
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.store import Store

    place = find_db(db)
    with Store.open(place, read_only=True, create=False) as store:
        task_id = store.only_task_id(task_name)
        task = store.task(task_id)
        adapter = _adapter(store, task_id, given)
        base = _base_of(store, task_id, model, adapter)
    made = out or Path(f"{slug(task.name)}.{kind.lower()}.gguf" if kind else f"{slug(task.name)}.adapter.gguf")
    if kind:
        from selfguide_lite.gguf.merge import merge
        from selfguide_lite.llm.chat import VICUNA

        merge(base, adapter, made, kind, chat_template=VICUNA)
    else:
        check_adapter(adapter, base)
        if not (made.exists() and made.samefile(adapter)):
            with atomic_write(made) as part:
                shutil.copyfile(adapter, part)
    settings = task.rules.resolve(task.settings)
    beside = write_handover(
        task, Prompts(prompts), base, made, adapter=kind is None, max_tokens=settings.output_max_tokens
    )
    if not quiet:
        click.echo(f"{'model' if kind else 'adapter'}     {made}  ({made.stat().st_size / 2**20:.1f} MiB)")
        click.echo(f"Ollama    {beside[0]}")
        click.echo(f"llama.cpp {beside[1]}")


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
    from selfguide_lite.llm import open_engine
    from selfguide_lite.predict import choose_way, predict
    from selfguide_lite.prompts import Prompts
    from selfguide_lite.store import Store

    if no_adapter and (given is not None or method is not None):
        raise click.UsageError("--no-adapter stands alone: it is neither --adapter nor --method")
    templates = Prompts(prompts)
    with Store.open(find_db(db), read_only=True, create=False) as store:
        task_id = store.only_task_id(task_name)
        task = store.task(task_id)
        if no_adapter:
            method = "few-shot scored" if task.rules.labelled else "few-shot"
        way = choose_way(store, task_id, templates, method, given, model)
        adapter = _adapter(store, task_id, given) if way.finetuned else None
        base = _base_of(store, task_id, model, adapter)
    engine = open_engine(base, adapter=adapter, tune=False)
    if not no_adapter:
        click.echo(way.why, err=True)  # once nothing is wrong: a refusal is one line
    many = text == "-"
    failed = 0
    try:
        limit = task.rules.resolve(task.settings).output_max_tokens
        for answer in predict(engine, task, templates, _lines() if many else [text], limit, way):
            failed += answer.error is not None
            if as_json:
                line: dict[str, Any] = {"input": answer.input, "output": answer.output}
                line |= {"label": answer.label} if task.rules.labelled else {}
                line |= {"shares": dict(answer.shares)} if answer.shares is not None else {}
                print_json(line | ({"error": answer.error} if answer.error else {}))
            elif answer.error is not None:
                click.echo(f"Error: {answer.error}", err=True)
                click.echo("" if many else None, nl=many)
            else:
                click.echo(neutral(answer.label or answer.output, keep_lines=not many))
    finally:
        engine.close()
    if failed:
        sys.exit(1)


@click.group("models", invoke_without_command=True)
@json_option
@click.pass_context
def models_command(context: click.Context, as_json: bool) -> None:
    """List the models on this machine with their licences, or get one.

    \b
    Examples:
      selfguide models
      selfguide models pull smollm2-135m
      selfguide models pull vicuna-7b-v1.5
      selfguide models pull owner/repository/file.gguf
    """
    if context.invoked_subcommand is not None:
        return
    from selfguide_lite.core.text import neutral
    from selfguide_lite.models import DEFAULT, KNOWN, cached_models, models_dir

    found = cached_models()
    if as_json:
        print_json([{"name": m.name, "kind": m.kind, "path": str(m.path), "bytes": m.bytes} for m in found])
        return
    for known in KNOWN.values():
        where = str(known.path) if known.path else f"not here: {known.pull_command}"
        click.echo(f"{known.name}{' (the default)' if known.name == DEFAULT else ''}")
        click.echo(f"  {known.title} by {known.made_by}, {known.parameters} parameters, licence {known.licence}")
        click.echo(f"  {known.size} in {known.weights}, chat format: {known.chat}, from {known.source}")
        click.echo(f"  {where}")
    click.echo(f"Cache, {models_dir().parent}:{'' if found else ' empty'}")
    for model in found:
        click.echo(f"  {model.kind:5} {model.bytes / 2**20:9.1f} MiB  {neutral(model.name)}")
    click.echo("Kinds: gguf, a model that was pulled; copy, the same in a type that is read faster; hf, to train from.")
    click.echo("Any other: `selfguide models pull owner/repository/file.gguf`")


@models_command.command("pull")
@click.argument("name")
def pull_command(name: str) -> None:
    """Get a GGUF by its short name, or from the hub; goes on where a broken download stopped."""
    from selfguide_lite.models import pull

    path = pull(name)
    click.echo(str(path))
    click.echo(f"Use it with -m {path}, or: export SELFGUIDE_MODEL={path}", err=True)


@models_command.command("remove")
@click.argument("name")
def remove_command(name: str) -> None:
    """Remove a model from the cache, by its name in the list."""
    from selfguide_lite.models import remove

    gone = remove(name)
    click.echo(f"removed {gone.path} ({gone.bytes / 2**20:.1f} MiB)")


def _adapter(store: "Store", task_id: int, given: Path | None) -> Path:
    """Return the adapter that is meant: the one given, else the newest of the task."""
    if given is None:
        latest = store.latest_adapter(task_id)
        if latest is None:
            raise SelfguideError(f"{store.path}: holds no adapter yet; make one with `selfguide train -d {store.path}`")
        given = Path(latest.path)
    if not given.is_file():
        raise SelfguideError(f"{given}: no such adapter file; `selfguide train -d {store.path}` makes it again")
    return given


def _base_of(store: "Store", task_id: int, model: Path | None, adapter: Path | None) -> Path:
    """Return the model that is meant: the one given, else what the store remembers, else the default.

    :param adapter: that the model is for; None: the one that the newest adapter of the task is for
    """
    from selfguide_lite.llm import model_path

    if model is None:
        base = store.adapter_base(task_id, adapter)
        if base is not None and base.is_file():
            return base
    return model_path(model)


def _lines() -> Iterator[str]:
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # one broken byte is no reason to lose all other answers
    for line in sys.stdin:
        if text := line.strip():
            yield text
