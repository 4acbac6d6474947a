"""What is exported: which adapter, for which model, with which prompt, and what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.version import __version__
from selfguide_lite.export.card import Facts
from selfguide_lite.export.package import Package
from selfguide_lite.export.prompt_text import PromptText
from selfguide_lite.export.replay import Rows
from selfguide_lite.export.targets import Target
from selfguide_lite.export.weights import Sources
from selfguide_lite.gguf.adapter import check_adapter, read_adapter
from selfguide_lite.gguf.check import check_model
from selfguide_lite.gguf.quantize import FILE_TYPES
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.llama import DEFAULT_CONTEXT
from selfguide_lite.llm.native import Model
from selfguide_lite.llm.templates import template_of
from selfguide_lite.methods.asking import answer_prompt
from selfguide_lite.methods.names import is_finetuned
from selfguide_lite.models import KNOWN, PackageFile
from selfguide_lite.prediction import Way, choose_way
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_files import adapter_file, base_file, known_adapter, trained_pairs, training_of
from selfguide_lite.store import Adapter, Store
from selfguide_lite.task import Task
from selfguide_lite.trainings import AdapterFacts

AUTO = "auto"
_USUAL_MERGE = "q8_0"  # where a target takes a merged model alone


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is exported, and how.

    :param target: name of the target, such as `ollama`
    :param merge: the type in which adapter and model are written as one; `auto`: the smallest that answers alike; None:
        apart, or as is usual for a target that takes one file
    :param adapter: number or file of an adapter; None: the newest, where it won over prompting
    :param model: the GGUF that the adapter is for; None: as the database has it
    :param out: the folder; None: named after task and target, in the current folder
    :param rows: to replay at most
    :param max_changed: share of answers that rounding may change, for `auto`
    :param force: replace the folder if it is there
    """

    target: str
    task: str | None = None
    merge: str | None = None
    adapter: str | None = None
    model: Path | None = None
    out: Path | None = None
    rows: int = 24
    max_changed: float = 0.02
    force: bool = False
    prompts: Prompts = field(default_factory=Prompts)

    def merge_kind(self, target: Target) -> str | None:
        """Return the type that adapter and model are merged into; None: they stay apart.

        :raises SelfguideError: where the target does not take it, or there is no such type
        """
        given = self.merge.lower() if self.merge else None
        if given is not None and target.merged == "never":
            raise SelfguideError(f"--merge: {self.target} takes the LoRA apart from its base; leave --merge away")
        if given is not None and given != AUTO and given not in FILE_TYPES:
            raise SelfguideError(f"--merge: there is no type {given!r}; there are: {AUTO}, {', '.join(FILE_TYPES)}")
        return given or (_USUAL_MERGE if target.merged == "always" else None)


@dataclass(frozen=True, slots=True)
class Choice:
    """All that an export needs of a database.

    :param way: in which `predict` answers with the adapter
    """

    way: Way
    sources: Sources
    package: Package
    rows: Rows
    prompts: Prompts

    @property
    def task(self) -> Task:
        """The task that the model is for."""
        return self.package.task

    @classmethod
    def of(cls, store: Store, options: ExportOptions, kind: str | None) -> Self:
        """Choose the adapter, and look up what is known of it.

        :param kind: the type that is merged into
        :raises SelfguideError: where something is missing, or prompting won and no adapter is named
        """
        prompts = options.prompts
        task_id = store.only_task_id(options.task)
        task = store.task(task_id)
        known = known_adapter(store, task_id, options.adapter)
        if options.adapter is None and known is not None:
            _check_won(store, task_id, known)
        adapter = adapter_file(store, task_id, options.adapter)
        base = base_file(store, task_id, options.model, options.adapter)
        check_model(base)
        check_adapter(adapter, base)
        way = choose_way(store, task_id, prompts, None, known.id if known else adapter, options.model)
        text, context, template = _prompt_text(task, prompts, way.style, base)
        max_tokens = task.rules.resolve(task.settings).output_max_tokens
        lora = training_of(store, task_id, known) if known else None
        learnt = known.pairs if known and known.pairs is not None else trained_pairs(lora) if lora else None
        facts = _facts(store, task_id, known, base, way, learnt)
        rank = next(iter(read_adapter(adapter).pairs.values()))[0].shape[0]
        package = Package(task, text, facts, kind, context, max_tokens, rank, template, store.pairs(task_id))
        inputs = _inputs(store, task_id, options.rows)
        ask = answer_prompt(prompts, way.style)
        rows = Rows(inputs, [ask(task, given) for given in inputs], max_tokens)
        return cls(way, Sources(base, adapter, lora, template), package, rows, prompts)


