"""The server engine: the same requests, sent to any OpenAI-compatible server (llama.cpp's own, vLLM, ...).

A chat goes to the chat endpoint, where the server's own chat template is used; a plain text to the completions
endpoint.
"""

import hashlib
import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.core.model_info import ModelInfo
from selfguide_lite.fields import Schema, found_object
from selfguide_lite.llm.base import Completion, FinishReason, Request, ScoreRequest, Scores
from selfguide_lite.llm.draw import stream
from selfguide_lite.llm.thinking import without_thinking

KEY_VARIABLE = "SELFGUIDE_API_KEY"
_NO_CONTEXT_NAMED = 4096
_BYTES_PER_TOKEN = 3  # a cautious guess, for servers do not tell
_MOST_SECONDS_TO_LIST = 15.0
_LONGEST_PAUSE = 60.0  # seconds that the client waits at most when a server says when to come again
_MOST_UNDER_WAY = 1_000  # each has a thread
_LONGEST_NAME = 500  # characters of a model's name
_LONGEST_TOKEN = 128  # characters; those of vocabularies are shorter
_SHORTEST_KEY = 12  # letters and digits of a key that is found in pieces too
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server is talked to.

    :param concurrency: requests under way at once
    :param timeout: seconds until a request is given up
    :param retries: after 429, 5xx and broken connections, each after a longer pause
    """

    concurrency: int = 16
    timeout: float = 600.0
    retries: int = 5

    @classmethod
    def from_environment(cls) -> "ServerOptions":
        """Return the options with what `SELFGUIDE_SERVER_CONCURRENCY`, `_TIMEOUT` and `_RETRIES` change.

        :raises SelfguideError: where one of them is no number, or too large a one
        """
        return cls(
            concurrency=int(_number("SELFGUIDE_SERVER_CONCURRENCY", cls().concurrency, 1, _MOST_UNDER_WAY)),
            timeout=_number("SELFGUIDE_SERVER_TIMEOUT", cls().timeout, 0.001),
            retries=int(_number("SELFGUIDE_SERVER_RETRIES", cls().retries, 0)),
        )


def _number(variable: str, default: float, least: float, most: float = 1e6) -> float:
    given = os.environ.get(variable)
    if not given:
        return default
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise SelfguideError(f"{variable}: {given!r} is no number from {least:g} to {most:g}")
    return value


class ServerEngine:
    """A model on an OpenAI-compatible server. An API key is read from `SELFGUIDE_API_KEY` only.

    Key and prompts go to the server that was named and nowhere else: a redirect is not followed. A message never
    holds the key, even where the server says it.

    :param url: base URL, such as `http://localhost:8000/v1`
    :param model: its name there; None: the first one the server offers
    :param n_ctx: tokens of one sequence at most; None: what the server says, else 4096
    :raises SelfguideError: where the URL is wrong or the server does not answer
    """

    def __init__(
        self, url: str, *, model: str | None = None, n_ctx: int | None = None, options: ServerOptions | None = None
    ):
        try:
            import openai

            from selfguide_lite.llm.bounded_http import BoundedClient, reason_of
        except ImportError as error:
            raise SelfguideError("--server needs one more package: pip install 'selfguide-lite[server]'") from error
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SelfguideError(f"--server: {url!r} is no base URL; give one such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise SelfguideError(f"--server: keep keys out of the URL; set {KEY_VARIABLE} in the environment instead")
        self._openai, self._reason_of = openai, reason_of
        self._options = options or ServerOptions.from_environment()
        self._url = url.rstrip("/")
        self._key = os.environ.get(KEY_VARIABLE, "")
        self._client = openai.OpenAI(
            base_url=self._url,
            api_key=self._key or "none",
            timeout=self._options.timeout,
            max_retries=self._options.retries,
            http_client=BoundedClient(self._options.timeout),
        )
        self._spelled = _spelled(self._key)
        self._extras = True  # the server takes top_k and min_p
        name, context = self._find(model)
        self.n_ctx = n_ctx or context
        self.info = ModelInfo(
            name=name,
            path=self._url,
            sha256=hashlib.sha256(f"{self._url}\n{name}".encode()).hexdigest(),
            architecture="server",
            parameters=0,
        )

    def _find(self, model: str | None) -> tuple[str, int]:
        """Return the model's name and context, after asking what the server offers."""
        openai = self._openai
        client = self._client.with_options(max_retries=1, timeout=_MOST_SECONDS_TO_LIST)
        listing = in_background(lambda: list(client.models.list()))
        try:
            offered = [entry for entry in listing.result(4 * _MOST_SECONDS_TO_LIST) if isinstance(entry.id, str)]
        except TimeoutError as error:
            raise self._endless(4 * _MOST_SECONDS_TO_LIST) from error
        except (openai.NotFoundError, openai.APIResponseValidationError, openai.UnprocessableEntityError) as error:
            if model is None:
                raise SelfguideError(
                    f"{self._url}: this server does not list its models; name one with --server-model"
                ) from error
            return model, _NO_CONTEXT_NAMED
        except openai.OpenAIError as error:
            raise self._failure(error) from error
        except (AttributeError, TypeError, ValueError, RecursionError) as error:
            raise SelfguideError(
                f"{self._url}: this is no OpenAI-compatible server; the path often ends in /v1"
            ) from error
        found = next((entry for entry in offered if model is None or entry.id == model), None)
        if found is None:
            names = ", ".join(self._line(entry.id, 80) for entry in offered[:5]) or "none"
            lacks = "offers no model" if model is None else f"has no model {model!r}; it offers: {names}"
            raise SelfguideError(f"{self._url}: the server {lacks}")
        if len(found.id) > _LONGEST_NAME or not found.id.isprintable() or self._spelled.search(found.id):
            raise SelfguideError(
                f"{self._url}: the server's model has no name that can be used: {self._line(found.id)}"
            )
        context = getattr(found, "max_model_len", None)
        named = isinstance(context, int) and not isinstance(context, bool) and 0 < context < 2**31
        return found.id, cast(int, context) if named else _NO_CONTEXT_NAMED

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Yield every sample of every request as it comes back, a bounded number of them under way.

        :raises SelfguideError: where the server cannot be reached any more; what came back before was yielded
        """
        source = ((request, sample) for request in requests for sample in range(request.n))
        under_way: set[Future[Completion]] = set()
        begun: dict[Future[Completion], float] = {}
        more = True
        while True:
            while more and len(under_way) < self._options.concurrency:
                work = next(source, None)
                if work is None:
                    more = False
                else:
                    future = self._begin(*work)
                    under_way.add(future)
                    begun[future] = time.monotonic()
            if not under_way:
                return
            oldest = min(begun[future] for future in under_way)
            done, under_way = wait(under_way, oldest + self._longest - time.monotonic(), return_when=FIRST_COMPLETED)
            if not done:  # each piece of the answer came in time, and it never ends
                raise self._endless(self._longest)
            failed = [future for future in done if future.exception() is not None]
            yield from (future.result() for future in done if future.exception() is None)
            if failed:
                for future in wait(under_way, timeout=self._options.timeout).done:
                    if future.exception() is None:
                        yield future.result()
                failed[0].result()

    def score(self, requests: Iterable[ScoreRequest]) -> Iterator[Scores]:
        """Refuse: no common interface gives the probability of a text after a chat.

        :raises SelfguideError: always
        """
        raise SelfguideError(
            f"{self._url}: a server does not give the probabilities that scoring needs; use --set method=sample"
        )

    def count_tokens(self, messages: Sequence[Message] | str) -> int:
        """A cautious guess at the number of prompt tokens: a server does not tell."""
        if isinstance(messages, str):
            return len(messages.encode("utf-8", "replace")) // _BYTES_PER_TOKEN + 1
        return sum(len(m.content.encode("utf-8", "replace")) // _BYTES_PER_TOKEN + 8 for m in messages) + 32

    def prepare(self, one: Sequence[Message] | str, other: Sequence[Message] | str) -> int:
        """Nothing to do: a server keeps what it likes."""
        return 0

    def smallest_object(self, schema: Schema) -> int:
        """A guess at the number of tokens: the server closes its objects itself."""
        return sum(len(one.name.encode()) // _BYTES_PER_TOKEN + 4 for one in schema.fields) + 2

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> "ServerEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, request: Request, sample: int) -> "Future[Completion]":
        """Ask in a thread that the end of the process does not wait for: a server may hang for minutes."""
        return in_background(lambda: self._one(request, sample))

    @property
    def _longest(self) -> float:
        """Seconds after which a request must have ended, with all tries and the pauses between them."""
        return (self._options.retries + 1) * (2 * self._options.timeout + _LONGEST_PAUSE)

    def _endless(self, seconds: float) -> SelfguideError:
        return SelfguideError(f"{self._url}: the server's answer does not end within {seconds:g} s")

    def _one(self, request: Request, sample: int) -> Completion:
        openai = self._openai
        try:
            return self._ask(request, sample)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            # what is wrong with this request is no reason to give up the others
            return Completion(request.key, sample, "", "error", 0, 0, float("nan"), f"{self._url}: {self._line(error)}")
        except openai.OpenAIError as error:
            raise self._failure(error) from error
        except (ValueError, RecursionError) as error:  # a body that is no JSON at all, or nested without end
            raise SelfguideError(f"{self._url}: the server's answer cannot be read: {self._line(error)}") from error

    def _ask(self, request: Request, sample: int) -> Completion:
        options: dict[str, Any] = {
            "model": self.info.name,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "seed": stream(request.seed, request.key, sample) & 0x7FFFFFFF,
        }
        if request.stop:
            options["stop"] = list(request.stop)
        if request.schema is not None:
            named = {"name": "answer", "strict": True, "schema": request.schema.json_schema()}
            options["response_format"] = {"type": "json_schema", "json_schema": named}
        if self._extras:
            # servers have defaults of their own for these: say what is meant
            options["extra_body"] = {"top_k": request.top_k, "min_p": 0.0}
        try:
            return self._send(request, sample, options)
        except self._openai.APIStatusError as error:
            # llama-cpp-python's server answers with status 500 what it does not know
            if request.schema is not None and any(name in str(error) for name in ("response_format", "json_schema")):
                raise SelfguideError(
                    f"{self._url}: this server does not take response_format json_schema ({self._line(error)}), which "
                    "an extraction task needs; use llama.cpp's or vLLM's server, or a model file"
                ) from error
            if not isinstance(error, self._openai.BadRequestError | self._openai.UnprocessableEntityError):
                raise
            if not self._extras or not any(name in str(error) for name in ("top_k", "min_p")):
                raise
            if request.top_k > 0:
                raise SelfguideError(
                    f"{self._url}: this server does not take top_k; set input_top_k and output_top_k to 0"
                ) from error
            self._extras = False
            del options["extra_body"]
            return self._send(request, sample, options)

    def _send(self, request: Request, sample: int, options: dict[str, Any]) -> Completion:
        if isinstance(request.messages, str):
            reply: Any = self._client.completions.create(prompt=request.messages, **options)
        else:
            turns = [{"role": message.role, "content": message.content} for message in request.messages]
            reply = self._client.chat.completions.create(messages=cast(Any, turns), **options)
        try:
            return self._read(request, sample, reply)
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise SelfguideError(
                f"{self._url}: the server's answer is no completion; is it OpenAI-compatible?"
            ) from error

    def _read(self, request: Request, sample: int, reply: Any) -> Completion:
        """Read a reply; the client passes on whatever the server sent, of whatever form."""
        choice = reply.choices[0] if reply.choices else None
        text = "" if choice is None else choice.text if isinstance(request.messages, str) else choice.message.content
        text = ("" if text is None else text).encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        if len(text) > _LONGEST_TOKEN * max(request.max_tokens, _LONGEST_TOKEN):
            raise SelfguideError(
                f"{self._url}: the server's answer has {len(text):,} characters though at most {request.max_tokens} "
                "tokens were asked for"
            )
        if len(self._key) >= _SHORTEST_KEY:  # a shorter one may be a word
            text = self._spelled.sub("[the key]", text)
        reason = None if choice is None else choice.finish_reason
        finish: FinishReason = "stop" if reason == "stop" else "length" if reason == "length" else "error"
        why = self._line(str(reason or "no choice"), 80)
        error = None if finish != "error" else f"{self._url}: the server ended the answer ({why})"
        usage = reply.usage
        prompt, answer = (_tokens(usage.prompt_tokens), _tokens(usage.completion_tokens)) if usage else (0, 0)
        if request.schema is not None:
            if finish == "stop" and found_object(text) is None:
                raise SelfguideError(
                    f"{self._url}: the server's answer is no object though response_format asks for one; an extraction "
                    "task needs a server that keeps to a json_schema, such as llama.cpp's or vLLM's"
                )
            return Completion(request.key, sample, text.strip(), finish, prompt, answer, float("nan"), error)
        raw = None
        if not isinstance(request.messages, str):
            text = text.strip()
            if (said := without_thinking(text)) != text:
                text, raw = said, text
        return Completion(request.key, sample, text, finish, prompt, answer, float("nan"), error, raw)

    def _failure(self, error: Exception) -> SelfguideError:
        openai = self._openai
        tries = self._options.retries + 1
        if (cause := self._reason_of(error)) is not None:
            why = cause
        elif isinstance(error, openai.APITimeoutError):
            why = (
                f"no answer within {self._options.timeout:g} s, tried {tries} times; is the server overloaded? "
                "SELFGUIDE_SERVER_TIMEOUT sets the seconds. The same command goes on later"
            )
        elif isinstance(error, openai.APIConnectionError):
            why = f"cannot connect, tried {tries} times; is the server running? The same command goes on later"
        elif isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            why = f"the server refuses the key; set {KEY_VARIABLE} in the environment"
        elif isinstance(error, openai.NotFoundError):
            why = f"the server lacks this endpoint or model ({self._line(error)}); the path often ends in /v1"
        elif isinstance(error, openai.APIStatusError) and 300 <= error.status_code < 400:
            place = self._line(error.response.headers.get("location", "another address"))
            why = f"the server redirects to {place}, which is not followed; name that with --server if you trust it"
        elif isinstance(error, openai.APIStatusError):
            why = f"the server failed with status {error.status_code} ({self._line(error)}), tried {tries} times"
        else:
            why = self._line(error)
        return SelfguideError(f"{self._url}: {why}")

    def _line(self, error: Exception | str, longest: int = 300) -> str:
        """Return what was said in one line, without the key."""
        return " ".join(self._spelled.sub("[the key]", str(error)[:100_000]).split())[:longest]


def in_background(work: Callable[[], Result]) -> "Future[Result]":
    """Do something in a thread that the end of the process does not wait for."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="selfguide-server", daemon=True).start()
    return future


def _spelled(key: str) -> re.Pattern[str]:
    """Return what finds a key in a text, also with white space, control codes or other signs between its letters."""
    letters = [letter for letter in key if letter.isalnum()]
    if len(letters) < _SHORTEST_KEY:
        return re.compile(re.escape(key) if key else r"(?!)")
    return re.compile(r"[\W_]{0,8}".join(map(re.escape, letters)))


def _tokens(given: Any) -> int:
    """Return a number of tokens that a server says; 0 where it cannot be one."""
    number = int(given)
    return number if 0 <= number < 2**31 else 0
