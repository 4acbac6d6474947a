"""Finetuning by itself, and the way back to GGUF."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

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
)
from selfguide_lite.cli.machine_use import machine_use_options
from selfguide_lite.cli.next_steps import next_steps
from selfguide_lite.cli.renamed import TrainCommand

if TYPE_CHECKING:
    from selfguide_lite.finetune.options import Bits

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
@click.option("--epochs", type=float, help="Passes over the dataset.  [default: 2]")
@click.option("--learning-rate", type=float, help="At its peak.  [default: by the model's size and the steps]")
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
@click.option(
    "-o",
    "--out",
    type=_PATH,
    metavar="ADAPTER",
    help="The GGUF adapter.  [default: in the training's folder]",
)
@settings_options
@prompts_option
@seed_option
@machine_use_options
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
    from selfguide_lite.core.paths import trainings_dir
    from selfguide_lite.export.adapter import export_adapter
    from selfguide_lite.finetune import PROJECTIONS, TrainOptions, TrainTarget, is_main_process
    from selfguide_lite.finetuning import train_task
    from selfguide_lite.llm import model_path, open_engine
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
        options = replace(
            TrainOptions.from_settings(settings, seed=seed),
            bits=cast("Bits | None", int(bits) if bits else None),
            gradient_checkpointing=gradient_checkpointing,
            save_steps=save_steps,
            target_modules=modules,
        )
        context = RunContext(store, task_id, settings, Prompts(prompts), seed, listener)
        target = TrainTarget(gguf, trainings_dir(place, task.name), base, apart=True)
        trained = train_task(context, target, options, opened=lambda: open_engine(gguf))
        if not main:
            return
        adapter = export_adapter(store, task_id, trained, gguf, out, listener)
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
        click.echo(next_steps(("predict", "..."), ("report",), ("export", "--to", "ollama"), db=place))
