"""What every engine takes and gives: requests in, completions and scores out.

An engine knows nothing of tasks, prompts or stores.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

from selfguide_lite.core.messages import Message
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.fields import Schema

FinishReason = Literal["stop", "length", "error"]


@dataclass(frozen=True, slots=True)
class Request:
    """n samples of one prompt.

    :param key: the caller's name for it; with `seed`, the sample number and the step it fixes the random stream
    :param messages: chat turns ending with a user's, or a plain text that is completed as it is
    :param temperature: 0 is greedy
    :param top_k: 0 keeps all tokens
    :param top_p: 1 keeps all tokens
    :param max_tokens: per sample
    :param max_chars: a sample that has more characters ends there, as one that is too long; 0: no bound. By a local
        model alone: a server goes by `max_tokens`
    :param stop: texts that end a sample; they are not part of it
    :param schema: the answer is an object of it, with a largest size for every string and list; `stop` is not looked at
        then, and every object ends within `max_tokens`
    :param told: called with the whole text so far, each time a single sample has grown; by a local model alone
    """

    key: str
    messages: tuple[Message, ...] | str
    n: int = 1
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    max_tokens: int = 256
    max_chars: int = 0
    stop: tuple[str, ...] = ()
    seed: int = 0
    schema: Schema | None = None
    told: Callable[[str], None] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Completion:
    """One finished sample of a request.

    :param text: what was generated, without the stop text
    :param finish_reason: `stop` (end token or stop text), `length` (max_tokens or context), `error`
    :param mean_logprob: mean natural-log probability of the drawn tokens under the unmodified model, under a schema of
        all tokens among those that it allows; NaN where unknown
    :param error: for `error`, one line that says why
    :param raw: all that was generated, where `text` is only a part of it: a thinking block was cut
    """

    key: str
    sample: int
    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    mean_logprob: float
    error: str | None = None
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """A prompt and the few texts that may follow it."""

    key: str
    messages: tuple[Message, ...] | str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """Natural-log probability of each candidate (text and then the end token) after the prompt, in their order.

    :param greedy: the candidate that greedy decoding writes after this prompt, from the same pass; None where it writes
        another text, and where the engine cannot tell
    """

    key: str
    logprobs: tuple[float, ...]
    prompt_tokens: int
    error: str | None = None
    greedy: str | None = None


class Engine(Protocol):
    """Text in, text out, many at once. Results come in the order they finish."""

    info: ModelInfo
    n_ctx: int

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield every sample of every request. `requests` is read lazily, in bounded memory."""
        ...

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Scores]:
        """Yield the exact log-probability of each candidate of every request."""
        ...

    def count_tokens(self, messages: Sequence[Message] | str) -> int:
        """Number of prompt tokens of these messages, chat template included."""
        ...

    def prepare(self, one: Sequence[Message] | str, other: Sequence[Message] | str) -> int:
        """Have what two prompts begin with in common at hand for those to come, and return its number of tokens.

        A local model takes it from the disk, where it is kept once it was computed. It counts until another adapter is
        set.
        """
        ...

    def smallest_object(self, schema: Schema) -> int:
        """Number of tokens that the smallest object of a schema takes at most."""
        ...

    def close(self) -> None:
        """Free the model."""
        ...

    def __enter__(self) -> Self:
        """Return the engine itself; leaving the block closes it."""
        ...

    def __exit__(self, *_: object) -> None: ...
