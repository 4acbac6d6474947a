"""Answers a stream of inputs in the way that was found to be best, many at once, in their order.

Which way that is, was found out by evaluation and lies in the store: the finetuned model or a prompting, and whether
its free text counts, its labels' probabilities, or these calibrated.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.llm import Completion, Engine, Request, ScoreRequest, Scores
from selfguide_lite.llm.shares import shares
from selfguide_lite.methods.asking import FULL, PROMPTED, answer_prompt
from selfguide_lite.methods.calibration import calibrated, likeliest, wanted_shares
from selfguide_lite.methods.names import (
    FEW_SHOT,
    FINETUNED,
    ZERO_SHOT,
    AnswerForm,
    is_finetuned,
    named,
    names_of,
    parts,
    reads_labels,
    usual_form,
)
from selfguide_lite.prompts import Prompts
from selfguide_lite.run_files import known_adapter
from selfguide_lite.store import Store, VerdictRow
from selfguide_lite.task import Task

_AHEAD = 256  # inputs that are read before the first of them is answered
_TEST_IT = "to test it, `selfguide evaluate TASK.yaml` with 60 evaluation rows or more"


@dataclass(frozen=True, slots=True)
class Way:
    """One way of answering.

    :param method: its name, such as `few-shot calibrated`
    :param why: why this one, in a line
    :param style: how answers are asked for
    :param prior: each label's mean share, for a calibrated method
    """

    method: str
    why: str = ""
    style: str = "few-shot"
    prior: Mapping[str, float] | None = None

    @property
    def how(self) -> AnswerForm:
        """How the model's answer is read."""
        return parts(self.method)[1]

    @property
    def finetuned(self) -> bool:
        """Whether the adapter is used."""
        return is_finetuned(self.method)


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's answer to one input.

    :param label: the answer in it as its kind of task reads it, such as a label; None: there is none
    :param error: why there is no answer
    :param shares: each label's share, where labels are scored
    :param structured: whether the answer is to be an object
    """

    input: str
    output: str
    label: str | None = None
    error: str | None = None
    shares: Mapping[str, float] | None = None
    structured: bool = False

    @property
    def value(self) -> Any:
        """What is given to programs: the object where there is one, else the text."""
        return json.loads(self.label) if self.structured and self.label is not None else self.output

    def is_unsure(self, threshold: float | None) -> bool:
        """Whether no label has at least this probability; never where there are no probabilities, or no threshold."""
        return threshold is not None and max((self.shares or {}).values(), default=1.0) < threshold


def choose_way(
    store: Store,
    task_id: int,
    prompts: Prompts,
    method: str | None = None,
    adapter: Path | str | int | None = None,
    model: Path | None = None,
) -> Way:
    """Return the way to answer: the one that won, or the one that is asked for.

    :param method: a method's name; None: what the newest verdict says, else the finetuned model, untested
    :param adapter: one that is asked for, by its number in the database or its file, in place of the newest: then the
        finetuned model answers
    :param model: a file that is asked for in place of the run's model, of which no verdict speaks
    :raises SelfguideError: where there is no such method, or nothing that it could be calibrated by
    """
    task = store.task(task_id)
    known = known_adapter(store, task_id, adapter)
    adapter_id = None if known is None else known.id
    verdict = None if adapter_id is None else store.latest_verdict(task_id, adapter_id)
    usual = named(FINETUNED, usual_form(task.kind))
    if method is not None:
        return _asked_for(store, task_id, task, prompts, method, adapter_id)
    style = _style(store, task, usual, adapter_id)
    untested = Way(usual, f"predict uses {usual}, which was not tested; {_TEST_IT}", style)
    if verdict is None or verdict.winner_id is None:
        return untested
    won = store.way_of(verdict.winner_id)
    if model is not None and model.is_file() and file_sha256(model) != won.model_sha256:
        return untested
    if adapter is not None and not is_finetuned(won.method):
        return Way(usual, f"predict uses {usual}, since its adapter was named", style)
    asked = _style(store, task, won.method, adapter_id)
    if won.template_sha256 != prompts.answer_template(asked).sha256:
        return Way(usual, f"predict uses {usual}: it was tested with another prompt template only", style)
    if verdict.low is None:
        return untested
    prior = None if won.prior_id is None else store.prior_by_id(won.prior_id).shares
    return Way(won.method, _why(verdict, won.method), asked, prior)


def _why(verdict: VerdictRow, method: str) -> str:
    if is_finetuned(method):
        gain = 100 * ((verdict.after or 0) - (verdict.before or 0))
        return f"predict uses {method}, {gain:+.1f} points over every prompting tried on {verdict.n} rows"
    return f"predict uses {method}, which no finetune beat on {verdict.n} rows"


def _asked_for(store: Store, task_id: int, task: Task, prompts: Prompts, method: str, adapter_id: int | None) -> Way:
    known = names_of((ZERO_SHOT, FEW_SHOT, FINETUNED), task.kind)
    if method not in known:
        raise SelfguideError(f"{method!r} is no method of the kind {task.kind}; there are: {', '.join(known)}")
    style = _style(store, task, method, adapter_id)
    prior = None
    if parts(method)[1] == "calibrated":
        template = prompts.answer_template(style).sha256
        evaluation_id = store.newest_evaluation(task_id, method, adapter_id if is_finetuned(method) else None, template)
        prior_id = None if evaluation_id is None else store.way_of(evaluation_id).prior_id
        if prior_id is None:
            raise SelfguideError(
                f"{method}: the database has nothing to calibrate it by; `selfguide evaluate TASK.yaml` finds it out"
            )
        prior = store.prior_by_id(prior_id).shares
    return Way(method, f"predict uses {method}, as asked for", style, prior)


def _style(store: Store, task: Task, method: str, adapter_id: int | None) -> str:
    """Return how a method's answers are asked for: those of a finetuned model as it was trained."""
    if not is_finetuned(method):
        return PROMPTED.get(parts(method)[0], FULL)
    found = store.trained_style(adapter_id) if adapter_id is not None else None
    return found or task.settings.answer_style


