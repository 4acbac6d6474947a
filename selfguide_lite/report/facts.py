"""What a report tells, read from the store's views. Draws nothing."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.progress import FunnelRow, TrainStep
from selfguide_lite.diagnosis import Loss, losses
from selfguide_lite.evaluate.by_field import FieldScores, scores_by_method
from selfguide_lite.evaluate.data_quality import Quality, data_quality
from selfguide_lite.evaluate.evaluation import (
    Change,
    Evaluation,
    changes,
    confusion,
    macro_f1_of,
    stored_evaluation,
)
from selfguide_lite.evaluate.statistics import Gain
from selfguide_lite.methods.names import FEW_SHOT, SELF_ICL, ZERO_SHOT, is_finetuned, parts
from selfguide_lite.store import LengthBound, Store, VerdictRow
from selfguide_lite.store.fields import FieldSummary, field_summary
from selfguide_lite.store.versions import Version, versions
from selfguide_lite.task import Task, fold

SAMPLES = 600  # rows in the searchable table at most
_TWINS = 30
_CHANGES = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """A generated input and what happened to it.

    :param verdict: `pair`, `balance` or `no answer` where a kept input is no pair, or the reason why it was dropped
    :param detail: of the reason
    :param answer: the consistent answer, None where there is none
    :param share: of the votes
    """

    id: int
    text: str
    verdict: str
    detail: str
    answer: str | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths in characters of one part, `input` or `output`: each with the number of texts that have it."""

    part: str
    seed: list[int]
    kept: Counter[int]
    dropped: Counter[int]
    bound: LengthBound | None


@dataclass(frozen=True, slots=True)
class Shares:
    """How sure the answers are: the share of the votes that each has, calibrated where calibration is on.

    :param steps: answers in each of 20 steps of five percent
    :param under: answers under the least share
    :param sure: answers over 90 %
    """

    steps: list[int]
    under: int
    sure: int

    @property
    def n(self) -> int:
        """How many answers there are."""
        return sum(self.steps)


@dataclass(frozen=True, slots=True)
class Twin:
    """Two kept inputs that resemble each other.

    :param similarity: Jaccard index of their character shingles
    """

    similarity: float
    id: int
    text: str
    other_id: int
    other: str


@dataclass(frozen=True, slots=True)
class Labels:
    """Counts by label: asked for while writing inputs, found by the vote, in the dataset."""

    names: list[str]
    asked: list[int]
    voted: list[int]
    dataset: list[int]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """How a stage was made."""

    id: int
    stage: str
    reason: str
    model: str
    sha256: str
    seed: int | None
    settings: dict[str, Any]
    template: str
    template_sha256: str
    version: str
    started: str
    finished: str


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a report shows of one task.

    :param losses: texts by the reason why they were rejected, the largest number first
    :param shares: that the inputs' answers have of the votes
    :param min_vote_share: that an answer needs
    :param evaluations: the newest of every method
    :param macro_f1: of these, by method, for classification
    :param fields: of these, by method, where answers are objects
    :param field_summary: what the answers hold, by field, the whole object last
    :param gain: over the best prompting
    :param verdict: the sentence that says whether it is better; empty where there is none
    :param before: the prompting that is compared with
    :param after: the finetuned variant that is
    :param confusion: by `after`: how often a right label was answered with a label, or with none
    :param quality: what people said of a random sample, by whether and why texts were dropped
    :param versions: of the task, oldest first, each with its newest verdict
    """

    task: Task
    database: str
    funnel: list[FunnelRow]
    losses: list[Loss]
    lengths: list[Lengths]
    shares: Shares
    min_vote_share: float
    labels: Labels | None
    twins: list[Twin]
    texts: int
    samples: list[Sample]
    steps: list[TrainStep]
    evaluations: list[Evaluation]
    macro_f1: dict[str, float]
    fields: dict[str, FieldScores]
    field_summary: list[FieldSummary]
    gain: Gain | None
    verdict: str
    before: str
    after: str
    fixed: list[Change]
    broken: list[Change]
    n_fixed: int
    n_broken: int
    confusion: dict[tuple[str, str | None], int]
    runs: list[RunFacts]
    quality: list[Quality]
    versions: list[Version]


def collect(store: Store, task_id: int) -> Facts:
    """Read what a report needs.

    :raises SelfguideError: where nothing was generated yet
    """
    task = store.task(task_id)
    texts = store.input_count(task_id)
    if not texts:
        raise SelfguideError(f"{store.path}: nothing was generated yet; start with `selfguide run`")
    verdict = store.latest_verdict(task_id)
    evaluations = _newest(store, task_id, verdict)
    before, after = _compared(evaluations, verdict)
    changed = changes(before, after) if before is not None and after is not None else []
    fixed = [change for change in changed if change.difference > 0]
    broken = [change for change in reversed(changed) if change.difference < 0]
    least = float(store.settings(task_id).get("min_vote_share", 0))
    funnel = store.funnel(task_id)
    return Facts(
        task=task,
        database=store.path.name,
        funnel=funnel,
        losses=losses(funnel),
        lengths=_lengths(store, task, task_id),
        shares=_shares(store, task_id, least),
        min_vote_share=least,
        labels=_labels(store, task, task_id),
        twins=_twins(store, task_id),
        texts=texts,
        samples=_samples(store, task_id, texts),
        steps=_steps(store, task_id),
        evaluations=evaluations,
        macro_f1={one.method: macro_f1_of(task, one) for one in evaluations} if task.rules.labelled else {},
        fields=scores_by_method(task, evaluations),
        field_summary=field_summary(store, task_id),
        gain=_gain(before, after, verdict),
        verdict=verdict.sentence if verdict is not None else "",
        before=before.method if before is not None else "",
        after=after.method if after is not None else "",
        fixed=fixed[:_CHANGES],
        broken=broken[:_CHANGES],
        n_fixed=len(fixed),
        n_broken=len(broken),
        confusion=confusion(task, after.predictions) if task.rules.labelled and after is not None else {},
        runs=_runs(store, task_id),
        quality=data_quality(store, task_id),
        versions=versions(store, task_id),
    )


def _newest(store: Store, task_id: int, verdict: VerdictRow | None) -> list[Evaluation]:
    """Return the newest finished evaluation of every method, those of the verdict's rows alone where there is one."""
    digest = verdict.data_sha256 if verdict is not None else ""
    finished = [row for row in store.evaluations(task_id) if None not in (row.mean, row.low, row.high)]
    newest = {(row.method, row.metric): row for row in finished if not digest or row.data_sha256 == digest}
    # Prompting first; a method has the place of its first evaluation.
    return [stored_evaluation(store, row) for row in sorted(newest.values(), key=lambda row: is_finetuned(row.method))]


