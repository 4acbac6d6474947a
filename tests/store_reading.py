"""The filters' rules read straightforwardly in Python, for the tests to compare the views with. No SQL here."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev

from selfguide_lite.settings import Settings
from selfguide_lite.task import Task, fold, last_label

_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@dataclass
class Text:
    """An input with its answers, in the order in which they were put in."""

    id: int
    text: str
    outputs: list[tuple[int, str, float]] = field(default_factory=list)  # id, text, weight


def lower(text: str) -> str:
    """Fold A to Z alone, as SQLite does."""
    return text.translate(_LOWER)


def too_long_or_short(text: str, examples: Sequence[str], settings: Settings) -> bool | None:
    """Whether the length filter rejects; None where it is too close to the bound for floats to tell."""
    lengths = [len(example) for example in examples]
    mean, deviation = fmean(lengths), pstdev(lengths)
    if deviation == 0:
        width = max(settings.length_slack_min, settings.length_slack_share * mean)
    else:
        width = settings.length_deviations * deviation
    if abs(abs(len(text) - mean) - width) < 1e-6 and deviation > 0:
        return None
    return not mean - width < len(text) < mean + width


def noise(text: str, task: Task) -> str | None:
    """The noise term that is named: the first of those found, in the order of their UTF-8 bytes."""
    found = [term for term in task.noise_terms or () if lower(term) in lower(text)]
    return min(found, key=str.encode) if found else None


def input_reasons(texts: Sequence[Text], task: Task, settings: Settings) -> dict[int, str | None]:
    """The first reason for which each input is rejected; `?` where a float cannot tell."""
    reasons: dict[int, str | None] = {}
    seen: set[str] = set()
    seeds = {fold(example.input) for example in task.examples}
    for shown in texts:
        off = too_long_or_short(shown.text, [example.input for example in task.examples], settings)
        if not shown.text.strip():
            reason: str | None = "empty"
        elif settings.noise_filter and noise(shown.text, task):
            reason = "noise"
        elif settings.input_length_filter and off is None:
            reason = "?"
        elif settings.input_length_filter and off:
            reason = "length"
        elif fold(shown.text) in seeds:
            reason = "echo"
        elif fold(shown.text) in seen:
            reason = "duplicate"
        else:
            reason = None
            seen.add(fold(shown.text))
        reasons[shown.id] = reason
    return reasons


def output_reason(text: str, task: Task, settings: Settings) -> str | None:
    """The first reason for which an output is rejected."""
    off = too_long_or_short(text, [example.output for example in task.examples], settings)
    if not text.strip():
        return "empty"
    if settings.noise_filter and noise(text, task):
        return "noise"
    if settings.output_length_filter and off is None:
        return "?"
    if settings.output_length_filter and off:
        return "length"
    if task.labels and last_label(text, task.labels) is None:
        return "label"
    return None


def votes(shown: Text, task: Task, settings: Settings) -> list[tuple[str, float]]:
    """The distinct answers with their shares, the one taken first."""
    weights: dict[str, float] = defaultdict(float)
    first: dict[str, int] = {}
    heaviest: dict[str, float] = defaultdict(float)
    for output_id, text, weight in shown.outputs:
        if output_reason(text, task, settings) is None:
            answer = (last_label(text, task.labels) or "") if task.labels else text
            weights[answer] += weight
            heaviest[answer] = max(heaviest[answer], weight)
            first.setdefault(answer, output_id)
    total = sum(weights.values())
    if settings.consistency_filter:
        order = sorted(weights, key=lambda answer: (-weights[answer], len(answer), first[answer]))
    else:
        order = sorted(weights, key=lambda answer: (-heaviest[answer], first[answer]))
    return [(answer, weights[answer] / total) for answer in order]


def answers(texts: Sequence[Text], task: Task, settings: Settings) -> dict[int, str]:
    """Each input's consistent answer."""
    least = settings.min_share if settings.consistency_filter else 0
    found = {}
    for shown in texts:
        counted = votes(shown, task, settings)
        if counted and counted[0][1] >= least:
            found[shown.id] = counted[0][0]
    return found
