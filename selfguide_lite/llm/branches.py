"""What is asked of a batch and the branches that its samples grow. Counted in tokens; knows nothing of chats."""

from dataclasses import dataclass, field, fields

from selfguide_lite.llm.automaton import State
from selfguide_lite.llm.base import FinishReason, Request
from selfguide_lite.llm.constraint import Constraint
from selfguide_lite.llm.draw import Rule, stream
from selfguide_lite.llm.kv import Sequence
from selfguide_lite.llm.native import Tokens, Vocabulary
from selfguide_lite.llm.text_ends import find_stop


@dataclass(slots=True)
class Stats:
    """What the engine has done since it was loaded.

    :param prompt_tokens: computed for prompts (shared ones once)
    :param branch_tokens: computed for answers, one for each distinct tree node
    :param repeated_tokens: of these, computed again because of a lack of room
    :param sampled_tokens: drawn, all samples together; those that a schema forces are not among them
    :param steps: calls of llama.cpp
    :param compute_seconds: spent inside them
    """

    prompt_tokens: int = 0
    branch_tokens: int = 0
    repeated_tokens: int = 0
    sampled_tokens: int = 0
    steps: int = 0
    compute_seconds: float = 0.0

    def __add__(self, other: "Stats") -> "Stats":
        return Stats(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


class Job:
    """A request with its prompt as tokens.

    :param constraint: what its answers are held to; None: they are free
    """

    __slots__ = ("chat", "constraint", "hold_at", "prompt", "request", "rule", "stops", "streams")

    def __init__(self, request: Request, prompt: Tokens, constraint: Constraint | None = None):
        self.request = request
        self.constraint = constraint
        self.prompt = prompt
        self.rule = Rule(request.temperature, request.top_k, request.top_p)
        self.streams = [stream(request.seed, request.key, sample) for sample in range(request.n)]
        self.stops = tuple(text.encode() for text in request.stop if text)
        self.chat = not isinstance(request.messages, str)
        self.hold_at = 0  # keep this much of the prompt once it is computed: requests to come share it

    def limit(self, n_ctx: int) -> int:
        """Return how many tokens an answer may have in a context of so many."""
        return min(self.request.max_tokens, n_ctx - len(self.prompt))


@dataclass(slots=True)
class Branch:
    """Samples of a request that drew the same tokens so far.

    :param state: of the constraint, where there is one
    :param whole: whether the constraint leaves nothing to draw
    """

    job: Job
    samples: list[int]
    tokens: list[int] = field(default_factory=list)
    data: bytes = b""
    logprob: float = 0.0
    state: State | None = None
    whole: bool = False
    sequence: Sequence | None = None
    computed_before: int = 0  # tokens whose cells were given up; computing them again is waste

    @property
    def length(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.job.prompt) + len(self.tokens)

    def path(self, start: int, end: int) -> list[int] | Tokens:
        """Return tokens of prompt and answer by position."""
        size = len(self.job.prompt)
        if start >= size:
            return self.tokens[start - size : end - size]
        if end <= size:
            return self.job.prompt[start:end]
        return [*self.job.prompt[start:].tolist(), *self.tokens[: end - size]]

    def ended(self) -> tuple[bytes, int, FinishReason]:
        """Return the text and its tokens where there is no room for more: an object is closed, other text is cut."""
        constraint = self.job.constraint
        if constraint is None or self.state is None:
            return self.data, len(self.tokens), "length"
        data, count = constraint.closing(self.state)
        return self.data + data, len(self.tokens) + count, "stop"


@dataclass(frozen=True, slots=True)
class Growth:
    """What becomes of a branch's samples that drew a token.

    :param tokens: that the branch gets: the drawn one, and what its schema forces after it
    :param data: the whole text
    :param size: tokens of the whole answer
    :param finish: None: it goes on
    """

    tokens: tuple[int, ...]
    data: bytes
    size: int
    state: State | None = None
    finish: FinishReason | None = None


def first_branch(job: Job) -> Branch:
    """Return the branch of all samples of a request, with what its schema lets every answer begin with."""
    samples = list(range(job.request.n))
    if job.constraint is None:
        return Branch(job, samples)
    begun = job.constraint.begin()
    return Branch(job, samples, list(begun.tokens), begun.data, 0.0, begun.state, begun.whole)


def growth(branch: Branch, token: int, vocabulary: Vocabulary, n_ctx: int) -> Growth:
    """Return what becomes of the samples of a branch that drew a token.

    An object that may not get much longer is closed while there is room for it.
    """
    job, size = branch.job, len(branch.tokens) + 1
    if job.constraint is not None and branch.state is not None:
        grown = job.constraint.grow(branch.state, token)
        data, size = branch.data + grown.data, len(branch.tokens) + len(grown.tokens)
        if grown.whole:
            return Growth((), data, size, finish="stop")
        if job.limit(n_ctx) - size <= job.constraint.cost(grown.state):
            rest, count = job.constraint.closing(grown.state)
            return Growth((), data + rest, size + count, finish="stop")
        return Growth(grown.tokens, data, size, grown.state)
    if token in vocabulary.end_tokens:
        return Growth((), branch.data, size, finish="stop")
    piece = vocabulary.piece(token)
    data = branch.data + piece
    cut = find_stop(data, len(piece), job.stops) if job.stops else -1
    if cut >= 0:
        return Growth((), data[:cut], size, finish="stop")
    if size >= job.request.max_tokens or branch.length + 1 >= n_ctx or _too_long(data, job.request.max_chars):
        return Growth((), data, size, finish="length")
    return Growth((token,), data, size)


def _too_long(data: bytes, max_chars: int) -> bool:
    """Whether a text has more characters than it may; bytes are counted first, of which it has at least as many."""
    return 0 < max_chars < len(data) and len(data.decode("utf-8", "ignore").strip()) > max_chars
