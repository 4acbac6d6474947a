"""What is asked of a batch and the branches that its samples grow. Counted in tokens; knows nothing of chats."""

from dataclasses import dataclass, field, fields

from selfguide_lite.llm.base import Request
from selfguide_lite.llm.draw import Rule, stream
from selfguide_lite.llm.kv import Sequence
from selfguide_lite.llm.native import Tokens


@dataclass(slots=True)
class Stats:
    """What the engine has done since it was loaded.

    :param prompt_tokens: computed for prompts (shared ones once)
    :param branch_tokens: computed for answers, one for each distinct tree node
    :param repeated_tokens: of these, computed again because of a lack of room
    :param sampled_tokens: drawn, all samples together
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
    """A request with its prompt as tokens."""

    __slots__ = ("chat", "hold_at", "prompt", "request", "rule", "stops", "streams")

    def __init__(self, request: Request, prompt: Tokens):
        self.request = request
        self.prompt = prompt
        self.rule = Rule(request.temperature, request.top_k, request.top_p)
        self.streams = [stream(request.seed, request.key, sample) for sample in range(request.n)]
        self.stops = tuple(text.encode() for text in request.stop if text)
        self.chat = not isinstance(request.messages, str)
        self.hold_at = 0  # keep this much of the prompt once it is computed: requests to come share it


@dataclass(slots=True)
class Branch:
    """Samples of a request that drew the same tokens so far."""

    job: Job
    samples: list[int]
    tokens: list[int] = field(default_factory=list)
    data: bytes = b""
    logprob: float = 0.0
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
