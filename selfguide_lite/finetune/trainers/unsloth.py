"""Unsloth's `FastLanguageModel` and TRL's `SFTTrainer`, the same on CUDA and on a CPU: rows in, a PEFT folder out."""

import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from selfguide_lite.core.cache import cache_dir
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.machine import cores
from selfguide_lite.core.progress import TrainStep
from selfguide_lite.finetune.average import WeightAverage
from selfguide_lite.finetune.card import card_dtype, is_out_of_memory, least, memory_watched, take_card
from selfguide_lite.finetune.checkpoints import PREFIX, last_checkpoint, step_of
from selfguide_lite.finetune.collator import Collator
from selfguide_lite.finetune.job import LOG, Fit, FitJob
from selfguide_lite.finetune.launch import is_main_process, world_size
from selfguide_lite.finetune.memory import check_memory, choose_bits, used_memory
from selfguide_lite.finetune.muted import Muted
from selfguide_lite.finetune.options import peak_rate, total_steps
from selfguide_lite.finetune.order import EvenOrder
from selfguide_lite.finetune.precision import LARGE, half_on_cpu
from selfguide_lite.finetune.prefix import share_prefix
from selfguide_lite.gguf.to_hf import hf_folder

NEEDED = ("torch", "transformers", "peft", "trl", "datasets", "unsloth")
NEEDED_ON_CARD = ("bitsandbytes", "triton")
_WARMUP_SHARE = 0.05


class Trainer:
    """A LoRA by Unsloth."""

    summary = "Unsloth and TRL, on an NVIDIA card or a CPU"

    def check(self) -> None:
        """Refuse at once where a package for training is missing.

        :raises SelfguideError: naming the packages and how to install them
        """
        check_installed()

    def fit(self, job: FitJob, on_step: Callable[[TrainStep], None], note: Callable[[str], None]) -> Fit:
        """Train a LoRA, see `fit`."""
        return fit(job, on_step, note)


