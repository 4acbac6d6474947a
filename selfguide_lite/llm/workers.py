"""Several contexts of one model side by side, each with a thread of its own.

On a processor two contexts with one thread each do more than one context with two threads: nobody waits for anybody
inside a step, each cache holds half as many cells for a query to look at, and one context draws while the other
computes. Requests are dealt out in blocks and results are put in order by the step that they were ready at, so what a
call yields does not depend on which thread happens to be faster.

Knows nothing of what a request is.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar, cast

AHEAD = 64  # requests of a block for each worker, dealt before it asks for them
MOST = 8 * AHEAD  # requests that wait for a slow worker, at most: then the others wait for it
_LOOK = 0.05  # seconds after which the reader looks how far the workers are, where none has said anything
_END = object()

Given = TypeVar("Given")
Result = TypeVar("Result")
# what a worker does: requests in, results out; the two calls tell its steps so far and whether it should stop
Work = Callable[[Iterator[Given], Callable[[], bool]], Iterator[Result]]


def side_by_side(
    work: list[Work[Given, Result]], steps: list[Callable[[], int]], requests: Iterable[Given]
) -> Iterator[Result]:
    """Deal requests to workers and yield their results in an order that depends on the requests alone.

    Requests are read, and results yielded, in the caller's thread. After an interrupt what is finished is yielded, then
    it is raised. An error of a worker stops the others and is raised.

    :param work: for each worker, its function, called with an iterator over its requests and one that says "stop"
    :param steps: for each worker, how many steps it has made, read at any time
    """
    team: _Team[Given, Result] = _Team(work, steps, iter(requests))
    try:
        yield from team.results()
    except KeyboardInterrupt:
        yield from team.stop()
        raise
    finally:
        team.stop()


class _Team(Generic[Given, Result]):
    def __init__(self, work: list[Work[Given, Result]], steps: list[Callable[[], int]], source: Iterator[Given]):
        self._source = source
        self._steps = steps
        self._feeds: list[queue.SimpleQueue[object]] = [queue.SimpleQueue() for _ in work]
        self._said: queue.SimpleQueue[tuple[int, int, object]] = queue.SimpleQueue()  # worker, step, result
        self._ready: list[tuple[int, int, int, object]] = []  # step, worker, number, result
        self._heard = 0
        self._working = set(range(len(work)))
        self._stopping = threading.Event()
        self._more = True
        self._threads = [
            threading.Thread(target=self._run, args=(number, function), name=f"llm-{number}", daemon=True)
            for number, function in enumerate(work)
        ]

    def results(self) -> Iterator[Result]:
        self._deal()
        for thread in self._threads:
            thread.start()
        while self._working:
            reached = [step() for step in self._steps]  # read before the results: none of an earlier step can follow
            self._hear(_LOOK)
            self._deal()
            yield from self._in_order(reached)
        yield from self._in_order(None)

    def stop(self) -> list[Result]:
        """End all threads, and return what was finished but not yielded."""
        self._stopping.set()
        for feed in self._feeds:
            feed.put(_END)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        while not self._said.empty():
            self._note(*self._said.get())
        return list(self._in_order(None))

    def _run(self, number: int, function: Work[Given, Result]) -> None:
        try:
            for result in function(cast(Iterator[Given], iter(self._feeds[number].get, _END)), self._stopping.is_set):
                self._said.put((number, self._steps[number](), result))
        except BaseException as error:  # whatever it is, the caller's thread raises it
            self._said.put((number, -1, error))
        else:
            self._said.put((number, -1, _END))

    def _deal(self) -> None:
        """Give every worker requests ahead of its need: of a block of them one part that stood together.

        Neighbours share more of their prompts than others do, and what they share is then computed by one worker alone.
        """
        count = len(self._feeds)
        while self._more and any(feed.qsize() < AHEAD for feed in self._feeds):
            if any(feed.qsize() >= MOST for feed in self._feeds):
                return
            block = list(islice(self._source, count * AHEAD))
            for number, feed in enumerate(self._feeds):
                for request in block[number * len(block) // count : (number + 1) * len(block) // count]:
                    feed.put(request)
            if len(block) < count * AHEAD:
                self._more = False
                for feed in self._feeds:
                    feed.put(_END)

    def _hear(self, seconds: float) -> None:
        """Wait for a result, and take all that are there."""
        try:
            self._note(*self._said.get(timeout=seconds))
            while True:
                self._note(*self._said.get_nowait())
        except queue.Empty:
            return

    def _note(self, worker: int, step: int, result: object) -> None:
        if step >= 0:
            self._ready.append((step, worker, self._heard, result))
            self._heard += 1
            return
        self._working.discard(worker)
        if isinstance(result, BaseException) and not self._stopping.is_set():
            raise result

    def _in_order(self, reached: list[int] | None) -> Iterator[Result]:
        """Yield what nothing earlier can come before any more."""
        self._ready.sort(key=lambda entry: entry[:3])
        sure = min((reached[worker] for worker in self._working), default=None) if reached is not None else None
        count = len(self._ready)
        if sure is not None:
            count = sum(entry[0] < sure for entry in self._ready)
        going, self._ready = self._ready[:count], self._ready[count:]
        for entry in going:
            yield cast(Result, entry[3])
