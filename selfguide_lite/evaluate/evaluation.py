"""One method on one evaluation set: its answers and their scores, all kept in the store as they come.

Knows nothing of what a method is: the caller names it, loads its adapter and may build its prompts.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.evaluate.answering import Answering, Writing
from selfguide_lite.evaluate.asked import Asked
from selfguide_lite.evaluate.statistics import Gain, bootstrap, paired_gain
from selfguide_lite.llm.base import Engine
from selfguide_lite.llm.shares import shares
from selfguide_lite.methods.asking import check_room
from selfguide_lite.methods.calibration import calibrated, likeliest, wanted_shares
from selfguide_lite.methods.names import reads_labels
from selfguide_lite.metrics import macro_f1, recall_by_label
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import EvaluationRow, NewEvaluation, Prediction, Prior, Store
from selfguide_lite.task import Task
from selfguide_lite.task.eval_rows import EvalRow, rows_hash, unseen_labels, without_leaks

_LABEL_TOKENS = 40  # of free text in which a label is looked for; what talks on beyond has not the form of an answer


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A method's result on an evaluation set.

    :param id: in the table `evaluation`
    :param scores: of every row that did not leak, in the rows' order, as shares of 1
    :param low: lower end of the mean's 95 % bootstrap interval
    :param high: upper end
    :param predictions: what was answered, one for each score
    :param leaked: rows that were left out because the model has been shown their inputs
    :param data_sha256: hash of the rows
    """

    id: int
    method: str
    metric: str
    scores: list[float]
    mean: float
    low: float
    high: float
    predictions: tuple[Prediction, ...]
    leaked: int = 0
    data_sha256: str = ""

    def gain_over(self, before: "Evaluation") -> Gain:
        """Return the paired gain over another method's evaluation, on the rows that both have.

        :raises SelfguideError: where they have no row in common
        """
        shared = list(_matched(before, self))
        if not shared:
            raise SelfguideError(f"{self.method} and {before.method} were evaluated on different examples")
        return paired_gain(
            [then.score for then, _ in shared], [now.score for _, now in shared], self.metric, before.method
        )


def evaluate(
    context: RunContext,
    engine: Engine,
    rows: Sequence[EvalRow],
    asked: Asked,
    same_as: Evaluation | None = None,
    text: Asked | None = None,
) -> Evaluation:
    """Answer every row and score it; what is in the store already is not asked again.

    Rows whose inputs the model may have been shown are left out: those of the seed examples and all that were ever
    generated for this task, so that a filter changed later does not change what is evaluated.

    :param engine: with the adapter loaded that is to be evaluated
    :param same_as: an evaluation of the same model and prompts under another name, whose answers are taken over
    :param text: for labels, the same way of asking for free text: what the pass over the labels tells of its answers
        is kept with that evaluation, so that it has less left to ask
    :raises SelfguideError: where nothing is left to evaluate, or the engine fails
    """
    store, task_id, listener, task = context.store, context.task_id, context.listener, context.task
    clean, leaked = clean_rows(store, task_id, rows)
    if leaked:
        listener.note(f"left out {len(leaked)} evaluation rows whose inputs the model may have been shown")
    if not clean:
        raise SelfguideError(f"task {task.name!r}: every evaluation row is among the examples or the generated inputs")
    if missing := unseen_labels(task, clean):
        listener.note(f"no evaluation row has the answer {', '.join(missing)}: errors on it will not show")
    metric, digest = task.rules.metric, rows_hash(clean)
    tokens = _most_tokens(task)
    if asked.answers == "constrained":
        check_room(engine, task, tokens)
    evaluation_id = _registered(context, engine, asked, len(clean), digest)
    if same_as is not None:
        _take_over(store, evaluation_id, clean, same_as)
    done = _answered(store, evaluation_id)
    if len(done) < len(clean):
        listener.start("evaluate", len(clean), len(done))
        job = Answering(store, evaluation_id, task, engine, clean, asked.prompt_maker(context.prompts), listener)
        if reads_labels(asked.answers):
            text_id = None if text is None else _registered(context, engine, text, len(clean), digest)
            writing = None if text_id is None else Writing(text_id, _answered(store, text_id), tokens)
            too_long = job.by_scores(done, writing)
        else:
            too_long = job.in_text(done, tokens, task.answer_schema if asked.answers == "constrained" else None)
        if too_long:
            listener.note(f"{too_long} prompts are longer than the model's context: counted as wrong")
    result = _finished(store, evaluation_id, asked.method, metric, len(leaked), digest)
    listener.done("evaluate", f"{asked.method}: {metric} {result.mean:.3f} on {len(result.scores)} rows")
    return result


