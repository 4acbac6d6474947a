"""Brings the inputs of many clients into calls of the one engine, and each answer back to who waits for it.

One thread has the engine. While a call is under way, inputs that come in join it as long as the engine asks for more.
Knows nothing of HTTP.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.methods.names import reads_labels
from selfguide_lite.prediction import Answer, Predictor
from selfguide_lite.prediction.answers import completion_answer, completion_request, score_answer, score_request

MOST_WAITING = 10_000


class Busy(Exception):
    """So much is waiting that nothing more is taken."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """How a free text is drawn; as `predict` does it, greedily, where nothing else is asked for.

    :param told: called in the engine's thread with the text so far
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int | None = None
    seed: int = 0
    told: Callable[[str], None] | None = None


@dataclass(slots=True)
class Tally:
    """What was done so far."""

    answered: int = 0
    failed: int = 0
    calls: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Job:
    text: str
    drawn: Drawn
    future: "Future[Answer]" = field(default_factory=Future)


class Answerer:
    """Answers inputs that come from any number of threads.

    :param model: used by this object's thread alone until it is closed
    """

    def __init__(self, model: Predictor):
        self._model = model
        self._waiting: queue.Queue[_Job | None] = queue.Queue(MOST_WAITING)
        self._closing = False
        self.tally = Tally()
        self._thread = threading.Thread(target=self._work, name="answerer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Inputs that no call has taken yet."""
        return self._waiting.qsize()

    @property
    def alive(self) -> bool:
        """Whether inputs are being answered."""
        return self._thread.is_alive() and not self._closing

    def submit(self, text: str, drawn: Drawn | None = None) -> "Future[Answer]":
        """Return what will hold the answer to an input.

        :raises Busy: where too much is waiting, or this is being closed
        """
        job = _Job(text, drawn or Drawn())
        if self._closing:
            raise Busy
        try:
            self._waiting.put_nowait(job)
        except queue.Full as error:
            raise Busy from error
        return job.future

    def close(self) -> None:
        """Answer what is waiting, then end."""
        self._closing = True
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            began = time.monotonic()
            taken: dict[str, _Job] = {}
            why: object = "it ended without an answer"
            try:
                self._call(first, taken)
            except Exception as error:  # whatever the engine says: those who wait must be told
                why = error
            for job in (first, *taken.values()):  # the engine may fail before it has drawn the first
                with suppress(InvalidStateError):  # it was answered, or its client left
                    job.future.set_exception(SelfguideError(f"the engine failed: {why}"))
                    self.tally.failed += 1
            self.tally.calls += 1
            self.tally.seconds += time.monotonic() - began

    def _jobs(self, first: _Job, taken: dict[str, _Job]) -> Iterator[tuple[str, _Job]]:
        """Yield the first input and all that come while the engine still asks for more."""
        job: _Job | None = first
        while job is not None:
            if job.future.set_running_or_notify_cancel():
                key = str(len(taken))
                taken[key] = job
                yield key, job
            try:
                job = self._waiting.get_nowait()
            except queue.Empty:
                return
        self._waiting.put(None)  # the end, which the outer loop is to see

    def _call(self, first: _Job, taken: dict[str, _Job]) -> None:
        model = self._model
        if reads_labels(model.way.how):
            scores = model.engine.score(
                score_request(model.task, model.prompts, model.way, key, job.text)
                for key, job in self._jobs(first, taken)
            )
            for found in scores:
                self._settle(taken[found.key], score_answer(model.task, model.way, taken[found.key].text, found))
            return

        requests = (
            completion_request(model.task, model.prompts, model.way, key, job.text, self._sampling(job.drawn))
            for key, job in self._jobs(first, taken)
        )
        for done in model.engine.complete(requests):
            self._settle(taken[done.key], completion_answer(model.task, taken[done.key].text, done))

    def _sampling(self, drawn: Drawn) -> dict[str, object]:
        most = self._model.choice.max_tokens
        return {
            "max_tokens": most if drawn.max_tokens is None else min(most, drawn.max_tokens),
            "temperature": drawn.temperature,
            "top_p": drawn.top_p,
            "seed": drawn.seed,
            "told": drawn.told,
        }

    def _settle(self, job: _Job, answer: Answer) -> None:
        self.tally.answered += answer.error is None
        self.tally.failed += answer.error is not None
        job.future.set_result(answer)
