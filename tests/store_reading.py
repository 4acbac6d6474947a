"""The filters' rules read straightforwardly in Python, for the tests to compare the views with. No SQL here."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev

from selfguide_lite.core.settings import Settings
from selfguide_lite.task import Task, fold, last_label

_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@dataclass
class Text:
    """An input with its answers, in the order in which they were put in."""

    id: int
    text: str
    label: str | None = None  # that was asked for
    outputs: list[tuple[int, str, float]] = field(default_factory=list)  # id, text, weight


def lower(text: str) -> str:
    """Fold A to Z alone, as SQLite does."""
    return text.translate(_LOWER)


def too_long_or_short(text: str, examples: Sequence[str], settings: Settings) -> bool | None:
    """Whether the length filter rejects; None where it is too close to the bound for floats to tell."""
    lengths = [len(example) for example in examples]
    if settings.length_rule == "range":
        return not min(lengths) / settings.length_factor <= len(text) <= max(lengths) * settings.length_factor
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
    found = [
        term
        for term in task.noise_terms or ()
        if (
            any(line.startswith(lower(term[1:])) for line in lower(text).split("\n"))
            if term[0] == "^" and len(term) > 1
            else lower(term) in lower(text)
        )
    ]
    return min(found, key=str.encode) if found else None


def in_word(character: str) -> bool:
    """Whether a character belongs to a word with edges; Chinese has none."""
    return (character.isalnum() or character == "_") and not "\u2e80" <= character <= "\u9fff"


def names(text: str, label: str) -> bool:
    """Whether a text has a label as a whole word, at any place."""
    hay, needle = f" {fold(text)} ", fold(label)
    if needle not in hay:
        return False
    for start in range(1, len(hay) - len(needle)):
        before, after = hay[start - 1], hay[start + len(needle)]
        if hay.startswith(needle, start) and not (
            (in_word(before) and in_word(needle[0])) or (in_word(after) and in_word(needle[-1]))
        ):
            return True
    return False


def input_reasons(texts: Sequence[Text], task: Task, settings: Settings) -> dict[int, str | None]:
    """The first reason for which each input is rejected; `?` where a float cannot tell."""
    reasons: dict[int, str | None] = {}
    seen: set[str] = set()
    seeds = {fold(example.input) for example in task.examples}
    telling = [label for label in task.labels if not any(names(example.input, label) for example in task.examples)]
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
        elif settings.label_named_filter and any(names(shown.text, label) for label in telling):
            reason = "label_named"
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
    """The distinct answers with their shares of all outputs, the one that wins first."""
    weights: dict[str, float] = defaultdict(float)
    first: dict[str, int] = {}
    heaviest: dict[str, float] = defaultdict(float)
    for output_id, text, weight in shown.outputs:
        if output_reason(text, task, settings) is None:
            answer = (last_label(text, task.labels) or "") if task.labels else text
            weights[answer] += weight
            heaviest[answer] = max(heaviest[answer], weight)
            first.setdefault(answer, output_id)
    total = sum(weight for _, _, weight in shown.outputs)
    if settings.consistency_filter:
        order = sorted(weights, key=lambda answer: (-weights[answer], len(answer), first[answer]))
    else:
        order = sorted(weights, key=lambda answer: (-heaviest[answer], first[answer]))
    return [(answer, weights[answer] / total) for answer in order]


@dataclass
class Answer:
    """What an input is answered with; `unclear` where floats cannot tell."""

    answer: str
    share: float
    confidence: float
    unclear: bool = False


def priors(texts: Sequence[Text], task: Task, settings: Settings) -> tuple[dict[str, float], int]:
    """Each label's mean share over the kept inputs with a valid answer, and the number of these."""
    reasons = input_reasons(texts, task, settings)
    counted = [dict(votes(shown, task, settings)) for shown in texts if reasons[shown.id] is None]
    counted = [shares for shares in counted if shares]
    return {label: fmean(shares.get(label, 0.0) for shares in counted) for label in task.labels if counted}, len(
        counted
    )


def answers(texts: Sequence[Text], task: Task, settings: Settings) -> dict[int, Answer]:
    """Each input's answer, calibrated where that is on."""
    means, n = priors(texts, task, settings)
    calibrated = bool(settings.calibrate and task.labels and n and n >= settings.calibrate_min_inputs)
    found = {}
    for shown in texts:
        shares = votes(shown, task, settings)
        if not shares:
            continue
        leans = {
            label: share / means[label] * task.label_shares.get(label, 1.0) if calibrated and means[label] else 0.0
            for label, share in shares
        }
        if not sum(leans.values()):
            found[shown.id] = Answer(shares[0][0], shares[0][1], shares[0][1])
            continue
        best = max(leans, key=lambda label: leans[label])  # the first of those tied
        found[shown.id] = Answer(
            best,
            dict(shares)[best],
            leans[best] / sum(leans.values()),
            any(label != best and abs(lean - leans[best]) < 1e-9 for label, lean in leans.items()),
        )
    return found


def answer_reasons(texts: Sequence[Text], task: Task, settings: Settings) -> dict[int, str | None]:
    """The first reason for which the answer of each kept input is rejected."""
    taken = answers(texts, task, settings)
    reasons: dict[int, str | None] = {}
    asked = {shown.id: shown.label for shown in texts}
    kept = input_reasons(texts, task, settings)
    for i, answer in taken.items():
        if kept[i] is not None:
            continue
        if settings.consistency_filter and answer.confidence < settings.min_vote_share:
            reasons[i] = "share"
        elif answer.confidence < settings.min_confidence:
            reasons[i] = "confidence"
        else:
            reasons[i] = None
    if task.labels and settings.agreement_filter:
        passing = [i for i, reason in reasons.items() if reason is None]
        left = [taken[i].answer for i in passing if asked[i] in (None, taken[i].answer)]
        if min(left.count(label) for label in task.labels) >= settings.agreement_min_pairs:
            for i in passing:
                if asked[i] not in (None, taken[i].answer):
                    reasons[i] = "disagreement"
    return reasons