def _most_tokens(task: Task) -> int:
    """Return how many tokens a free-text answer, or an object, may have in an evaluation."""
    tokens = task.settings.output_max_tokens
    return min(tokens, _LABEL_TOKENS) if task.rules.labelled else tokens


def _registered(context: RunContext, engine: Engine, asked: Asked, count: int, data_sha256: str) -> int:
    """Return the id of an evaluation of so many rows in the store, where it is put if it is new."""
    task = context.task
    how: dict[str, Any] = {} if asked.answers == "free" else {"answers": asked.answers}
    how |= {} if reads_labels(asked.answers) else {"output_max_tokens": _most_tokens(task)}
    return context.store.add_evaluation(
        context.task_id,
        NewEvaluation(
            method=asked.method,
            metric=task.rules.metric,
            model_id=context.store.add_model(engine.info),
            adapter_id=asked.adapter_id,
            data_sha256=data_sha256,
            n=count,
            settings={**how, **_unregistered(engine, asked.adapter_id), **asked.details},
            template=asked.template(context.prompts),
        ),
    )


def _answered(store: Store, evaluation_id: int) -> set[int]:
    return {prediction.number for prediction in store.predictions(evaluation_id)}


def calibrate(store: Store, task_id: int, scored: Evaluation, prior: Prior, method: str) -> Evaluation:
    """Return a scored evaluation with its labels' shares calibrated; the engine is not asked.

    :param scored: with log-probabilities of all labels
    :param prior: of the same model and prompt
    :param method: the calibrated method's name
    """
    task = store.task(task_id)
    wanted = wanted_shares(task)
    evaluation_id = store.add_calibrated(
        scored.id,
        method=method,
        prior_id=prior.id,
        settings={"answers": "calibrated", "of": scored.id, "prior": prior.id, "label_shares": wanted},
    )
    done = {prediction.number for prediction in store.predictions(evaluation_id)}
    for given in scored.predictions:
        if given.number in done:
            continue
        corrected = _calibrated_shares(given, prior, wanted)
        text = likeliest(corrected) if corrected else ""
        store.add_prediction(
            evaluation_id,
            replace(
                given,
                text=text,
                score=task.rules.score(text, given.references, task.labels),
                label_logprobs=_logarithms(corrected) if corrected else None,
                finish_reason="stop" if corrected else "error",
            ),
        )
    return _finished(store, evaluation_id, method, scored.metric, scored.leaked, scored.data_sha256)


def stored_evaluation(store: Store, row: EvaluationRow) -> Evaluation:
    """Return a finished evaluation as the store has it.

    :raises ValueError: where it is not finished
    """
    if row.mean is None or row.low is None or row.high is None:
        raise ValueError(f"evaluation {row.id} is not finished")
    predictions = tuple(store.predictions(row.id))
    return Evaluation(
        id=row.id,
        method=row.method,
        metric=row.metric,
        scores=[prediction.score for prediction in predictions],
        mean=row.mean,
        low=row.low,
        high=row.high,
        predictions=predictions,
        data_sha256=row.data_sha256,
    )


def _logarithms(shares_: Mapping[str, float]) -> dict[str, float]:
    return {label: math.log(share) if share else -math.inf for label, share in shares_.items()}


def _calibrated_shares(given: Prediction, prior: Prior, wanted: Mapping[str, float]) -> dict[str, float] | None:
    """Return a scored answer's shares after calibration; None where its prompt did not fit the context."""
    if given.label_logprobs is None:
        return None
    plain = dict(zip(given.label_logprobs, shares(list(given.label_logprobs.values())), strict=True))
    return calibrated(plain, prior.shares, wanted)