def fit(job: FitJob, on_step: Callable[[TrainStep], None], note: Callable[[str], None]) -> Fit:
    """Train a LoRA and leave it as a PEFT folder in the job's folder, its checkpoints beside it.

    Goes on from the last whole checkpoint there, with the result that an uninterrupted training would have had.

    :param on_step: called after every optimizer step, in the main process alone
    :param note: told what is worth a line
    :raises SelfguideError: where a package is missing or memory does not suffice
    """
    base, rows, options, out, shape = job.base, job.rows, job.options, job.out, job.shape
    check_installed()
    prepare_environment()
    if "unsloth" not in sys.modules:
        note("loading torch and what training needs: this takes ten seconds and more")
    muted = Muted(out / LOG)
    with muted:
        import torch

        cuda = torch.cuda.is_available()
        if cuda:
            check_installed(NEEDED_ON_CARD)
        import unsloth
        from datasets import Dataset
        from transformers import PrinterCallback, ProgressCallback, TrainerCallback
        from transformers.utils import logging as transformers_logging
        from trl import SFTConfig, SFTTrainer

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        if not cuda:
            torch.set_num_threads(max(cores() // world_size(), 1))
            _read_numbered_cpus()
        longest = max(len(row.ids) for row in rows)
        # One card holds it all, which is what its memory is asked for; left alone Unsloth may spread it over several.
        place: dict[str, Any] = {"device_map": {"": take_card()}} if cuda else {}
        # All processes of a launch load the same weights, so the card with the least room decides.
        bits = least(choose_bits(options, shape, longest)) if cuda else 16
        if not cuda and options.bits in (4, 8):
            with muted.lifted():
                note(f"--bits {options.bits} is for a GPU; it changes nothing here")
        gradient_checkpointing = options.gradient_checkpointing
        if gradient_checkpointing is None:
            gradient_checkpointing = shape.parameters >= LARGE
        asked = replace(options, batch_size=min(options.batch_size, len(rows)))
        check_memory(asked, shape, longest, bits=bits, gradient_checkpointing=gradient_checkpointing, cuda=cuda)
        folder = base if base.is_dir() else hf_folder(base)
        dtype = _dtype(cuda, shape.parameters)
        try:
            model, tokenizer = unsloth.FastLanguageModel.from_pretrained(
                str(folder),
                max_seq_length=max(longest, 64),
                dtype=dtype,
                load_in_4bit=bits == 4,
                load_in_8bit=bits == 8,
                use_gradient_checkpointing=False,
                local_files_only=True,
                use_safetensors=True,
                **place,
            )
        except (OSError, ValueError, RuntimeError) as error:
            if is_out_of_memory(error):  # smaller batches are no help here
                advice = "take a smaller model" if bits == 4 else "load the base in 4 bits with --bits 4"
                raise SelfguideError(f"{base}: the card's memory is not enough for the weights; {advice}") from error
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise SelfguideError(f"{base}: these weights cannot be loaded: {first}") from error
        if bits < 16 and not getattr(model, "is_quantized", False):  # Unsloth says so in its log and goes on in 16 bits
            raise SelfguideError(
                f"bitsandbytes does not work with this card or its driver, so the base was not loaded in {bits} bits: "
                f"train with --bits 16; {out / LOG} has more"
            )
        model = unsloth.FastLanguageModel.get_peft_model(
            model,
            r=options.rank,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=list(options.target_modules),
            bias="none",
            use_gradient_checkpointing=("unsloth" if cuda else True) if gradient_checkpointing else False,
            random_state=options.seed,
            max_seq_length=max(longest, 64),
        )
        # On CUDA Unsloth has an attention of its own. Dropout should fall differently on every row.
        if not cuda and options.dropout == 0:
            share_prefix(model.get_base_model())
        rate = peak_rate(shape.parameters, len(rows), options)
        total = total_steps(len(rows), options)
        config = SFTConfig(
            output_dir=str(out),
            per_device_train_batch_size=options.batch_size,
            gradient_accumulation_steps=options.gradient_accumulation_steps,
            max_steps=total,
            learning_rate=rate,
            lr_scheduler_type="linear",
            warmup_steps=math.ceil(_WARMUP_SHARE * total),
            weight_decay=options.weight_decay,
            logging_steps=1,
            save_strategy="steps" if options.save_steps else "epoch",
            save_steps=options.save_steps or 500,
            save_total_limit=2,
            seed=options.seed,
            data_seed=options.seed,
            bf16=dtype == torch.bfloat16,
            fp16=dtype == torch.float16,
            use_cpu=not cuda,
            gradient_checkpointing=False,
            max_length=options.max_seq_length,
            packing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False,
            disable_tqdm=True,
            report_to="none",
            dataloader_pin_memory=cuda,
            ddp_find_unused_parameters=False,
            include_num_input_tokens_seen="non_padding",
        )

        class Reporter(TrainerCallback):  # type: ignore[misc]
            """Turns the trainer's log lines into training steps."""

            def __init__(self) -> None:
                self.losses: list[float] = []
                self.last = time.perf_counter()
                self.tokens = 0

            def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                self.losses = [line["loss"] for line in state.log_history if "loss" in line]
                self.last = time.perf_counter()
                self.tokens = int(state.num_input_tokens_seen)

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                average.add(state.global_step)
                self._keep_average(state, control)

            def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                self._keep_average(state, control)

            def _keep_average(self, state: Any, control: Any) -> None:
                if control.should_save and state.is_world_process_zero:
                    average.save(out / f"{PREFIX}{state.global_step}")

            def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
                if "loss" not in logs or not state.is_world_process_zero:
                    return
                now = time.perf_counter()
                self.losses.append(float(logs["loss"]))
                step = TrainStep(
                    step=state.global_step,
                    total=state.max_steps,
                    epoch=float(logs.get("epoch", state.epoch or 0.0)),
                    loss=self.losses[-1],
                    learning_rate=float(logs.get("learning_rate", 0.0)),
                    grad_norm=float(logs.get("grad_norm", math.nan)),
                    tokens_per_second=(int(state.num_input_tokens_seen) - self.tokens) / max(now - self.last, 1e-9),
                    memory=used_memory(cuda),
                )
                self.last, self.tokens = now, int(state.num_input_tokens_seen)
                with muted.lifted():
                    on_step(step)

        weights = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
        average = WeightAverage(weights, total - int(options.average_weights * total))
        reporter = Reporter()

        class Trainer(SFTTrainer):  # type: ignore[misc]
            """Takes the rows in our own order."""

            def _get_train_sampler(self, train_dataset: Any = None) -> Any:
                return EvenOrder([row.ids[row.answer_start :] for row in rows], options.seed)

        trainer = Trainer(
            model=model,
            args=config,
            train_dataset=Dataset.from_list([{"input_ids": list(row.ids), "labels": row.labels} for row in rows]),
            data_collator=Collator(job.pad),
            processing_class=tokenizer,
            callbacks=[reporter],
        )
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        checkpoint = last_checkpoint(out)
        resumed_at = step_of(checkpoint)
        if checkpoint:
            average.load(checkpoint)
        if checkpoint and is_main_process():
            with muted.lifted():
                note(f"going on from the checkpoint of step {resumed_at}")
        started = time.perf_counter()
        with memory_watched():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        seconds = time.perf_counter() - started
        average.apply()
        if is_main_process():
            trainer.model.save_pretrained(str(out))
        tail = reporter.losses[-max(1, len(reporter.losses) // 10) :] or [math.nan]
        steps = int(trainer.state.global_step)
        device = torch.cuda.get_device_name() if cuda else "CPU"
    return Fit(steps, sum(tail) / len(tail), rate, seconds, resumed_at, device)


def check_installed(needed: Sequence[str] = NEEDED) -> None:
    """Refuse at once where a package for training is missing.

    :param needed: on a card `NEEDED_ON_CARD` too, without which Unsloth fails there
    :raises SelfguideError: naming the packages and how to install them
    """
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise SelfguideError(
            f"finetuning needs {', '.join(missing)}, which this installation lacks: run `selfguide setup`"
        )


@cache
def _read_numbered_cpus() -> None:
    """Let torch read what several processes tagged with cpu:0 when they saved it, which it cannot by itself.

    Once a process: two such entries in its list are more than torch can sort.
    """
    import torch

    torch.serialization.register_package(
        0, lambda saved: None, lambda saved, place: saved if place.startswith("cpu:") else None
    )


def prepare_environment() -> None:
    """Set what the libraries read when they are imported."""
    os.environ["UNSLOTH_COMPILE_LOCATION"] = str(cache_dir() / "unsloth_compiled_cache")
    os.environ["UNSLOTH_DISABLE_STATISTICS"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Threads that wait by spinning lose two thirds of the speed as soon as anything else runs on the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What cannot be compiled on this card is computed without; without this some parts of Unsloth end the training.
    os.environ.setdefault("UNSLOTH_COMPILE_IGNORE_ERRORS", "1")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"


def _dtype(cuda: bool, parameters: int) -> Any:
    import torch

    if cuda:
        return card_dtype()
    return torch.bfloat16 if half_on_cpu(parameters) else torch.float32
