"""The card of an exported model: what it is, how much it gains, what it is not good for. Texts in it stay texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfguide_lite.core.text import neutral
from selfguide_lite.task import Task

_SHOWN = 300  # characters of an instruction


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a finetuned model.

    :param base: the model's name, `base_sha256` its file's hash
    :param licence: of that model; None where it is not known
    :param pairs: that it was trained on; None where that was not written down
    :param lengths: characters of the shortest and the longest input that it was trained on; None where there is none
    :param by_hand: of the pairs, how many a person gave or changed
    :param gain: how much it gains over which prompting, in words; None where it was not measured
    :param verdict: the result of the comparison, in a sentence
    :param method: what `predict` uses
    """

    base: str
    base_sha256: str
    licence: str | None
    pairs: int | None
    lengths: tuple[int, int] | None
    by_hand: int
    gain: str | None
    verdict: str
    method: str
    version: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the replay of an export found, in sentences.

    :param lines: one for each finding
    :param other: how the labels or objects in its texts differ from what `predict` answers; None where answers are free
    """

    lines: Sequence[str]
    other: str | None = None
    merged: str | None = None


def card(task: Task, facts: Facts, outcome: Outcome) -> str:
    """Return the card in Markdown."""
    licence = _plain(facts.licence) if facts.licence else "not known here: look it up before you pass the model on"
    rows = [
        ("task", f"{_code(task.name)}, {_code(task.kind)}"),
        ("base model", f"{_code(facts.base)}, SHA-256 `{facts.base_sha256}`"),
        ("licence of the base model", licence),
        ("trained on", f"{_count(facts)} by a LoRA"),
        ("gain", _plain(facts.gain or "not measured")),
        ("verdict", _plain(facts.verdict)),
        ("made with", f"selfguide-lite {facts.version}"),
    ]
    table = ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in rows)]
    names = [field.name for field in task.output_schema.fields] if task.output_schema else task.labels
    answers = f"\n{'Fields' if task.output_schema else 'Labels'}: {', '.join(map(_code, names))}\n" if names else ""
    return "\n".join(
        [
            f"# {_heading(task.name)}",
            "",
            *table,
            "",
            "The instruction:",
            "",
            *(f"    {line}" for line in neutral(_cut(task.instruction), keep_lines=True).split("\n")),
            answers,
            "## Checked after writing",
            "",
            *(f"- {_plain(line)}" for line in (*outcome.lines, outcome.other, outcome.merged) if line),
            "",
            "## What it is not good for",
            "",
            *(f"- {line}" for line in _limits(task, facts)),
            "",
        ]
    )


def front_matter(task: Task, facts: Facts) -> str:
    """Return the head of a model card on a model hub."""
    import yaml

    values: dict[str, Any] = {
        "library_name": "peft",
        "tags": ["lora", "selfguide-lite", neutral(task.kind)],
        "pipeline_tag": "text-generation",
    }
    if facts.licence:
        values["license"] = facts.licence.lower()
    return f"---\n{yaml.safe_dump(values, sort_keys=False)}---\n"


def _limits(task: Task, facts: Facts) -> list[str]:
    found = [
        "Any other task: it was trained on this instruction alone. It is no chat model any more.",
        "Inputs of another kind than those that it was trained on. Most of these were written by the base model "
        "itself, so its errors and leanings are in them.",
    ]
    if facts.lengths is not None:
        low, high = facts.lengths
        found.append(f"Inputs of another length: those that it was trained on have {low} to {high} characters.")
    if task.rules.labelled:
        found.append("Inputs to which no label applies: it answers with one all the same.")
        found.append(f"Knowing how sure it is: `predict` ({_plain(facts.method)}) scores all labels, a text does not.")
    else:
        found.append("Facts: what it writes may be wrong.")
    if task.rules.structured:
        found.append("Texts that say nothing of a field which is not optional: it gives a value all the same.")
    if facts.gain is None:
        found.append("Anything that matters, before it is measured: nothing is known of how good its answers are.")
    found.append("Decisions on people without a person who looks at them.")
    return found


def _count(facts: Facts) -> str:
    known = "an unknown number of pairs" if facts.pairs is None else f"{facts.pairs:,} pairs"
    return known + (f", {facts.by_hand:,} of them given or changed by a person," if facts.by_hand else "")


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _code(text: str) -> str:
    return f"`{neutral(text).replace('`', chr(39))}`"


def _heading(text: str) -> str:
    """A text as a heading: nothing in it is markup."""
    return "".join(f"\\{one}" if one in "\\`*_{}[]<>()#+-.!|&~" else one for one in neutral(text))


def _plain(text: str) -> str:
    """A text in a sentence: no element, link or picture. Words between backticks stay code."""
    return "".join(f"\\{one}" if one in "\\<>[]&" else one for one in neutral(text))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
