"""The HTTP side: which requests there are, what they must hold, and how answers are put."""

import asyncio
import hmac
import json
import math
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.listening import OWN_NAMES
from selfguide_lite.core.version import __version__
from selfguide_lite.prediction import Answer, Predictor
from selfguide_lite.serve.queueing import Answerer, Busy, Drawn
from selfguide_lite.serve.server import ServeOptions
from selfguide_lite.web import BadBody, json_object

_LARGEST_BODY = 8 * 2**20  # bytes
_MOST_INPUTS = 1000  # in one request
_LONGEST_INPUT = 100_000  # characters


class Refused(Exception):
    """A request that cannot be answered.

    :param status: of HTTP
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def application(model: Predictor, answerer: Answerer, options: ServeOptions) -> FastAPI:
    """Return the application that answers with a model."""
    app = FastAPI(title=f"selfguide: {model.task.name}", version=__version__, docs_url=None, redoc_url=None)
    if options.loopback:
        # A page elsewhere can point a name of its own at 127.0.0.1; the name that it asks for gives it away.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(OWN_NAMES), www_redirect=False)
    created, began = int(time.time()), time.monotonic()  # the clock may jump

    @app.exception_handler(Refused)
    async def refused(_: Request, problem: Refused) -> JSONResponse:
        kind = "invalid_request_error" if problem.status < 500 else "server_error"
        return JSONResponse({"error": {"message": str(problem), "type": kind}}, problem.status)

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok" if answerer.alive else "stopping"}, 200 if answerer.alive else 503)

    @app.get("/metrics")
    async def metrics(request: Request) -> PlainTextResponse:
        _check_key(request, options)
        return PlainTextResponse(_metrics(answerer, began), media_type="text/plain; version=0.0.4")

    @app.get("/v1/models")
    async def models(request: Request) -> JSONResponse:
        _check_key(request, options)
        listed = {"id": model.task.name, "object": "model", "created": created, "owned_by": "selfguide"}
        return JSONResponse({"object": "list", "data": [listed]})

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        body = await _body(request, options)
        if ("input" in body) == ("inputs" in body):
            raise Refused(400, "give `input`, a text, or `inputs`, a list of texts")
        many = body["inputs"] if "inputs" in body else [body["input"]]
        if not isinstance(many, list) or not 1 <= len(many) <= _MOST_INPUTS:
            raise Refused(400, f"`inputs` must be a list of 1 to {_MOST_INPUTS:,} texts")
        threshold = _number(body, "threshold", 0.0, 0.0, 1.0)
        texts = [_text(text, "inputs" if "inputs" in body else "input") for text in many]
        answers = await _answered(answerer, texts)
        told = [_told(answer, threshold) for answer in answers]
        return JSONResponse({"predictions": told} if "inputs" in body else told[0])

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(request: Request) -> Response:
        body = await _body(request, options)
        text = _last_message(body)
        if body.get("n", 1) != 1:
            raise Refused(400, "`n` must be 1")
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model.task.name}
        if body.get("stream"):
            events = _streamed(answerer, text, body, head, asyncio.get_running_loop())
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        (answer,) = await _answered(answerer, [text], _drawn(body))
        if answer.error is not None:
            raise Refused(400, answer.error)
        choice = {"index": 0, "message": {"role": "assistant", "content": answer.output}, "finish_reason": "stop"}
        shares = {} if answer.shares is None else {"probabilities": dict(answer.shares)}
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": usage, **shares})

    return app


async def _body(request: Request, options: ServeOptions) -> dict[str, Any]:
    """Return the JSON object that a request carries, read in bounded memory."""
    _check_key(request, options)
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refused(415, "send JSON, with the header Content-Type: application/json")
    try:
        return await json_object(request, _LARGEST_BODY)
    except BadBody as error:
        raise Refused(error.status, str(error)) from error


def _check_key(request: Request, options: ServeOptions) -> None:
    if options.key is None:
        return
    sent = request.headers.get("authorization", "")
    if not hmac.compare_digest(sent.encode(), f"Bearer {options.key}".encode()):
        raise Refused(401, "send the key: Authorization: Bearer KEY")


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Refused(400, f"`{field}`: not a text, or an empty one")
    if len(value) > _LONGEST_INPUT:
        raise Refused(400, f"`{field}`: longer than {_LONGEST_INPUT:,} characters")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Refused(400, f"`{field}`: holds half a character (a lone surrogate)") from error
    return value.strip()


def _number(body: dict[str, Any], field: str, default: float, least: float, most: float) -> float:
    value = body.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused(400, f"`{field}`: not a number")
    if not least <= value <= most:
        raise Refused(400, f"`{field}`: must be from {least:g} to {most:g}")
    return value


def _last_message(body: dict[str, Any]) -> str:
    """Return the text of the user's last message: the task's own prompt stands around it."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise Refused(400, "`messages` must be a list")
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
                content = "".join(part for part in parts if isinstance(part, str))
            return _text(content, "messages")
    raise Refused(400, "`messages`: the last message of a user is the input, and there is none")