def _compared(
    evaluations: Sequence[Evaluation], verdict: VerdictRow | None
) -> tuple[Evaluation | None, Evaluation | None]:
    """Return the best prompting's evaluation and the best one after the finetune, on the same number of rows."""
    after = max((one for one in evaluations if is_finetuned(one.method)), key=lambda one: one.mean, default=None)
    others = [one for one in evaluations if parts(one.method)[0] in (ZERO_SHOT, FEW_SHOT, SELF_ICL)]
    others = [one for one in others if after is None or len(one.scores) == len(after.scores)]
    if verdict is None:  # an old database: the comparison was with few-shot prompting
        others = [one for one in others if one.method == FEW_SHOT]
    elif verdict.over is not None:
        others = [one for one in others if one.method == verdict.over]
    return max(others, key=lambda one: one.mean, default=None), after


def _gain(before: Evaluation | None, after: Evaluation | None, verdict: VerdictRow | None) -> Gain | None:
    """Return the gain that the verdict found, or the plain one of an old database, which has no verdict."""
    if before is None or after is None:
        return None
    if verdict is None:
        with suppress(SelfguideError):  # no row in common
            return after.gain_over(before)
        return None
    numbers = (verdict.before, verdict.after, verdict.low, verdict.high)
    if verdict.over is None or None in numbers:
        return None
    return Gain(verdict.metric, verdict.n, verdict.over, *(number or 0.0 for number in numbers))


def _lengths(store: Store, task: Task, task_id: int) -> list[Lengths]:
    bounds = {bound.part: bound for bound in store.length_bounds(task_id)}
    inputs = store.text_lengths(task_id, "input")
    outputs = store.text_lengths(task_id, "output")
    return [
        Lengths(
            part,
            [len(example.input if part == "input" else example.output) for example in task.examples],
            Counter({length: n for length, kept, n in rows if kept}),
            Counter({length: n for length, kept, n in rows if not kept}),
            bounds.get(part),
        )
        for part, rows in (("input", inputs), ("output", outputs))
        if rows and not (part == "output" and task.rules.labelled)
    ]


def _shares(store: Store, task_id: int, least: float) -> Shares:
    steps, under, sure = [0] * 20, 0, 0
    for step, n, low, high in store.confidence_counts(task_id, least):
        steps[step] += n
        under += low
        sure += high
    return Shares(steps, under, sure)


def _labels(store: Store, task: Task, task_id: int) -> Labels | None:
    if not task.rules.labelled:
        return None

    def count(where: Literal["asked", "answered", "paired"]) -> list[int]:
        found = Counter({fold(str(label)): n for label, n in store.label_counts(task_id, where).items()})
        return [found[fold(label)] for label in task.labels]

    return Labels(list(task.labels), count("asked"), count("answered"), count("paired"))


def _twins(store: Store, task_id: int) -> list[Twin]:
    return [Twin(*row) for row in store.near_twins(task_id, _TWINS)]


def _samples(store: Store, task_id: int, texts: int) -> list[Sample]:
    """Return inputs evenly from the first to the last, or all where there are few.

    :param texts: how many there are
    """
    made = []
    for number, text, reason, detail, answer, share, pair in store.input_outcomes(task_id, math.ceil(texts / SAMPLES)):
        verdict = reason or ("pair" if pair else "no answer" if answer is None else "balance")
        made.append(Sample(number, text, verdict, detail or "", answer, share))
    return made


def _steps(store: Store, task_id: int) -> list[TrainStep]:
    run_id = store.last_training(task_id)
    return store.train_steps(run_id) if run_id is not None else []


def _runs(store: Store, task_id: int) -> list[RunFacts]:
    rows = store.runs_of(task_id)
    made = []
    for number, stage, reason, model, sha256, seed, settings, *rest in rows:
        template, template_sha256, version, started, finished = (str(value or "") for value in rest)
        made.append(
            RunFacts(
                id=number,
                stage=stage,
                reason=reason or "unfinished",
                model=model or "",
                sha256=sha256 or "",
                seed=seed,
                settings=json.loads(settings or "{}"),
                template=template,
                template_sha256=template_sha256,
                version=version,
                started=started,
                finished=finished,
            )
        )
    return made
