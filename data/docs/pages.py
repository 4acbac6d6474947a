"""The generated parts of docs/: tables made from the code, which cog writes into the pages (`make docs`)."""

import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from selfguide_lite.core.registry import ANSWER_STYLES, ARCHITECTURES, INPUT_STYLES, KINDS, TARGETS, TRAINERS
from selfguide_lite.core.setting_words import allowed, meaning, stages
from selfguide_lite.diagnosis import ADVICE
from selfguide_lite.experiments.tables import markdown_table
from selfguide_lite.export.targets import target_named
from selfguide_lite.finetune.memory import Shape, training_memory
from selfguide_lite.finetune.options import Bits, TrainOptions
from selfguide_lite.finetune.trainers import trainer_named
from selfguide_lite.gguf.architectures import architecture_named
from selfguide_lite.kinds import kind_named
from selfguide_lite.models.known import DEFAULT, KNOWN
from selfguide_lite.prompt_styles import input_style
from selfguide_lite.prompt_styles.answers import answer_style
from selfguide_lite.setting_list import default_of
from selfguide_lite.store import Store, filter_views
from selfguide_lite.store.browse import TABLES, description

GROUPS = {"generate": "Writing inputs", "annotate": "Answering", "filters": "Filters", "train": "Finetuning"}
# Where a setting is read beside the stage that its group names.
_READ = {
    "annotate_each_round": "`run`, `compare`, `search`",
    "output_max_tokens": "`annotate`, `evaluate`, `predict`, `export`",
    "calibrate_min_inputs": "`answer`, `train`",
    "given_weight": "`by_hand`, `filter_input_given`, `train`",
    "noise_list": "the rows of `noise_term`, made when a run begins",
    "answer_style": "`train`, `evaluate`, `predict`",
}
# Layers, width, feed-forward, width of the attention, width of keys, vocabulary, and whether the output is tied.
SHAPES = {
    "SmolLM2 135M": Shape(134_515_008, 30, 576, 1536, 576, 192, 49_152, True),
    "TinyLlama 1.1B": Shape(1_100_048_384, 22, 2048, 5632, 2048, 256, 32_000, False),
    "Vicuna 7B": Shape(6_738_415_616, 32, 4096, 11_008, 4096, 4096, 32_000, False),
    "Vicuna 13B": Shape(13_015_864_320, 40, 5120, 13_824, 5120, 5120, 32_000, False),
    "Llama 2 70B": Shape(68_976_648_192, 80, 8192, 28_672, 8192, 1024, 32_000, False),
}


def settings_tables() -> str:
    """Return every setting in Markdown, by group: type and range, default, what reads it, meaning."""
    parts: list[str] = []
    for stage, names in stages().items():
        rows = [
            (
                f"`{name}`",
                allowed(name),
                default_of(name),
                _READ.get(name) or (_views_reading(name) if stage == "filters" else f"`{stage}`"),
                meaning(name),
            )
            for name in names
        ]
        parts += [
            f"## {GROUPS[stage]}",
            "",
            markdown_table(("setting", "type and range", "default", "read by", "meaning"), rows),
            "",
        ]
    return "\n".join(parts).strip()


def _views_reading(name: str) -> str:
    """Name the views whose SQL, without its comments, uses a setting; `filter_setting` holds them all."""
    shipped = filter_views.view_files().items()
    code = {view: re.sub(r"--.*", "", sql) for view, sql in shipped if view != "filter_setting"}
    found = [view for view, sql in code.items() if re.search(rf"\bs\.{name}\b", sql)]
    found += [view for view, sql in code.items() if view not in found and re.search(rf"\b{name}\b", sql)]
    # What a view takes from another view is not read from the settings.
    direct = [view for view in found if "filter_setting" in code[view]]
    return ", ".join(f"`{view}`" for view in sorted(direct or found))


def kinds_table() -> str:
    """Return the kinds of task in Markdown, with the properties that the views and defaults go by."""

    def word(has: bool) -> str:
        return "yes" if has else "no"

    kinds = [(name, kind_named(name)) for name in KINDS.names()]
    return markdown_table(
        ("kind", "answer", "metric", "labelled", "parsed", "balanced", "structured"),
        [
            (
                f"`{name}`",
                kind.summary,
                kind.metric,
                word(kind.labelled),
                word(kind.parsed),
                word(kind.balanced),
                word(kind.structured),
            )
            for name, kind in kinds
        ],
    )


def input_styles_table() -> str:
    """Return the ways of asking for an input in Markdown."""
    return markdown_table(
        ("`input_style`", "what it is"), [(f"`{name}`", input_style(name).summary) for name in INPUT_STYLES.names()]
    )


def answer_styles_table() -> str:
    """Return the ways of asking for an answer in Markdown."""
    return markdown_table(
        ("`answer_style`", "what it is"), [(f"`{name}`", answer_style(name).summary) for name in ANSWER_STYLES.names()]
    )


