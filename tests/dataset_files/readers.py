"""Reads an exported dataset as another trainer does, with its own code, and prints what it would learn.

Run as `python readers.py TRAINER BASE DATASET...`: a trainer's Python need not have this project installed. Prints a
JSON list with an entry for each dataset: `input_ids` and `labels` of every record, or what Unsloth Studio made of it.

:param TRAINER: one of `READERS`
:param BASE: a Hugging Face folder of the model
:param DATASET: as `selfguide dataset` wrote it
"""

import json
import sys
from pathlib import Path
from typing import Any


def trl(dataset: str, base: str) -> Any:
    """The rows of TRL's SFTTrainer, after its own preparation."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base),
        processing_class=AutoTokenizer.from_pretrained(base),
        train_dataset=rows_of(dataset),
        args=SFTConfig(output_dir="unused", report_to=[], use_cpu=True, max_length=2048),
    )
    made = trainer.train_dataset
    return [{name: list(row[name]) for name in ("input_ids", "labels")} for row in made]


def studio(dataset: str, base: str) -> Any:
    """What Unsloth Studio finds the format to be, and the first record as it goes on with it."""
    from importlib.util import find_spec

    found = find_spec("studio")
    assert found is not None and found.origin is not None
    sys.path.insert(0, str(Path(found.origin).parent / "backend"))
    from utils.datasets import format_dataset

    made = format_dataset(rows_of(dataset))
    names = ("detected_format", "final_format", "chat_column", "requires_manual_mapping")
    return {**{name: made[name] for name in names}, "rows": [dict(row) for row in made["dataset"]]}


def axolotl(dataset: str, base: str, **given: Any) -> Any:
    """The rows of Axolotl's prompt strategy, as its configuration names it."""
    from axolotl.utils.data.wrappers import get_dataset_wrapper
    from axolotl.utils.dict import DictDefault
    from transformers import AutoTokenizer

    told = DictDefault(
        {"path": dataset, "type": "chat_template", "chat_template": "tokenizer_default", "trust_remote_code": False}
        | given
    )
    config = DictDefault({"sequence_len": 2048, "train_on_inputs": False, "dataset_num_proc": 1, "datasets": [told]})
    tokenizer = AutoTokenizer.from_pretrained(base)
    made, _ = get_dataset_wrapper(told, tokenizer, config, told["type"], rows_of(dataset))
    return [{name: list(row[name]) for name in ("input_ids", "labels")} for row in made]


def rows_of(dataset: str) -> Any:
    """The records: a folder by `load_from_disk`, a file by the loader for its ending."""
    from datasets import load_dataset, load_from_disk

    path = Path(dataset)
    if path.is_dir():
        return load_from_disk(dataset)["train"]
    loader = {".jsonl": "json", ".csv": "csv", ".parquet": "parquet"}[path.suffix]
    return load_dataset(loader, data_files=dataset, split="train")


READERS = {
    "trl": trl,
    "studio": studio,
    "axolotl": lambda dataset, base: axolotl(dataset, base, message_field_training="training"),
    "axolotl-chat": axolotl,
    "axolotl-alpaca": lambda dataset, base: axolotl(dataset, base, type="alpaca"),
}

if __name__ == "__main__":
    trainer, base, *given = sys.argv[1:]
    print(json.dumps([READERS[trainer](dataset, base) for dataset in given]))
