"""Hugging Face: the LoRA in PEFT's form with its base, a model card, the dataset and a program that asks it."""

import shutil
from pathlib import Path

from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.resources import resource
from selfguide_lite.dataset_files import form_named, records, write_dataset
from selfguide_lite.export.package import SCHEMA, Package
from selfguide_lite.export.peft_files import PeftTarget, write_prompt

PROGRAM = "answer.py"


class Target(PeftTarget):
    """A PEFT folder that can be loaded, trained on and published."""

    summary = "a PEFT folder with its base, model card and dataset"

    def write(self, package: Package, folder: Path) -> None:
        """Write the prompt, the dataset and the program."""
        write_prompt(package, folder)
        form = form_named("pairs")
        write_dataset(records(package.task, package.pairs, form), form, folder / "dataset.jsonl")
        with atomic_write(folder / PROGRAM) as part:
            shutil.copyfile(resource("finetune/peft_answers.py"), part)

    def usage(self, package: Package) -> str:
        """Return the commands."""
        objects = ""
        if package.task.answer_schema is not None:
            objects = (
                f"\n`{SCHEMA}` is the JSON Schema of the answers. `{PROGRAM}` writes free text, which need not be "
                "such an object; a program with constrained decoding can be given the schema.\n"
            )
        return (
            "Needs torch, transformers and peft. `base` holds the model that the LoRA is for, as its GGUF has it.\n\n"
            f"```sh\npython {PROGRAM} 'an input'\n```\n\n"
            "```py\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'tokenizer = AutoTokenizer.from_pretrained("base")\n'
            'model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("base"), ".")\n```\n\n'
            "`prompt.json` has the messages that stand before an input; `dataset.jsonl` what it was trained on.\n"
            f"{objects}"
        )
