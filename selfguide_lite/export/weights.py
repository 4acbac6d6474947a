"""Puts a finetuned model's weights into an export's folder, in the form that its target takes."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.files import atomic_write, scratch
from selfguide_lite.export.peft_files import BASE
from selfguide_lite.gguf.merge import merge
from selfguide_lite.gguf.quantize import FILE_TYPES, quantize, quantized_size
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.to_hf import EXACT_BYTES, MARKER, hf_folder

MODEL, ADAPTER = "model.gguf", "adapter.gguf"
_NOT_TRIED = ("f32", "bf16", "f16")  # for `auto`: the last is taken where no smaller one will do
_LORA = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the weights come from.

    :param lora: the training's folder in PEFT's form; None where it is gone
    :param template: the chat template in use, for files that have none
    """

    base: Path
    adapter: Path
    lora: Path | None
    template: str


def copied(source: Path, target: Path) -> None:
    """Copy a file; where the file system can, the copy shares its blocks and takes no room of its own.

    :raises SelfguideError: where the place cannot be written to
    """
    with atomic_write(target) as part, source.open("rb") as read, part.open("wb") as written:
        left = os.fstat(read.fileno()).st_size
        try:
            while left > 0 and (done := os.copy_file_range(read.fileno(), written.fileno(), left)):
                left -= done
        except OSError:  # between some file systems the kernel does not copy
            read.seek(0)
            written.seek(0)
            shutil.copyfileobj(read, written, 2**20)


def place_gguf(sources: Sources, folder: Path, kind: str | None) -> None:
    """Write `model.gguf`, and `adapter.gguf` where nothing is merged.

    :param kind: the type of a merged model, such as `q8_0`; None: adapter and model apart
    :raises SelfguideError: as `merge`, or where the disk is full
    """
    if kind is not None:
        merge(sources.base, sources.adapter, folder / MODEL, kind, chat_template=sources.template)
        return
    copied(sources.base, folder / MODEL)
    copied(sources.adapter, folder / ADAPTER)


def place_smallest(sources: Sources, folder: Path, fits: Callable[[Path, str, int], bool]) -> str:
    """Write the smallest merged model that will do, and return its type.

    :param fits: told a model's file, its type and size in bytes, it says whether its answers are good enough
    """
    with GgufFile(sources.base) as gguf:
        plain = "f32" if sum(info.elements for info in gguf.tensors.values()) * 4 <= EXACT_BYTES else "f16"
    with scratch(folder / f"{MODEL}.whole") as whole:
        merge(sources.base, sources.adapter, whole, plain, chat_template=sources.template)
        for size, kind in sorted((quantized_size(whole, kind), kind) for kind in FILE_TYPES if kind not in _NOT_TRIED):
            with atomic_write(folder / MODEL) as part:
                quantize(whole, part, kind)
            if fits(folder / MODEL, kind, size):
                return kind
    place_gguf(sources, folder, "f16")
    return "f16"


def place_peft(sources: Sources, folder: Path) -> None:
    """Write the LoRA in PEFT's form, and the model that it is for into the folder `base`.

    :raises SelfguideError: where the training's files are gone, or the model has no Hugging Face form
    """
    if sources.lora is None:
        raise SelfguideError(
            f"{sources.adapter}: the files of its training are gone, which this target needs; train again, or export "
            "the GGUF with --to llama.cpp"
        )
    config: dict[str, Any] = json.loads((sources.lora / _LORA[0]).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = BASE
    with atomic_write(folder / _LORA[0]) as part:
        part.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    copied(sources.lora / _LORA[1], folder / _LORA[1])
    base = hf_folder(sources.base)
    for path in sorted(base.iterdir()):
        if path.is_file() and path.name != MARKER:
            copied(path, folder / BASE / path.name)
    tokenizer = folder / BASE / "tokenizer_config.json"
    settings: dict[str, Any] = json.loads(tokenizer.read_text(encoding="utf-8"))
    if not settings.get("chat_template"):
        with atomic_write(tokenizer) as part:
            part.write_text(json.dumps(settings | {"chat_template": sources.template}, indent=1), encoding="utf-8")
