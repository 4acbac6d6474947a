"""Exact log-probabilities of a few texts after a prompt: one pass over the token tree that they form.

A text counts with the one end token that training teaches after it, although sampling stops at any end token: the
others' shares cancel out as long as they are small. SmolLM2-135M has two more, with at most 6e-6 of that one's
probability after a label; counting them would change a label's share by less than 1e-6 (12 rows of sms-spam).

The same pass tells what greedy decoding writes, as long as that is one of the texts: at each place of the tree the
likeliest token is known, and nearly all answers of a finetuned model never leave it.

A tree's branches are sequences of one unified KV cache; a token that several of them share belongs to all of them and
is computed once. The trees of many requests travel in the same call.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from selfguide_lite.llm.base import ScoreRequest, Scores
from selfguide_lite.llm.batching import WINDOW
from selfguide_lite.llm.branches import Stats
from selfguide_lite.llm.kv import WORTH, Cache, Sequence, common
from selfguide_lite.llm.native import Tokens
from selfguide_lite.llm.prefixes import read_on


@dataclass(slots=True)
class _Node:
    """A place in the tree: the token that leads here, and the tokens that may follow."""

    token: int
    depth: int
    children: dict[int, "_Node"] = field(default_factory=dict)
    logprobs: dict[int, float] = field(default_factory=dict)
    sequences: list[int] = field(default_factory=list)
    best: int = -1  # the likeliest token here

    def inner(self) -> Iterator["_Node"]:
        """Yield this node and those below that have something to follow, parents first."""
        yield self
        for child in self.children.values():
            if child.children:
                yield from child.inner()


@dataclass(slots=True)
class _Job:
    request: ScoreRequest
    prompt: Tokens
    answers: list[list[int]]
    scores: list[float] = field(default_factory=list)
    greedy: str | None = None


@dataclass(slots=True)
class _Tree:
    """A part of a request's candidates, as many as find room in one pass."""

    job: _Job
    answers: list[list[int]]
    root: _Node
    last: bool
    sequences: list[Sequence] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What a scorer keeps to.

    :param n_ctx: tokens of prompt and candidate at most
    :param chunk: tokens of one call at most
    :param end_tokens: those that end a text that is written
    """

    n_ctx: int
    chunk: int
    end_tokens: frozenset[int]


class Scorer:
    """Scores requests in the order they come.

    :param tokenize: a request's prompt, and each candidate with its end token, as token ids
    :param stopped: asked before every request; once it says so the run ends
    """

    def __init__(
        self,
        cache: Cache,
        tokenize: Callable[[ScoreRequest], tuple[Tokens, list[list[int]]]],
        options: ScoreOptions,
        stats: Stats,
        stopped: Callable[[], bool],
    ):
        self._cache, self._context = cache, cache.context
        self._stopped = stopped
        self._end_tokens = options.end_tokens
        self._tokenize, self._n_ctx, self._stats = tokenize, options.n_ctx, stats
        self._room = min(options.chunk, cache.context.options.batch)
        self._sequences_of: list[list[int]] = []
        self._outputs: list[_Node] = []
        self._count = 0  # tokens in the batch
        self._cells = 0  # cells taken by trees that are not yet done, the batch included
        self._trees: list[_Tree] = []

    def run(self, requests: Iterable[ScoreRequest]) -> Iterator[Scores]:
        """Yield each request's scores."""
        source = iter(requests)
        waiting: deque[_Job] = deque()
        more = True
        try:
            while not self._stopped():
                while more and len(waiting) < WINDOW:
                    request = next(source, None)
                    if request is None:
                        more = False
                        break
                    job = _Job(request, *self._tokenize(request))
                    error = self._misfit(job)
                    if error:
                        nan = (float("nan"),) * len(request.candidates)
                        yield Scores(request.key, nan, len(job.prompt), error)
                    else:
                        waiting.append(job)
                if not waiting:
                    break
                job = waiting.popleft()
                later = max((common(job.prompt, other.prompt) for other in waiting), default=0)
                yield from self._score(job, later)
            yield from self._flush()
        except KeyboardInterrupt:
            self._trees.clear()
            self._cache.reset()
            raise
        finally:
            for tree in self._trees:
                for sequence in tree.sequences:
                    self._cache.free(sequence)
            self._trees.clear()

    def _misfit(self, job: _Job) -> str | None:
        size = len(job.prompt) + max(map(len, job.answers), default=0)
        if not job.answers:
            return "there are no candidates to score"
        if not len(job.prompt):
            return "the prompt is empty"
        if size > self._n_ctx:
            return (
                f"the prompt has {len(job.prompt)} tokens, with the longest candidate {size}, the context holds "
                f"{self._n_ctx}; shorten it or use a larger context"
            )
        return None

    def _score(self, job: _Job, later: int) -> Iterator[Scores]:
        """Put a request's tokens into the batch; yield what gets ready meanwhile."""
        source, shared = self._cache.held(job.prompt)
        later = min(later, len(job.prompt) - 1)
        if later > shared + WORTH:
            yield from self._flush()
            source, shared = self._hold(job.prompt[:later], source, shared)
        shared = min(shared, len(job.prompt) - 1)
        room = self._cache.capacity - len(job.prompt) - 8
        groups = _groups(job.answers, self._context.options.sequences // 2, room)
        for number, answers in enumerate(groups):
            tree = _Tree(job, answers, _tree(answers), number == len(groups) - 1)
            nodes = list(tree.root.inner())
            leaves = [node for node in nodes if not any(child.children for child in node.children.values())]
            need = len(job.prompt) - shared + len(nodes)
            # A call's worth of tokens at a time: every query looks at all cells in use, those of other trees too, so
            # that trees which are kept until the cache is full make scoring several times slower.
            if (
                self._cache.free_sequences <= len(leaves)
                or (self._cells and self._cells + need > self._room)
                or self._cache.used + self._cells + need > self._cache.capacity
            ):
                yield from self._flush()
                source, shared = self._cache.held(job.prompt)
                shared = min(shared, len(job.prompt) - 1)
                while self._cache.free_sequences <= len(leaves) or (
                    self._cache.used + len(job.prompt) + len(nodes) > self._cache.capacity
                ):
                    if not self._cache.drop_oldest():
                        break
                    source, shared = self._cache.held(job.prompt, bring_back=False)
                    shared = min(shared, len(job.prompt) - 1)
            for leaf in leaves:
                sequence = self._cache.fork(source, shared) if source is not None and shared else self._cache.new()
                assert sequence is not None
                tree.sequences.append(sequence)
                leaf.sequences.append(sequence.number)
            _spread(tree.root)
            self._trees.append(tree)
            everyone = tree.root.sequences
            for position in range(shared, len(job.prompt) - 1):
                self._add(int(job.prompt[position]), position, everyone, None)
            self._add(int(job.prompt[-1]), len(job.prompt) - 1, everyone, tree.root)
            for node in nodes[1:]:
                self._add(node.token, len(job.prompt) + node.depth - 1, node.sequences, node)

    def _add(self, token: int, position: int, sequences: list[int], output: _Node | None) -> None:
        if self._count == self._room:
            self._compute()
        context, here = self._context, self._count
        context.token[here] = token
        context.pos[here] = position
        context.output[here] = output is not None
        self._sequences_of.append(sequences)
        if output is not None:
            self._outputs.append(output)
        self._count += 1
        self._cells += 1

    def _compute(self) -> None:
        if not self._count:
            return
        began = time.perf_counter()
        while not self._context.decode(self._count, self._sequences_of):
            if not self._cache.drop_oldest():
                raise MemoryError("the KV cache is too small for one scoring request")
        rows = self._context.logits(len(self._outputs)) if self._outputs else None
        self._stats.compute_seconds += time.perf_counter() - began
        self._stats.steps += 1
        self._stats.prompt_tokens += self._count
        if rows is not None:
            for row, node in zip(rows, self._outputs, strict=True):
                node.best = int(row.argmax())
                top = row[node.best]
                total = float(top) + float(np.log(np.exp(row - top).sum(dtype=np.float64)))
                for token in node.children:
                    node.logprobs[token] = float(row[token]) - total
        self._outputs.clear()
        self._sequences_of.clear()
        self._count = 0

    def _flush(self) -> Iterator[Scores]:
        """Compute what is in the batch, and yield the requests that are complete."""
        self._compute()
        trees, self._trees, self._cells = self._trees, [], 0
        ready: list[Scores] = []
        for tree in trees:
            for sequence in tree.sequences:
                self._cache.free(sequence)
            job = tree.job
            job.scores += [_walk(tree.root, answer) for answer in tree.answers]
            written = _greedy(tree.root, self._end_tokens)
            if written is not None:
                named = zip(job.answers, job.request.candidates, strict=True)
                job.greedy = next((text for tokens, text in named if tokens[:-1] == written), job.greedy)
            if tree.last:
                ready.append(Scores(job.request.key, tuple(job.scores), len(job.prompt), greedy=job.greedy))
        yield from ready

    def _hold(self, tokens: Tokens, source: Sequence | None, shared: int) -> tuple[Sequence | None, int]:
        """Compute a prefix that requests to come share, and keep it."""
        sequence = self._cache.fork(source, shared) if source is not None and shared else self._cache.new()
        if sequence is None:
            return source, shared
        read_on(self._cache, sequence, tokens, self._room, self._stats)
        self._cache.hold(tokens, sequence)
        self._cache.free(sequence)
        return self._cache.held(tokens)


def _tree(answers: list[list[int]]) -> _Node:
    root = _Node(-1, 0)
    for answer in answers:
        node = root
        for depth, token in enumerate(answer, 1):
            node = node.children.setdefault(token, _Node(token, depth))
    return root


def _spread(node: _Node) -> None:
    """Let every inner node belong to the sequences of the leaves below it."""
    for child in node.children.values():
        if child.children:
            _spread(child)
            node.sequences += child.sequences


def _walk(root: _Node, answer: list[int]) -> float:
    total, node = 0.0, root
    for token in answer:
        total += node.logprobs[token]
        node = node.children[token]
    return total


def _greedy(root: _Node, end_tokens: Collection[int]) -> list[int] | None:
    """Return the tokens that greedy decoding writes before its end; None where it leaves the tree."""
    written: list[int] = []
    node: _Node | None = root
    while node is not None and node.best not in end_tokens:
        written.append(node.best)
        node = node.children.get(node.best)
    return None if node is None else written


def _groups(answers: list[list[int]], most: int, room: int) -> list[list[list[int]]]:
    """Split candidates into groups whose trees have few enough leaves and tokens."""
    groups: list[list[list[int]]] = [[]]
    size = 0
    for answer in answers:
        if groups[-1] and (len(groups[-1]) >= most or size + len(answer) > room):
            groups.append([])
            size = 0
        groups[-1].append(answer)
        size += len(answer)
    return groups
