"""The page for reviewing, served on this machine alone: a random token is part of every address."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.listening import OWN_NAMES
from selfguide_lite.fields import found_object
from selfguide_lite.fields.values import value_text
from selfguide_lite.review.session import Said, Session, Shown
from selfguide_lite.task import Task
from selfguide_lite.web import BadBody, json_object

_LARGEST_BODY = 2 * 2**20  # bytes
_FILES = {"": "text/html", "review.js": "text/javascript", "review.css": "text/css"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class FirstQueue:
    """What the page begins with.

    :param sample: only so many
    """

    order: str = "doubt"
    seed: int = 0
    sample: int | None = None


def application(session: Session, token: str, first: FirstQueue) -> FastAPI:
    """Return the application.

    :param token: the first part of every path; without it nothing is there
    :param first: what the page begins with
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # A page elsewhere can point a name of its own at 127.0.0.1; the name that it asks for gives it away.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(OWN_NAMES), www_redirect=False)

    @app.exception_handler(SelfguideError)
    async def refused(_: Request, problem: SelfguideError) -> JSONResponse:
        return JSONResponse({"error": str(problem)}, 400)

    @app.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        parts = request.url.path.split("/", 2)
        if len(parts) < 3 or not hmac.compare_digest(parts[1].encode(), token.encode()):
            return Response("There is nothing here. Open the address that `selfguide review` printed.\n", 404)
        if request.method == "POST" and request.headers.get("content-type") != "application/json":
            return Response(status_code=415)
        response = await go_on(request)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @app.get("/{token}/api/queue")
    async def queue(request: Request) -> JSONResponse:
        asked = request.query_params
        order = asked.get("order", first.order)
        # What was chosen on the command line holds until another order is.
        sample = first.sample if order == first.order else None
        ids = session.queue(order, asked.get("reason") or None, first.seed, sample)
        task = session.task
        return JSONResponse(
            {
                "task": task.name,
                "instruction": task.instruction,
                "labels": list(task.labels),
                "order": order,
                "reasons": session.reasons(),
                "ids": ids,
                "done": session.done(),
            }
        )

    @app.get("/{token}/api/item/{input_id}")
    async def item(input_id: int) -> JSONResponse:
        return JSONResponse(_told(session.task, session.shown(input_id)))

    @app.post("/{token}/api/say")
    async def say(request: Request) -> JSONResponse:
        body = await _body(request)
        made = session.say(_said(body))
        if made is None:
            return JSONResponse({"error": "Somebody else has judged this one meanwhile."}, 409)
        return JSONResponse({"review": made, "done": session.done()})

    @app.post("/{token}/api/undo")
    async def undo(request: Request) -> JSONResponse:
        body = await _body(request)
        undone = session.undo(_whole(body.get("review")))
        return JSONResponse({"undone": undone, "done": session.done()})

    @app.post("/{token}/api/noise")
    async def noise(request: Request) -> JSONResponse:
        body = await _body(request)
        term = body.get("term")
        if not isinstance(term, str) or not 0 < len(term) <= 1000:
            raise SelfguideError("a noise term has 1 to 1,000 characters")
        found = session.would_drop(term)
        if body.get("add") is True:
            session.add_noise(term)
        return JSONResponse({"texts": found.texts, "pairs": found.pairs, "examples": list(found.examples)})

    @app.get("/{token}/{name:path}")
    async def page(name: str) -> Response:
        if name not in _FILES:
            return Response(status_code=404)
        content = (Path(__file__).parent / (name or "review.html")).read_bytes()
        return Response(content, media_type=f"{_FILES[name]}; charset=utf-8")

    return app


async def _body(request: Request) -> dict[str, Any]:
    try:
        return await json_object(request, _LARGEST_BODY)
    except BadBody as error:
        raise SelfguideError(str(error)) from error


def _said(body: dict[str, Any]) -> Said:
    verdict, seen = body.get("verdict"), body.get("seen")
    if verdict not in ("accept", "reject", "edit", "skip"):
        raise SelfguideError("no such verdict")
    texts = {name: body.get(name) for name in ("input", "answer", "queue")}
    if any(text is not None and not isinstance(text, str) for text in texts.values()):
        raise SelfguideError("a text was expected")
    return Said(
        _whole(body.get("id")),
        verdict,
        texts["input"],
        texts["answer"],
        (texts["queue"] or "")[:100],
        None if seen is None else _whole(seen),
    )


def _whole(value: Any) -> int:
    try:
        return int(value or 0)
    except (TypeError, ValueError, OverflowError) as error:
        raise SelfguideError("a whole number was expected") from error


def _told(task: Task, shown: Shown) -> dict[str, Any]:
    item, review = shown.item, shown.review
    return {
        "id": item.id,
        "text": item.text,
        "asked": item.asked,
        "reason": item.reason,
        "detail": item.detail,
        "answer": item.answer,
        "fields": _fields(task, item.answer),
        "confidence": item.confidence,
        "shares": [[answer, share] for answer, share in shown.shares[:20]],
        "review": None if review is None else {"id": review.id, "verdict": review.verdict, "answer": review.answer},
    }


def _fields(task: Task, answer: str | None) -> list[tuple[str, str]]:
    """Return an object's fields with their values as JSON; none where the answer is no object of a schema."""
    given = found_object(answer) if task.output_schema is not None and answer else None
    return [(name, value_text(value)) for name, value in (given or {}).items()]
