"""What a report tells, read from the store's views. Draws nothing."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.progress import FunnelRow, TrainStep
from selfguide_lite.evaluate.evaluation import answered_labels
from selfguide_lite.evaluate.statistics import Gain, paired_gain
from selfguide_lite.methods.names import FEW_SHOT, SELF_ICL, ZERO_SHOT, is_finetuned, parts
from selfguide_lite.metrics import macro_f1
from selfguide_lite.store import EvaluationRow, LengthBound, Prediction, Store, VerdictRow, summaries
from selfguide_lite.store.verdicts import latest_verdict
from selfguide_lite.task import Task, fold

SAMPLES = 600  # rows in the searchable table at most
_TWINS = 30
_CHANGES = 20


@dataclass(frozen=True, slots=True)
class Sample:
    """A generated input and what became of it.

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
    """Lengths in characters of one part, `input` or `output`."""

    part: str
    seed: list[int]
    kept: list[int]
    dropped: list[int]
    bound: LengthBound | None


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
class Change:
    """An evaluated example whose score the finetune changed."""

    input: str
    references: tuple[str, ...]
    before: str
    after: str
    before_score: float
    after_score: float


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

    :param shares: that each input's answer has of the votes, calibrated where calibration is on
    :param min_vote_share: that an answer needs
    :param evaluations: the newest of every method
    :param macro_f1: of these, by their ids, for classification
    :param gain: over the best prompting
    :param verdict: the sentence that says whether it is better; empty where there is none
    :param before: the prompting that is compared with
    :param after: the finetuned variant that is
    :param confusion: by `after`: right label, answered label (or ``-``), count
    """

    task: Task
    database: str
    funnel: list[FunnelRow]
    lengths: list[Lengths]
    shares: list[float]
    min_vote_share: float
    labels: Labels | None
    twins: list[Twin]
    texts: int
    samples: list[Sample]
    steps: list[TrainStep]
    evaluations: list[EvaluationRow]
    macro_f1: dict[int, float]
    gain: Gain | None
    verdict: str
    before: str
    after: str
    fixed: list[Change]
    broken: list[Change]
    n_fixed: int
    n_broken: int
    confusion: list[tuple[str, str, int]]
    runs: list[RunFacts]


def collect(store: Store, task_id: int) -> Facts:
    """Read what a report needs.

    :raises SelfguideError: where nothing was generated yet
    """
    task = store.task(task_id)
    texts = summaries.input_count(store, task_id)
    if not texts:
        raise SelfguideError(f"{store.path}: nothing was generated yet; start with `selfguide run`")
    verdict = latest_verdict(store, task_id)
    evaluations = _newest(store, task_id, verdict)
    before, after = _compared(evaluations, verdict)
    changed: list[Change] = []
    gain = None
    if before is not None and after is not None:
        pairs = _matched(store.predictions(before.id), store.predictions(after.id))
        if pairs:
            plain = paired_gain(
                [old.score for old, _ in pairs], [new.score for _, new in pairs], after.metric, before.method
            )
            # In old databases nothing was cross-fitted, and there was but one prompting.
            gain = plain if verdict is None else _gain(verdict)
            changed = [
                Change(old.input, old.references, old.text, new.text, old.score, new.score)
                for old, new in pairs
                if old.score != new.score
            ]
    fixed = sorted((c for c in changed if c.after_score > c.before_score), key=lambda c: c.before_score - c.after_score)
    broken = sorted(
        (c for c in changed if c.after_score < c.before_score), key=lambda c: c.after_score - c.before_score
    )
    shares = summaries.confidences(store, task_id)
    return Facts(
        task=task,
        database=store.path.name,
        funnel=store.funnel(task_id),
        lengths=_lengths(store, task, task_id),
        shares=shares,
        min_vote_share=float(store.settings(task_id).get("min_vote_share", 0)),
        labels=_labels(store, task, task_id),
        twins=_twins(store, task_id),
        texts=texts,
        samples=_samples(store, task_id),
        steps=_steps(store, task_id),
        evaluations=evaluations,
        macro_f1={
            row.id: macro_f1(*answered_labels(task, store.predictions(row.id)), task.labels) for row in evaluations
        }
        if task.rules.labelled
        else {},
        gain=gain,
        verdict=verdict.sentence if verdict is not None else "",
        before=before.method if before is not None else "",
        after=after.method if after is not None else "",
        fixed=fixed[:_CHANGES],
        broken=broken[:_CHANGES],
        n_fixed=len(fixed),
        n_broken=len(broken),
        confusion=_confusion(task, store.predictions(after.id) if after is not None else []),
        runs=_runs(store, task_id),
    )


def _newest(store: Store, task_id: int, verdict: VerdictRow | None) -> list[EvaluationRow]:
    """Return the newest finished evaluation of every method, those of the verdict's rows alone where there is one."""
    of_rows = {
        number
        for number, digest in summaries.evaluation_data(store, task_id).items()
        if verdict is None or not verdict.data_sha256 or digest == verdict.data_sha256
    }
    finished = [row for row in store.evaluations(task_id) if row.mean is not None and row.id in of_rows]
    newest = {(row.method, row.metric): row for row in finished}
    order = {id(row): place for place, row in enumerate(newest.values())}
    return sorted(newest.values(), key=lambda row: (is_finetuned(row.method), order[id(row)]))