def _check_won(store: Store, task_id: int, known: Adapter) -> None:
    """Refuse to choose an adapter that prompting is as good as.

    :raises SelfguideError: with the verdict, and what to do
    """
    verdict = store.latest_verdict(task_id, known.id)
    if verdict is None or verdict.winner_id is None or verdict.low is None:
        return
    method = store.way_of(verdict.winner_id).method
    if not is_finetuned(method):
        raise SelfguideError(
            f"{verdict.sentence}: the comparison chose {method}, which needs no finetuned model. To export the adapter "
            f"all the same, name it: --adapter {known.id}"
        )


def _prompt_text(task: Task, prompts: Prompts, style: str, base: Path) -> tuple[PromptText, int, str]:
    """Return the prompt taken apart, the tokens of a context, and the chat template in use."""
    with GgufFile(base) as gguf:
        context = min(int(gguf.get("context_length", DEFAULT_CONTEXT)), DEFAULT_CONTEXT)
    model = Model(base, vocab_only=True)
    try:
        return PromptText.of(task, prompts, style, ChatFormat.of(model)), context, template_of(model)
    finally:
        model.close()


def _facts(store: Store, task_id: int, known: Adapter | None, base: Path, way: Way, learnt: int | None) -> Facts:
    pairs = store.pairs(task_id)
    lengths = [len(pair.input) for pair in pairs]
    verdict = store.latest_verdict(task_id, known.id) if known else None
    with GgufFile(base) as gguf:
        name, licence = gguf.metadata.get("general.name"), gguf.metadata.get("general.license")
    sha256 = file_sha256(base)
    if card := next((one for one in KNOWN.values() if _is_source(one.source, base, sha256)), None):
        name, licence = card.title, card.licence
    facts = AdapterFacts(known, base.stem, verdict, True) if known else None
    return Facts(
        base=str(name or base.stem),
        base_sha256=sha256,
        licence=str(licence) if licence else None,
        pairs=learnt,
        lengths=(min(lengths), max(lengths)) if lengths else None,
        by_hand=sum(pair.by_hand is not None for pair in pairs),
        gain=facts.gain if facts and verdict and verdict.low is not None else None,
        verdict=verdict.sentence if verdict else "Not compared with prompting",
        method=way.method,
        version=__version__,
    )


def _is_source(source: object, base: Path, sha256: str) -> bool:
    """Tell whether a file is a known model's, by its content or, of one from a hub, by its name."""
    if isinstance(source, PackageFile):
        return source.sha256 == sha256
    return str(getattr(source, "file", "")) == base.name


def _inputs(store: Store, task_id: int, most: int) -> Sequence[str]:
    """Return what a replay asks: evaluation rows, else pairs, else the task's examples, spread over all of them."""
    found: list[str] = []
    for evaluation in reversed(store.evaluations(task_id)):
        found = [one.input for one in store.predictions(evaluation.id)]
        if found:
            break
    found = found or [pair.input for pair in store.pairs(task_id)]
    found = list(dict.fromkeys(found or [example.input for example in store.task(task_id).examples]))
    step = max(1.0, len(found) / max(1, most))
    return [found[int(place * step)] for place in range(min(len(found), max(1, most)))]