def answer_all(
    engine: Engine, task: Task, prompts: Prompts, inputs: Iterable[str], max_tokens: int, way: Way | None = None
) -> Iterator[Answer]:
    """Yield the answer to each input, in their order.

    :param engine: with the adapter loaded where the way asks for it
    :param inputs: read lazily, a few hundred ahead
    :param max_tokens: of an answer in free text
    :param way: None: free text, few-shot
    """
    way = way or Way(FEW_SHOT)
    waiting = iter(inputs)
    while block := list(islice(waiting, _AHEAD)):
        ready: dict[int, Answer] = {}
        following = 0
        for number, answer in _answers(engine, task, prompts, block, max_tokens, way):
            ready[number] = answer
            while following in ready:
                yield ready.pop(following)
                following += 1


def _answers(
    engine: Engine, task: Task, prompts: Prompts, block: list[str], max_tokens: int, way: Way
) -> Iterator[tuple[int, Answer]]:
    """Yield each text's place and answer, in the order in which they get ready."""
    if not reads_labels(way.how):
        for completion in engine.complete(
            completion_request(task, prompts, way, str(number), text, {"max_tokens": max_tokens})
            for number, text in enumerate(block)
        ):
            number = int(completion.key)
            yield number, completion_answer(task, block[number], completion)
        return
    for scores in engine.score(
        score_request(task, prompts, way, str(number), text) for number, text in enumerate(block)
    ):
        number = int(scores.key)
        yield number, score_answer(task, way, block[number], scores)


def completion_request(
    task: Task, prompts: Prompts, way: Way, key: str, text: str, sampling: Mapping[str, Any]
) -> Request:
    """Return what asks for a free text.

    :param sampling: fields of `Request`: at least `max_tokens`
    """
    schema = task.answer_schema if way.how == "constrained" else None
    return Request(key=key, messages=answer_prompt(prompts, way.style)(task, text), schema=schema, **sampling)


def completion_answer(task: Task, text: str, completion: Completion) -> Answer:
    """Return the answer that a text is, with what its kind of task reads in it; an object is in one form."""
    output = completion.text.strip()
    found = task.rules.parse(output, task.labels)
    if task.rules.structured and found is not None:
        output = found
    return Answer(text, output, found, completion.error, structured=task.rules.structured)


def score_request(task: Task, prompts: Prompts, way: Way, key: str, text: str) -> ScoreRequest:
    """Return what asks for the probability of every label."""
    return ScoreRequest(key, answer_prompt(prompts, way.style)(task, text), task.labels)


def score_answer(task: Task, way: Way, text: str, scores: Scores) -> Answer:
    """Return the likeliest label, and every label's share, calibrated where the way is."""
    if scores.error is not None:
        return Answer(text, "", None, scores.error)
    given = dict(zip(task.labels, shares(scores.logprobs), strict=True))
    if way.prior is not None:
        given = calibrated(given, way.prior, wanted_shares(task))
    label = likeliest(given)
    return Answer(text, label, label, None, given)
