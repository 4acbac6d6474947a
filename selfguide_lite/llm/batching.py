"""Continuous batching of sampled requests over one context.

Every step is one call of llama.cpp: the newest token of each running branch, and pieces of waiting prompts in the room
that is left. Samples of a request run as one branch while they draw the same tokens (the sample tree). A branch that
finds no room is put off and computed again later.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from selfguide_lite.llm.base import Completion, FinishReason, Request
from selfguide_lite.llm.branches import Branch, Growth, Job, Stats, first_branch, growth
from selfguide_lite.llm.draw import Sampler, uniforms
from selfguide_lite.llm.kv import WORTH, Cache, Sequence, common
from selfguide_lite.llm.native import Logits, Tokens, Vocabulary
from selfguide_lite.llm.text_ends import whole_characters
from selfguide_lite.llm.thinking import without_thinking

WINDOW = 32  # requests read ahead, to find what they have in common
_OWN = 32  # prompt tokens of its own for each sample from which on a request counts as bringing many


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How much is computed in one step.

    :param n_ctx: tokens of one sequence at most
    :param parallel: branches that go on in one step
    :param parallel_own: the same where a request brings many tokens that no other has: each branch's cells are looked
        at by the queries of all others, so that fewer at once are faster
    :param chunk: prompt tokens in one step at most
    :param tree: let equal samples share a branch; without it the texts are the same and cost more
    """

    n_ctx: int
    parallel: int
    parallel_own: int
    chunk: int
    tree: bool