def architectures_table() -> str:
    """Return the architectures that can be finetuned in Markdown, with the matrices that get a LoRA."""
    found = [(name, architecture_named(name)) for name in ARCHITECTURES.names()]
    return markdown_table(
        ("architecture", "models", "runs", "trains", "LoRA on"),
        [
            (f"`{name}`", model.models, "yes", "yes", ", ".join(f"`{target}`" for target in model.lora_targets()))
            for name, model in found
        ]
        + [("any other that llama.cpp loads", "such as mixtures of experts and recurrent models", "yes", "no", "")],
    )


def trainers_table() -> str:
    """Return what can train a LoRA in Markdown."""
    return markdown_table(
        ("`trainer`", "what it is"), [(f"`{name}`", trainer_named(name).summary) for name in TRAINERS.names()]
    )


def targets_table() -> str:
    """Return what a finetuned model can be exported to in Markdown."""
    return markdown_table(
        ("`--to`", "what it is", "`--merge`"),
        [
            (f"`{_TARGET_NAMES.get(name, name)}`", target_named(name).summary, _MERGES[target_named(name).merged])
            for name in TARGETS.names()
        ],
    )


_TARGET_NAMES = {"llama-cpp": "llama.cpp"}
_MERGES = {"never": "no", "may": "yes", "always": "always"}


def filters_table() -> str:
    """Return the shipped filters in Markdown, in the order in which the verdicts look at them."""
    files = filter_views.view_files()
    return markdown_table(
        ("filter", "what it does"),
        [
            (f"`{stage}_{name}`", re.split(r"(?<=[.:]) ", description(files[f"filter_{stage}_{name}"]))[0].rstrip(":."))
            for stage in filter_views.STAGES
            for name in filter_views.shipped_filters(stage)
        ],
    )


def store_tables() -> str:
    """Return the database's tables in Markdown, each with its columns."""
    return markdown_table(
        ("table", "what it holds", "columns"),
        [
            (f"`{name}`", TABLES[name], ", ".join(f"`{column}`" for column in columns))
            for name, columns in _columns("table")
        ],
    )


def store_views() -> str:
    """Return the database's views in Markdown, each with the comment on top of its file and its columns."""
    columns = dict(_columns("view"))
    lines: list[str] = []
    for name, sql in filter_views.view_files().items():
        lines += [f"### {name}", "", description(sql), "", "Columns: " + _listed(columns[name]) + ".", ""]
    return "\n".join(lines).strip()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _columns(kind: str) -> list[tuple[str, Sequence[str]]]:
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "empty.db") as store:
        names = [
            name
            for (name,) in store.connection.execute(
                "SELECT name FROM sqlite_master WHERE type = ? ORDER BY rowid", (kind,)
            )
            if not name.startswith(("sqlite_", "_sqlite"))
        ]
        return [(name, [row[1] for row in store.connection.execute(f'PRAGMA table_info("{name}")')]) for name in names]


def advice_table() -> str:
    """Return what helps against each reason why texts are lost, in Markdown."""
    stages: dict[str, list[str]] = {}
    for stage in filter_views.STAGES:
        for reason in filter_views.shipped_filters(stage):
            stages.setdefault(reason, []).append(stage)
    stages |= {"balance": ["dataset"], "unanswered": ["answer"]}
    return markdown_table(
        ("reason", "stage", "what helps"),
        [
            (f"`{reason}`", ", ".join(stages[reason]), re.sub(r"(--set \w+(=\w+)?)", r"`\1`", advice))
            for reason, advice in ADVICE.items()
        ],
    )


def models_table() -> str:
    """Return the models that have a short name in Markdown."""
    return markdown_table(
        ("short name", "model", "made by", "licence", "parameters", "file", "weights"),
        [
            (
                f"`{known.name}`" + (" (default)" if known.name == DEFAULT else ""),
                known.title,
                known.made_by,
                known.licence,
                known.parameters,
                known.size,
                known.weights,
            )
            for known in KNOWN.values()
        ],
    )


def need(shape: Shape, bits: Bits, batch: int, length: int) -> str:
    """Return what a training needs on an NVIDIA card by the estimate that `train` makes, in words.

    :param length: tokens of a row
    """
    options = TrainOptions(batch_size=batch)
    total = training_memory(options, shape, length, bits=bits, gradient_checkpointing=True, cuda=True).total
    return f"{total / 2**30:.1f} GiB"


def memory_table() -> str:
    """Return what a training needs on an NVIDIA card by the estimate that `train` makes, in Markdown."""
    return markdown_table(
        ("model", "4 bits, 1 x 2,048 tokens", "4 bits, 8 x 512 tokens", "16 bits, 1 x 2,048 tokens"),
        [
            (name, need(shape, 4, 1, 2048), need(shape, 4, 8, 512), need(shape, 16, 1, 2048))
            for name, shape in SHAPES.items()
        ],
    )
