"""What a model file is, and what it needs: told from its header and its vocabulary, without its weights."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.text import size
from selfguide_lite.finetune.memory import training_memory
from selfguide_lite.finetune.options import TrainOptions
from selfguide_lite.finetune.precision import LARGE
from selfguide_lite.finetune.training import shape_of
from selfguide_lite.gguf.check import check_model
from selfguide_lite.gguf.geometry import geometry
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.trainable import why_not_trainable
from selfguide_lite.llm.llama import DEFAULT_CONTEXT
from selfguide_lite.llm.native import Model
from selfguide_lite.llm.templates import template_name
from selfguide_lite.llm.working_copy import copy_bytes

_COMPUTE_BYTES = 2**28  # llama.cpp's buffers
_ROW_TOKENS = 512  # prompt and answer of the training that memory is told for


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A model file.

    :param quantization: the type that most weights have, and the others
    :param chat_template: where its chat format comes from
    :param untrainable: why it cannot be finetuned here, None where it can
    :param run_bytes: of memory, to write and answer with it or its working copy in a context of at most 4,096 tokens
    :param train_bytes: of memory, to finetune it on a processor with rows of 512 tokens and the default settings
    """

    path: str
    name: str
    architecture: str
    parameters: int
    file_bytes: int
    quantization: str
    context: int
    chat_template: str
    license: str | None
    untrainable: str | None
    run_bytes: int
    train_bytes: int | None

    def as_json(self) -> dict[str, Any]:
        """Return the report for a program to read."""
        return asdict(self)

    def lines(self) -> list[tuple[str, str]]:
        """Return the report for people, as names and values."""
        train = "cannot be trained here"
        if self.train_bytes is not None:
            train = f"about {size(self.train_bytes)} (on a processor, rows of {_ROW_TOKENS} tokens)"
        return [
            ("file", f"{self.path}, {size(self.file_bytes)}"),
            ("name", self.name),
            ("architecture", f"{self.architecture}, {self.parameters / 1e6:,.1f}M parameters"),
            ("quantization", self.quantization),
            ("context", f"{self.context:,} tokens"),
            ("chat template", self.chat_template),
            ("licence", self.license or "the file does not say"),
            ("finetuning", "yes" if self.untrainable is None else f"no: {self.untrainable}"),
            ("memory to run", f"about {size(self.run_bytes)}"),
            ("memory to train", train),
        ]


def model_report(path: Path) -> ModelReport:
    """Look at a model file.

    :raises SelfguideError: where it is missing, damaged, or no language model
    """
    check_model(path)
    untrainable = why_not_trainable(path)
    vocabulary = Model(path, vocab_only=True)
    template = template_name(vocabulary)
    vocabulary.close()
    with GgufFile(path) as gguf:
        kinds: Counter[str] = Counter()
        for info in gguf.tensors.values():
            kinds[info.kind.name] += info.elements
        parameters = sum(kinds.values())
        context = int(gguf.get("context_length", 0))
        weights = sum(info.bytes for info in gguf.tensors.values())
        train_bytes = None
        if untrainable is None:
            shape = shape_of(gguf)
            large = shape.parameters >= LARGE
            need = training_memory(
                TrainOptions(),
                shape,
                _ROW_TOKENS,
                bits=16,
                gradient_checkpointing=large,
                cuda=False,
            )
            train_bytes = need.total
        fields = gguf.metadata
        computed = max(weights, copy_bytes(path))
        return ModelReport(
            path=str(path),
            name=str(fields.get("general.name", path.stem)),
            architecture=gguf.architecture,
            parameters=parameters,
            file_bytes=path.stat().st_size,
            quantization=", ".join(f"{kind} {count / parameters:.0%}" for kind, count in kinds.most_common(3)),
            context=context,
            chat_template=template,
            license=str(found) if (found := fields.get("general.license")) else None,
            untrainable=untrainable,
            run_bytes=computed + _cache_bytes(gguf, min(context, DEFAULT_CONTEXT)) + _COMPUTE_BYTES,
            train_bytes=train_bytes,
        )


def _cache_bytes(gguf: GgufFile, cells: int) -> int:
    """Return the bytes of a KV cache in 16 bits; 0 where the shape is not a plain decoder's."""
    try:
        shape = geometry(gguf)
    except SelfguideError:
        return 0
    return 2 * 2 * cells * shape.layers * shape.kv
