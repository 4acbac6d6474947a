"""The engine's part of an evaluation: asks for the rows that lack an answer and keeps each answer as it comes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.progress import Listener
from selfguide_lite.fields import Schema
from selfguide_lite.llm.base import Engine, Request, ScoreRequest
from selfguide_lite.llm.shares import shares
from selfguide_lite.methods.asking import Ask
from selfguide_lite.methods.calibration import likeliest
from selfguide_lite.store import Prediction, Store
from selfguide_lite.task import Task
from selfguide_lite.task.eval_rows import EvalRow

_END = 8  # tokens that a label's end and a chat's marks may take beside it


@dataclass(frozen=True, slots=True)
class Writing:
    """The evaluation of free text that a pass over the labels answers on its way, as far as it can.

    :param evaluation_id: in the store
    :param done: numbers of the rows that it has
    :param max_tokens: of a text
    """

    evaluation_id: int
    done: set[int]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Answering:
    """What is answered, and where the answers go.

    :param ask: makes the prompt for an input
    """

    store: Store
    evaluation_id: int
    task: Task
    engine: Engine
    rows: Sequence[EvalRow]
    ask: Ask
    listener: Listener

    def in_text(self, done: set[int], max_tokens: int, schema: Schema | None = None) -> int:
        """Answer greedily in text what is missing, and return how many prompts did not fit the context.

        :param done: numbers of the rows that are answered
        :param schema: the text is an object of it
        """
        room = 0 if schema is None else self.engine.smallest_object(schema)

        def requests() -> Iterator[Request]:
            for number, row in enumerate(self.rows):
                if number not in done:
                    messages = self.ask(self.task, row.input)
                    yield Request(key=str(number), messages=messages, max_tokens=max_tokens, schema=schema)

        ready, too_long = len(done), 0
        for completion in self.engine.complete(requests()):
            number = int(completion.key)
            if completion.finish_reason == "error":
                self._check_too_long(number, completion.error, room)
                too_long += 1
            text = completion.text.strip()
            self._keep(number, text, completion.finish_reason)
            ready += 1
            self.listener.advance("evaluate", ready, completion.completion_tokens, text=text)
        return too_long

    def by_scores(self, done: set[int], writing: Writing | None = None) -> int:
        """Answer what is missing with the label of the largest probability; returns as `in_text` does.

        :param writing: is given the labels that the model writes when it is left to write; where it writes something
            else, its answer stays open
        """
        labels = self.task.labels
        most = 0 if writing is None else writing.max_tokens
        short = {label for label in labels if most and self.engine.count_tokens(label) <= most}

        def requests() -> Iterator[ScoreRequest]:
            for number, row in enumerate(self.rows):
                if number not in done:
                    yield ScoreRequest(str(number), self.ask(self.task, row.input), labels)

        ready, too_long = len(done), 0
        for scores in self.engine.score(requests()):
            number = int(scores.key)
            if scores.error is not None:
                longest = max(self.engine.count_tokens(label) for label in labels)
                self._check_too_long(number, scores.error, longest + _END)
                too_long += 1
                self._keep(number, "", "error")
                continue
            known = dict(zip(labels, scores.logprobs, strict=True))
            text = likeliest(dict(zip(labels, shares(scores.logprobs), strict=True)))
            self._keep(number, text, "stop", known)
            written = scores.greedy if scores.greedy in short else None
            if writing is not None and written is not None and number not in writing.done:
                self._keep(number, written, "stop", evaluation_id=writing.evaluation_id)
            ready += 1
            self.listener.advance("evaluate", ready, len(labels), text=text)
        return too_long

    def _keep(
        self,
        number: int,
        text: str,
        reason: str,
        logprobs: Mapping[str, float] | None = None,
        evaluation_id: int | None = None,
    ) -> None:
        row = self.rows[number]
        self.store.add_prediction(
            self.evaluation_id if evaluation_id is None else evaluation_id,
            Prediction(
                number=number,
                input=row.input,
                references=row.references,
                text=text,
                score=self.task.rules.score(text, row.references, self.task.labels),
                label_logprobs=logprobs,
                finish_reason=reason,
            ),
        )

    def _check_too_long(self, number: int, error: str | None, room: int) -> None:
        """Pass where the prompt does not fit the context with so many tokens more.

        :raises SelfguideError: for any other failure of the engine, with its own words
        """
        prompt = self.engine.count_tokens(self.ask(self.task, self.rows[number].input))
        if prompt + room < self.engine.n_ctx - 1:
            raise SelfguideError(f"evaluation row {number + 1}: {error}")


def score_labels(
    engine: Engine, task: Task, ask: Ask, texts: Sequence[str], ready: Callable[[int], None] = lambda n: None
) -> dict[int, tuple[float, ...]]:
    """Return each text's share of every label, by the text's place; those that do not fit the context have none.

    :param ready: told how many are done
    """
    found: dict[int, tuple[float, ...]] = {}
    requests = (ScoreRequest(str(place), ask(task, text), task.labels) for place, text in enumerate(texts))
    for number, scores in enumerate(engine.score(requests), 1):
        if scores.error is None:
            found[int(scores.key)] = shares(scores.logprobs)
        ready(number)
    return found
