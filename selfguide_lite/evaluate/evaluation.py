"""One method on one evaluation set: greedy answers, their scores, all kept in the store as they come.

Knows nothing of what a method is: the caller names it, loads its adapter and may build its prompts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfguide_lite.errors import SelfguideError
from selfguide_lite.evaluate.metrics import Metric, metric_of, score_answers
from selfguide_lite.evaluate.rows import EvalRow, rows_hash, unseen_labels, without_leaks
from selfguide_lite.evaluate.statistics import Gain, bootstrap, paired_gain
from selfguide_lite.llm.base import Engine, Message, Request
from selfguide_lite.progress import Listener, Silent
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import Prediction, Store
from selfguide_lite.task import Task, last_label

Ask = Callable[[Task, str], tuple[Message, ...]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A method's result on an evaluation set.

    :param id: in the table `evaluation`
    :param scores: of every row that did not leak, in the rows' order, as shares of 1
    :param low: lower end of the mean's 95 % bootstrap interval
    :param high: upper end
    :param predictions: what was answered, one for each score
    :param leaked: rows that were left out because the model has been shown their inputs
    """

    id: int
    method: str
    metric: Metric
    scores: list[float]
    mean: float
    low: float
    high: float
    predictions: tuple[Prediction, ...]
    leaked: int = 0

    def gain_over(self, before: "Evaluation") -> Gain:
        """Return the paired gain over another method's evaluation, on the rows that both have.

        :raises SelfguideError: where they have no row in common
        """
        shared = list(_matched(before, self))
        if not shared:
            raise SelfguideError(f"{self.method} and {before.method} were evaluated on different examples")
        return paired_gain([then.score for then, _ in shared], [now.score for _, now in shared], self.metric)


def evaluate(
    store: Store,
    task_id: int,
    engine: Engine,
    rows: Sequence[EvalRow],
    *,
    method: str,
    adapter_id: int | None = None,
    prompts: Prompts,
    listener: Listener | None = None,
    ask: Ask | None = None,
    details: Mapping[str, Any] | None = None,
    same_as: Evaluation | None = None,
) -> Evaluation:
    """Answer every row greedily and score it; what is in the store already is not asked again.

    Rows whose inputs the model may have been shown are left out: those of the seed examples and all that were ever
    generated for this task, so that a filter changed later does not change what is evaluated.

    :param engine: with the adapter loaded that is to be evaluated
    :param method: its name in the table `evaluation`, such as `few-shot`
    :param adapter_id: the loaded adapter in the store; None for the plain model
    :param ask: makes the prompt for an input; None: the one that annotation and finetuning use
    :param details: what tells this evaluation from another of the same method, such as the number of pairs
    :param same_as: an evaluation of the same model and prompts under another name, whose answers are taken over
    :raises SelfguideError: where nothing is left to evaluate, or the engine fails
    """
    listener = listener or Silent()
    task = store.task(task_id)
    clean, leaked = clean_rows(store, task_id, rows)
    if leaked:
        listener.note(f"left out {len(leaked)} evaluation rows whose inputs the model may have been shown")
    if not clean:
        raise SelfguideError(f"task {task.name!r}: every evaluation row is among the examples or the generated inputs")
    if missing := unseen_labels(task, clean):
        listener.note(f"no evaluation row has the answer {', '.join(missing)}: errors on it will not show")
    metric = metric_of(task.kind)
    tokens = task.settings.output_max_tokens
    evaluation_id = store.add_evaluation(
        task_id,
        method=method,
        metric=metric,
        model_id=store.add_model(engine.info),
        adapter_id=adapter_id,
        data_sha256=rows_hash(clean),
        n=len(clean),
        settings={"output_max_tokens": tokens, **_unregistered(engine, adapter_id), **(details or {})},
        template=prompts.template("annotate"),
    )
    if same_as is not None:
        _take_over(store, evaluation_id, clean, same_as)
    done = {prediction.number for prediction in store.predictions(evaluation_id)}
    if len(done) < len(clean):
        ask = ask or prompts.annotate
        listener.start("evaluate", len(clean), len(done))
        too_long = _answer(store, evaluation_id, task, engine, clean, done, ask, tokens, metric, listener)
        if too_long:
            listener.note(f"{too_long} prompts are longer than the model's context: counted as wrong")
    predictions = tuple(store.predictions(evaluation_id))
    scores = [prediction.score for prediction in predictions]
    interval = bootstrap(scores)
    store.finish_evaluation(evaluation_id, interval.mean, interval.low, interval.high)
    listener.done("evaluate", f"{method}: {metric} {interval.mean:.3f} on {len(scores)} rows")
    return Evaluation(
        evaluation_id, method, metric, scores, interval.mean, interval.low, interval.high, predictions, len(leaked)
    )