def _compared(
    evaluations: Sequence[EvaluationRow], verdict: VerdictRow | None
) -> tuple[EvaluationRow | None, EvaluationRow | None]:
    """Return the best prompting's evaluation and the best one after the finetune, on the same number of rows."""
    after = max((row for row in evaluations if is_finetuned(row.method)), key=lambda row: row.mean or 0, default=None)
    others = [row for row in evaluations if parts(row.method)[0] in (ZERO_SHOT, FEW_SHOT, SELF_ICL)]
    others = [row for row in others if after is None or row.n == after.n]
    if verdict is None:  # an old database: the comparison was with few-shot prompting
        others = [row for row in others if row.method == FEW_SHOT]
    elif verdict.over is not None:
        others = [row for row in others if row.method == verdict.over]
    return max(others, key=lambda row: row.mean or 0, default=None), after


def _gain(verdict: VerdictRow) -> Gain | None:
    numbers = (verdict.before, verdict.after, verdict.low, verdict.high)
    if verdict.over is None or None in numbers:
        return None
    return Gain(verdict.metric, verdict.n, verdict.over, *(number or 0.0 for number in numbers))


def _matched(before: Sequence[Prediction], after: Sequence[Prediction]) -> list[tuple[Prediction, Prediction]]:
    there = {(row.input, row.references): row for row in before}
    return [(there[row.input, row.references], row) for row in after if (row.input, row.references) in there]


def _lengths(store: Store, task: Task, task_id: int) -> list[Lengths]:
    bounds = {bound.part: bound for bound in store.length_bounds(task_id)}
    inputs = summaries.text_lengths(store, task_id, "input")
    outputs = summaries.text_lengths(store, task_id, "output")
    return [
        Lengths(
            part,
            [len(example.input if part == "input" else example.output) for example in task.examples],
            [length for length, kept in rows if kept],
            [length for length, kept in rows if not kept],
            bounds.get(part),
        )
        for part, rows in (("input", inputs), ("output", outputs))
        if rows and not (part == "output" and task.rules.labelled)
    ]


def _labels(store: Store, task: Task, task_id: int) -> Labels | None:
    if not task.rules.labelled:
        return None

    def count(where: Literal["asked", "answered", "paired"]) -> list[int]:
        found = Counter({fold(str(label)): n for label, n in summaries.label_counts(store, task_id, where).items()})
        return [found[fold(label)] for label in task.labels]

    return Labels(list(task.labels), count("asked"), count("answered"), count("paired"))


def _twins(store: Store, task_id: int) -> list[Twin]:
    return [Twin(*row) for row in summaries.near_twins(store, task_id, _TWINS)]


def _samples(store: Store, task_id: int) -> list[Sample]:
    """Return inputs evenly from the first to the last, or all where there are few."""
    rows = summaries.input_outcomes(store, task_id)
    step = max(1, math.ceil(len(rows) / SAMPLES))
    made = []
    for number, text, reason, detail, answer, share, pair in rows[::step]:
        verdict = reason or ("pair" if pair else "no answer" if answer is None else "balance")
        made.append(Sample(number, text, verdict, detail or "", answer, share))
    return made


def _steps(store: Store, task_id: int) -> list[TrainStep]:
    run_id = summaries.last_training(store, task_id)
    return store.train_steps(run_id) if run_id is not None else []


def _confusion(task: Task, predictions: Sequence[Prediction]) -> list[tuple[str, str, int]]:
    if not task.rules.labelled:
        return []
    parse = task.rules.parse
    counts = Counter(
        (parse(row.references[0], task.labels) or "-", parse(row.text, task.labels) or "-") for row in predictions
    )
    return [(right, given, n) for (right, given), n in counts.items()]


def _runs(store: Store, task_id: int) -> list[RunFacts]:
    rows = summaries.runs_of(store, task_id)
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
