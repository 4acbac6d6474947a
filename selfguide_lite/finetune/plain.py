"""The same training with what everybody has, transformers' Trainer on PEFT's LoRA: what ours is measured against."""

from collections.abc import Callable
from typing import Any

from selfguide_lite.finetune.card import card_dtype
from selfguide_lite.finetune.collator import Collator
from selfguide_lite.finetune.job import FitJob
from selfguide_lite.finetune.memory import used_memory
from selfguide_lite.finetune.options import peak_rate
from selfguide_lite.finetune.order import EvenOrder
from selfguide_lite.finetune.trainers.unsloth import prepare_environment
from selfguide_lite.gguf.to_hf import hf_folder


def plain_fit(job: FitJob, on_step: Callable[[float, int], None]) -> None:
    """Train once over the rows, on the card where there is one.

    Bits below 16 and gradient checkpointing are used where the job's options name them.

    :param on_step: called with the loss and the memory in bytes after every step
    """
    prepare_environment()
    import torch
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import (
        AutoModelForCausalLM,
        BitsAndBytesConfig,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from selfguide_lite.core.machine import cores

    options, rows, cuda = job.options, job.rows, torch.cuda.is_available()
    if not cuda:
        torch.set_num_threads(cores())
    torch.manual_seed(options.seed)
    dtype = card_dtype() if cuda else torch.float32
    more: dict[str, Any] = {}
    if cuda:
        more["device_map"] = {"": torch.cuda.current_device()}
    if cuda and options.bits == 4:
        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    elif cuda and options.bits == 8:
        more["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    folder = job.base if job.base.is_dir() else hf_folder(job.base)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **more)
    checkpointing = bool(options.gradient_checkpointing)
    if "quantization_config" in more:
        base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=checkpointing)
    elif checkpointing:
        base.enable_input_require_grads()
    config = LoraConfig(
        r=options.rank,
        lora_alpha=int(options.alpha),
        lora_dropout=options.dropout,
        target_modules=list(options.target_modules),
        task_type="CAUSAL_LM",
    )
    steps = -(-len(rows) // options.batch_size)
    arguments = TrainingArguments(
        output_dir=str(job.out),
        per_device_train_batch_size=options.batch_size,
        num_train_epochs=options.epochs,
        learning_rate=peak_rate(job.shape.parameters, len(rows), options),
        lr_scheduler_type="linear",
        warmup_steps=-(-steps // 20),
        logging_steps=1,
        save_strategy="no",
        seed=options.seed,
        data_seed=options.seed,
        use_cpu=not cuda,
        bf16=cuda and dtype == torch.bfloat16,
        fp16=cuda and dtype == torch.float16,
        gradient_checkpointing=checkpointing,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=cuda,
    )

    class Reporter(TrainerCallback):  # type: ignore[misc]
        """Tells the losses."""

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
            if "loss" in logs:
                on_step(float(logs["loss"]), used_memory(cuda))

    class InOrder(Trainer):  # type: ignore[misc]
        """Takes the rows in the order of our training: the same work, and the same losses."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return EvenOrder([row.ids[row.answer_start :] for row in rows], options.seed)

    trainer = InOrder(
        model=get_peft_model(base, config),
        args=arguments,
        train_dataset=Dataset.from_list([{"input_ids": list(row.ids), "labels": row.labels} for row in rows]),
        data_collator=Collator(job.pad),
        callbacks=[Reporter()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