def _drawn(body: dict[str, Any]) -> Drawn:
    most = body.get("max_completion_tokens", body.get("max_tokens"))
    tokens = None if most is None else int(_number({"max_tokens": most}, "max_tokens", 1, 1, 1_000_000))
    return Drawn(
        _number(body, "temperature", 0.0, 0.0, 5.0),
        _number(body, "top_p", 1.0, 0.001, 1.0),
        tokens,
        int(_number(body, "seed", 0, 0, 2**63 - 1)),
    )


async def _answered(answerer: Answerer, texts: list[str], drawn: Drawn | None = None) -> list[Answer]:
    try:
        futures = [answerer.submit(text, drawn) for text in texts]
        return await asyncio.gather(*map(asyncio.wrap_future, futures))
    except Busy as error:
        raise Refused(503, "too many inputs are waiting; try again later") from error
    except SelfguideError as error:
        raise Refused(500, str(error)) from error


def _told(answer: Answer, threshold: float) -> dict[str, Any]:
    if answer.error is not None:
        return {"prediction": None, "error": answer.error}
    shares = None if answer.shares is None else dict(answer.shares)
    told: dict[str, Any] = {"prediction": None if answer.is_unsure(threshold) else answer.value}
    return told if shares is None else told | {"probabilities": shares}


async def _streamed(
    answerer: Answerer, text: str, body: dict[str, Any], head: dict[str, Any], loop: asyncio.AbstractEventLoop
) -> AsyncIterator[str]:
    """Yield the answer as server-sent events, in the pieces in which it is written; a label comes in one."""
    pieces: asyncio.Queue[str | None] = asyncio.Queue()
    drawn = _drawn(body)

    def told(whole: str) -> None:
        loop.call_soon_threadsafe(pieces.put_nowait, whole.strip())

    def event(delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"

    yield event({"role": "assistant", "content": ""})
    sent = ""
    try:
        future = answerer.submit(text, Drawn(drawn.temperature, drawn.top_p, drawn.max_tokens, drawn.seed, told))
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(pieces.put_nowait, None))
        while (whole := await pieces.get()) is not None:
            if whole.startswith(sent) and len(whole) > len(sent):
                yield event({"content": whole[len(sent) :]})
                sent = whole
        answer = future.result()
        problem = answer.error
        if problem is None and answer.output.startswith(sent) and len(answer.output) > len(sent):
            yield event({"content": answer.output[len(sent) :]})
    except (Busy, SelfguideError) as error:
        problem = str(error) or "too many inputs are waiting; try again later"
    if problem is not None:
        yield f"data: {json.dumps({'error': {'message': problem, 'type': 'server_error'}})}\n\n"
    else:
        yield event({}, "stop")
    yield "data: [DONE]\n\n"


def _metrics(answerer: Answerer, began: float) -> str:
    """Return what was done so far in Prometheus's text format."""
    tally = answerer.tally
    values = (
        ("inputs_answered_total", "counter", "Inputs that were answered.", tally.answered),
        ("inputs_failed_total", "counter", "Inputs that could not be answered.", tally.failed),
        ("inputs_waiting", "gauge", "Inputs that the engine has not taken yet.", answerer.waiting),
        (
            "engine_calls_total",
            "counter",
            "Calls of the engine; each answers all inputs that came meanwhile.",
            tally.calls,
        ),
        ("engine_seconds_total", "counter", "Seconds spent in them.", f"{tally.seconds:.3f}"),
        ("uptime_seconds", "gauge", "Seconds since the start.", f"{time.monotonic() - began:.0f}"),
    )
    return "".join(
        f"# HELP selfguide_{name} {told}\n# TYPE selfguide_{name} {kind}\nselfguide_{name} {value}\n"
        for name, kind, told, value in values
    )