class Batcher:
    """Runs requests to their end.

    :param cache: the context's sequences
    :param prepare: a request with its prompt as token ids
    :param stats: what is done is added to these
    :param stopped: asked before every step; once it says so the run ends
    """

    def __init__(
        self,
        cache: Cache,
        vocabulary: Vocabulary,
        prepare: Callable[[Request], Job],
        options: BatchOptions,
        stats: Stats,
        stopped: Callable[[], bool] = lambda: False,
    ):
        self._cache, self._context = cache, cache.context
        self._vocabulary, self._prepare = vocabulary, prepare
        self._n_ctx, self._parallel, self._chunk = options.n_ctx, options.parallel, options.chunk
        self._parallel_own, self._tree = min(options.parallel, options.parallel_own), options.tree
        self._stats, self._stopped = stats, stopped
        self._waiting: deque[Job] = deque()
        self._put_off: deque[Branch] = deque()
        self._live: list[Branch] = []  # in the order they should end
        self._done: list[Completion] = []
        self._mean_length = 0.0  # tokens of an answer, running mean, to guess the room a request needs
        self._drawer = Sampler()
        self._allowed: Logits = np.empty((0, 0), np.float32)  # rows of logits under schemas
        self._heavy: Job | None = None  # waits because it brings many tokens of its own
        self._crowded = False  # there was no room: nothing is admitted until something has ended

    def run(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield completions as they finish. After an interrupt what is finished is yielded, then it is raised."""
        source = iter(requests)
        try:
            more = True
            while not self._stopped():
                while more and len(self._waiting) < WINDOW:
                    request = next(source, None)
                    if request is None:
                        more = False
                    else:
                        self._receive(request)
                self._admit()
                if self._live:
                    self._step()
                yield from self._deliver()
                if not (more or self._waiting or self._live or self._put_off):
                    return
        except KeyboardInterrupt:
            self._live.clear()
            self._cache.reset()
            yield from self._deliver()
            raise
        finally:
            for branch in self._live:
                if branch.sequence is not None:
                    self._cache.free(branch.sequence)
            self._live.clear()

    def _deliver(self) -> Iterator[Completion]:
        done, self._done = self._done, []
        yield from done

    # admission

    def _receive(self, request: Request) -> None:
        job = self._prepare(request)
        size = len(job.prompt)
        if request.max_tokens <= 0:
            reason = "max_tokens must be at least 1"
        elif not size:
            reason = "the prompt is empty"
        elif size >= self._n_ctx:
            reason = (
                f"the prompt has {size} tokens, the context holds {self._n_ctx}; shorten it or use a larger context"
            )
        elif job.constraint is not None and job.constraint.least > job.limit(self._n_ctx):
            reason = (
                f"the smallest object of the schema takes up to {job.constraint.least} tokens, and there is room for "
                f"{job.limit(self._n_ctx)}; allow more tokens, shorten the prompt, or take fewer fields"
            )
        else:
            first = first_branch(job)
            if first.whole:
                self._finish(first, first.samples, "stop", first.data, 0.0)
            else:
                self._waiting.append(job)
            return
        nan = float("nan")
        self._done += [Completion(request.key, n, "", "error", size, 0, nan, reason) for n in range(request.n)]

    def _admit(self) -> None:
        if self._crowded and self._live:
            return
        self._crowded = False
        roomy = True
        while len(self._live) < self._parallel and (self._put_off or self._waiting):
            if self._put_off:
                branch = self._put_off[0]
                prompt = np.array(branch.path(0, branch.length), np.int32)
            else:
                if self._waiting[0] is self._heavy and len(self._live) >= self._parallel_own:
                    return
                branch = first_branch(self._waiting[0])
                prompt = branch.job.prompt
            source, shared, coming = self._live_prefix(prompt)
            known = self._cache.known(prompt) if roomy else 0
            if coming > max(shared, known) + WORTH:
                return  # a prompt that is being computed will have more in common
            own = len(prompt) - max(shared, known)
            if own > _OWN * len(branch.samples) and len(self._live) >= self._parallel_own:
                self._heavy = branch.job
                return
            if known > shared or not roomy:
                held, length = self._cache.held(prompt, roomy)
                if length > shared:
                    source, shared = held, length
            shared = min(shared, len(prompt) - 1)
            if self._live and self._cache.used + self._guess(branch, shared) > self._cache.capacity:
                roomy = False
                if self._cache.drop_oldest():
                    continue
                return
            sequence = self._cache.fork(source, shared) if source is not None and shared else self._cache.new()
            if sequence is None:
                roomy = False
                if self._cache.drop_oldest():
                    continue
                return
            branch.sequence = sequence
            self._live.append(branch)
            if self._put_off:
                self._put_off.popleft()
            else:
                self._waiting.popleft()
                shared_later = max((common(prompt, job.prompt) for job in self._waiting), default=0)
                if shared_later > shared + WORTH:
                    branch.job.hold_at = min(shared_later, len(prompt))

    def _live_prefix(self, prompt: Tokens) -> tuple[Sequence | None, int, int]:
        """Return the running sequence with most in common with a prompt, how many tokens, how many once computed."""
        source, shared, coming = None, 0, 0
        for other in self._live:
            if other.sequence is None:
                continue
            ahead = common(prompt, other.job.prompt)
            ready = min(ahead, other.sequence.length)
            coming = max(coming, ahead)
            if ready > shared:
                source, shared = other.sequence, ready
        return source, shared, coming

    def _guess(self, branch: Branch, shared: int) -> int:
        """Cells that a branch will need, roughly."""
        request = branch.job.request
        answer = min(request.max_tokens, self._mean_length or 64.0)
        return branch.length - shared + int(answer * (1 if self._tree else len(branch.samples)))

    # one call of llama.cpp

    def _step(self) -> None:
        context = self._context
        count = running = 0
        room = context.options.batch
        plan: list[tuple[Branch, Sequence, int]] = []
        heads: list[Branch] = []
        prompts: list[tuple[Branch, Sequence]] = []
        for branch in self._live:
            sequence = branch.sequence
            assert sequence is not None
            if branch.length - sequence.length > 1:
                prompts.append((branch, sequence))
            elif running < self._parallel and count < room:
                context.token[count] = branch.path(sequence.length, branch.length)[0]
                context.pos[count] = sequence.length
                context.seq[count] = sequence.number
                context.output[count] = 1
                plan.append((branch, sequence, 1))
                heads.append(branch)
                running += 1
                count += 1
        room = min(room, count + self._chunk)
        for branch, sequence in prompts:
            start = sequence.length
            size = min(branch.length - start, room - count)
            if size <= 0:
                break
            here = slice(count, count + size)
            context.token[here] = branch.path(start, start + size)
            context.pos[here] = np.arange(start, start + size, dtype=np.int32)
            context.seq[here] = sequence.number
            context.output[here] = 0
            plan.append((branch, sequence, size))
            if start + size == branch.length:
                context.output[count + size - 1] = 1
                heads.append(branch)
            count += size
        began = time.perf_counter()
        if not context.decode(count):
            self._make_room()
            return
        logits = context.logits(len(heads)) if heads else None
        self._stats.compute_seconds += time.perf_counter() - began
        self._stats.steps += 1
        for branch, sequence, size in plan:
            self._account(branch, sequence.length, size)
            self._cache.grow(sequence, size)
            job = branch.job
            if job.hold_at and sequence.length >= job.hold_at:
                self._cache.hold(job.prompt[: job.hold_at], sequence)
                job.hold_at = 0
        if logits is not None:
            self._draw(heads, logits)

    def _account(self, branch: Branch, start: int, size: int) -> None:
        end = start + size
        prompt = min(end, len(branch.job.prompt)) - min(start, len(branch.job.prompt))
        self._stats.prompt_tokens += prompt
        self._stats.branch_tokens += size - prompt
        self._stats.repeated_tokens += max(0, min(end, branch.computed_before) - start)

    def _make_room(self) -> None:
        """Give up kept prefixes, then the branch that would end last; it is computed again later."""
        if self._cache.drop_oldest():
            return
        self._crowded = True
        if len(self._live) > 1:
            self._put_off_branch(self._live.pop())
            return
        branch = self._live.pop()
        data, tokens, reason = branch.ended()
        self._finish(branch, branch.samples, reason, data, branch.logprob, drawn=tokens)

    def _put_off_branch(self, branch: Branch) -> None:
        if branch.sequence is not None:
            branch.computed_before = max(branch.computed_before, branch.sequence.length)
            self._cache.free(branch.sequence)
            branch.sequence = None
        self._put_off.appendleft(branch)

    # drawing

    def _draw(self, heads: list[Branch], logits: Logits) -> None:
        """Draw the next token of every sample of these branches."""
        counts = [len(branch.samples) for branch in heads]
        owners = np.repeat(np.arange(len(heads)), counts)
        steps = np.repeat(np.array([len(branch.tokens) for branch in heads], np.uint64), counts)
        streams = np.array([branch.job.streams[s] for branch in heads for s in branch.samples], np.uint64)
        rules = [branch.job.rule for branch in heads]
        if any(branch.job.constraint is not None for branch in heads):
            logits = self._restricted(heads, logits)
        tokens, logprobs = self._drawer.draw(logits, rules, owners, uniforms(streams, steps))
        drawn, chances = tokens.tolist(), logprobs.tolist()
        self._stats.sampled_tokens += len(drawn)
        start = 0
        for branch, count in zip(heads, counts, strict=True):
            end = start + count
            if count == 1:
                self._extend(branch, {drawn[start]: branch.samples}, {drawn[start]: chances[start]})
            else:
                groups: dict[int, list[int]] = {}
                for sample, token in zip(branch.samples, drawn[start:end], strict=True):
                    groups.setdefault(token, []).append(sample)
                self._extend(branch, groups, dict(zip(drawn[start:end], chances[start:end], strict=True)))
            start = end

    def _restricted(self, heads: list[Branch], logits: Logits) -> Logits:
        """Return the logits with minus infinity for the tokens that a branch's schema does not allow."""
        if self._allowed.shape != (self._parallel, logits.shape[1]):
            self._allowed = np.empty((max(self._parallel, len(heads)), logits.shape[1]), np.float32)
        out = self._allowed[: len(heads)] if len(heads) <= len(self._allowed) else np.empty_like(logits)
        for branch, row, target in zip(heads, logits, out, strict=True):
            if branch.job.constraint is None or branch.state is None:
                target[:] = row
            else:
                branch.job.constraint.allowed(branch.state).restrict(row, target)
        return out

    def _extend(self, branch: Branch, groups: dict[int, list[int]], chances: dict[int, float]) -> None:
        """Let the samples of a branch part where they drew different tokens."""
        job = branch.job
        going: list[tuple[Growth, list[int], float]] = []
        for token, samples in groups.items():
            logprob = branch.logprob + chances[token]
            grown = growth(branch, token, self._vocabulary, self._n_ctx)
            if grown.finish is not None:
                self._finish(branch, samples, grown.finish, grown.data, logprob, drawn=grown.size)
            elif self._tree:
                going.append((grown, samples, logprob))
            else:
                going += [(grown, [sample], logprob) for sample in samples]
        place = self._live.index(branch)
        if not going:
            assert branch.sequence is not None
            self._cache.free(branch.sequence)
            del self._live[place]
            self._crowded = False
            return
        before = branch.tokens
        for grown, samples, logprob in going[1:]:
            twin = Branch(job, samples, [*before, *grown.tokens], grown.data, logprob, grown.state)
            assert branch.sequence is not None
            twin.sequence = self._cache.fork(branch.sequence, branch.sequence.length)
            if twin.sequence is None:
                self._put_off.append(twin)
            else:
                place += 1
                self._live.insert(place, twin)
        grown, branch.samples, branch.logprob = going[0]
        branch.data, branch.state = grown.data, grown.state
        branch.tokens += grown.tokens
        if job.request.told is not None and len(branch.samples) == 1:
            job.request.told(whole_characters(branch.data).decode("utf-8", "replace"))

    def _finish(
        self,
        branch: Branch,
        samples: list[int],
        reason: FinishReason,
        data: bytes,
        logprob: float,
        drawn: int | None = None,
    ) -> None:
        request = branch.job.request
        count = len(branch.tokens) if drawn is None else drawn
        text = (
            data.decode("utf-8", "replace") if reason == "stop" else whole_characters(data).decode("utf-8", "replace")
        )
        raw = None
        if branch.job.constraint is not None:
            text = text.lstrip()  # the blanks before an object
        elif branch.job.chat:
            text = text.strip()
            if (answer := without_thinking(text)) != text:
                text, raw = answer, text
        mean = logprob / count if count else float("nan")
        self._mean_length += (count - self._mean_length) * 0.05 if self._mean_length else count
        size = len(branch.job.prompt)
        self._done += [Completion(request.key, sample, text, reason, size, count, mean, raw=raw) for sample in samples]