def _unregistered(engine: Engine, adapter_id: int | None) -> dict[str, str]:
    """An adapter that is no row of the store is told from another at the same place by its content."""
    if adapter_id is not None or engine.info.adapter is None:
        return {}
    from selfguide_lite.llm.hashing import file_sha256

    return {"adapter_sha256": file_sha256(Path(engine.info.adapter))}


def _take_over(store: Store, evaluation_id: int, rows: Sequence[EvalRow], source: Evaluation) -> None:
    there = {(given.input, given.references): given for given in source.predictions}
    for number, row in enumerate(rows):
        if (given := there.get((row.input, row.references))) is not None:
            store.add_prediction(
                evaluation_id,
                number,
                input=given.input,
                references=given.references,
                text=given.text,
                score=given.score,
            )


def clean_rows(store: Store, task_id: int, rows: Sequence[EvalRow]) -> tuple[list[EvalRow], list[EvalRow]]:
    """Part the rows from those whose input is a seed example's or was generated for the task.

    :return: (clean, left out)
    """
    known = [example.input for example in store.task(task_id).examples]
    known += [text for (text,) in store.connection.execute("SELECT text FROM input WHERE task_id = ?", (task_id,))]
    return without_leaks(rows, known)


def _answer(
    store: Store,
    evaluation_id: int,
    task: Task,
    engine: Engine,
    rows: Sequence[EvalRow],
    done: set[int],
    ask: Ask,
    max_tokens: int,
    metric: Metric,
    listener: Listener,
) -> int:
    """Ask for what is missing and return how many prompts did not fit the context."""

    def requests() -> Iterator[Request]:
        for number, row in enumerate(rows):
            if number not in done:
                yield Request(key=str(number), messages=ask(task, row.input), max_tokens=max_tokens)

    ready, too_long = len(done), 0
    for completion in engine.complete(requests()):
        number = int(completion.key)
        row = rows[number]
        if completion.finish_reason == "error":
            if engine.count_tokens(ask(task, row.input)) < engine.n_ctx - 1:
                raise SelfguideError(f"evaluation row {number + 1}: {completion.error}")
            too_long += 1
        text = completion.text.strip()
        store.add_prediction(
            evaluation_id,
            number,
            input=row.input,
            references=row.references,
            text=text,
            score=score_answers(metric, [text], [row.references], task.labels)[0],
            finish_reason=completion.finish_reason,
        )
        ready += 1
        listener.advance("evaluate", ready, completion.completion_tokens, text=text)
    return too_long


def confusion(task: Task, predictions: Sequence[Prediction]) -> dict[tuple[str, str | None], int]:
    """Count (right label, answered label) pairs; None is an answer without a label.

    Of several right answers the first is counted, or the one that was given.
    """
    counts: dict[tuple[str, str | None], int] = {}
    for prediction in predictions:
        answered = last_label(prediction.text, task.labels)
        right = next((last_label(text, task.labels) or text for text in prediction.references), "")
        if prediction.score == 1.0 and answered is not None:
            right = answered
        counts[right, answered] = counts.get((right, answered), 0) + 1
    return counts


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
