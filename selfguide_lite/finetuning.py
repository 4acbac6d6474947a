"""From a dataset to an adapter: one training, or with self-training two.

The first trains on what the plain model agrees with. Then the finetuned model scores the labels of all kept inputs,
and the second trains the plain model anew on what agrees now.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfguide_lite.core.paths import adapter_path, first_training_dir, lora_dir
from selfguide_lite.export.adapter import export_adapter
from selfguide_lite.finetune import TrainOptions, train
from selfguide_lite.llm import open_engine
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import Adapter
from selfguide_lite.store.overlay import SettingsOverlay
from selfguide_lite.synthesis.relabel import is_relabelled, relabel


def finetune(context: RunContext, model: Path, engine_options: Mapping[str, Any]) -> Adapter:
    """Finetune a model on a task's dataset and return the adapter; what was done before is not done again.

    :param model: the GGUF file that the adapter is for
    :param engine_options: of `open_engine`, for the scores of the finetuned model
    :raises SelfguideError: as `train`
    """
    db, name = context.store.path, context.task.name
    if self_trains(context):
        first = first_training_dir(db, name)
        plain = replace(context, store=SettingsOverlay(context.store, {"self_training": False}))
        adapter = _trained(plain, model, first / "lora", first / "adapter.gguf")
        if is_relabelled(context, adapter.id):
            context.listener.done("relabel", "the finetuned model's labels were in the store")
        else:
            with open_engine(model, adapter=Path(adapter.path), **engine_options) as engine:
                relabel(context, engine, adapter.id)
        if len({pair.output for pair in context.store.pairs(context.task_id)}) < 2:
            context.store.set_setting(context.task_id, "self_training", False)
            context.listener.note("the finetuned model gives all inputs one label: self_training is off for this task")
    return _trained(context, model, lora_dir(db, name), adapter_path(db, name))


def self_trains(context: RunContext) -> bool:
    """Whether the setting is on and the labels were scored, so that there is something to score again."""
    on = context.store.settings(context.task_id).get("self_training")
    return bool(on) and bool(context.store.scored_inputs(context.task_id))


def _trained(context: RunContext, model: Path, lora: Path, out: Path) -> Adapter:
    store, task_id, listener = context.store, context.task_id, context.listener
    options = TrainOptions.from_settings(context.settings, seed=context.seed)
    trained = train(
        store, task_id, model=model, prompts=context.prompts, options=options, out=lora, listener=listener, apart=True
    )
    return export_adapter(store, task_id, trained, model, out, listener)