def _finished(store: Store, evaluation_id: int, method: str, metric: str, leaked: int, data_sha256: str) -> Evaluation:
    """Work out an answered evaluation's result and write it down."""
    predictions = tuple(store.predictions(evaluation_id))
    scores = [prediction.score for prediction in predictions]
    interval = bootstrap(scores)
    store.finish_evaluation(evaluation_id, interval.mean, interval.low, interval.high)
    return Evaluation(
        evaluation_id, method, metric, scores, interval.mean, interval.low, interval.high, predictions, leaked,
        data_sha256,
    )  # fmt: skip


def _unregistered(engine: Engine, adapter_id: int | None) -> dict[str, str]:
    """An adapter that is no row of the store is told from another at the same place by its content."""
    if adapter_id is not None or engine.info.adapter is None:
        return {}
    from selfguide_lite.core.hashing import file_sha256

    return {"adapter_sha256": file_sha256(Path(engine.info.adapter))}


def _take_over(store: Store, evaluation_id: int, rows: Sequence[EvalRow], source: Evaluation) -> None:
    there = {(given.input, given.references): given for given in source.predictions}
    for number, row in enumerate(rows):
        if (given := there.get((row.input, row.references))) is not None:
            store.add_prediction(evaluation_id, replace(given, number=number, label_logprobs=None))


def clean_rows(store: Store, task_id: int, rows: Sequence[EvalRow]) -> tuple[list[EvalRow], list[EvalRow]]:
    """Part the rows from those whose input is a seed example's or was generated for the task.

    :return: (clean, left out)
    """
    known = [example.input for example in store.task(task_id).examples]
    known += store.input_texts(task_id)
    return without_leaks(rows, known)


def answered_labels(task: Task, predictions: Sequence[Prediction]) -> tuple[list[str | None], list[str]]:
    """Return each answer's label, None where it has none, and its right label.

    Of several right answers the first counts, or the one that was given.
    """
    answers: list[str | None] = []
    rights: list[str] = []
    for prediction in predictions:
        answered = task.rules.parse(prediction.text, task.labels)
        right = next((task.rules.parse(text, task.labels) or text for text in prediction.references), "")
        if prediction.score == 1.0 and answered is not None:
            right = answered
        answers.append(answered)
        rights.append(right)
    return answers, rights


def macro_f1_of(task: Task, evaluation: Evaluation) -> float:
    """Return the mean over labels of the F1 of an evaluation's answers."""
    return macro_f1(*answered_labels(task, evaluation.predictions), task.labels)


def recall_of(task: Task, evaluation: Evaluation) -> dict[str, float]:
    """Return for every label that is a right answer the share of its rows that were answered with it."""
    return recall_by_label(*answered_labels(task, evaluation.predictions), task.labels)


def form_share(task: Task, evaluation: Evaluation) -> float:
    """Return the share of answers that are a label and nothing else: how often free text has the right form."""
    right = sum(prediction.text in task.labels for prediction in evaluation.predictions)
    return right / len(evaluation.predictions) if evaluation.predictions else 0.0


def confusion(task: Task, predictions: Sequence[Prediction]) -> dict[tuple[str, str | None], int]:
    """Count (right label, answered label) pairs; None is an answer without a label."""
    answers, rights = answered_labels(task, predictions)
    return dict(Counter(zip(rights, answers, strict=True)))


@dataclass(frozen=True, slots=True)
class Change:
    """One example that was answered better or worse after a finetune."""

    input: str
    references: tuple[str, ...]
    before: str
    after: str
    score_before: float
    score_after: float

    @property
    def difference(self) -> float:
        """Score after minus score before."""
        return self.score_after - self.score_before


def changes(before: Evaluation, after: Evaluation) -> list[Change]:
    """Return the examples whose score changed, the most improved first."""
    found = [
        Change(now.input, now.references, then.text, now.text, then.score, now.score)
        for then, now in _matched(before, after)
        if then.score != now.score
    ]
    return sorted(found, key=lambda change: -change.difference)


def _matched(before: Evaluation, after: Evaluation) -> Iterator[tuple[Prediction, Prediction]]:
    """Pair the predictions for the same example; a row that occurs twice is paired in its order."""
    earlier: dict[tuple[str, tuple[str, ...]], list[Prediction]] = {}
    for prediction in reversed(before.predictions):
        earlier.setdefault((prediction.input, prediction.references), []).append(prediction)
    for now in after.predictions:
        if there := earlier.get((now.input, now.references)):
            yield there.pop(), now
