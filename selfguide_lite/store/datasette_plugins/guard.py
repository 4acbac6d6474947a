"""Stands before Datasette: answers this machine's own browser only, and lets no text out that something would obey.

A web page elsewhere can point a name of its own at 127.0.0.1 and then read what is served there; the name it asks for
gives it away. Other users of this machine lack the token that `browse` prints: it is part of the first address, and a
cookie from then on. A page may load nothing from elsewhere, so that a text which got through as markup could tell
nobody. Cells of a CSV are made harmless as `selfguide sql --csv` makes them, control codes in pages are replaced.
Loaded by Datasette as a plugin, see `selfguide_lite.store.browse`.
"""

import csv
import hmac
import io
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from datasette import hookimpl

from selfguide_lite.store.query import harmless

Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Send], Awaitable[None]]

csv.field_size_limit(2**31 - 1)  # a text may be of any length; this process reads no CSV but its own
_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
_COOKIE = "selfguide_token"
TOKEN_VARIABLE = "SELFGUIDE_BROWSE_TOKEN"  # set by `browse` for its child alone
# In UTF-8: the control codes below U+0020 but tab and line breaks, DEL, the C1 codes, direction overrides and isolates.
_OBEYED = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")

# Datasette's own pages have scripts and styles in them.
_POLICY = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


@hookimpl  # type: ignore[untyped-decorator]
def asgi_wrapper() -> Callable[[App], App]:
    """Return what wraps Datasette's application."""
    return guarded


def guarded(app: App) -> App:
    """Wrap an application."""

    async def guard(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif _host(scope) not in _OWN_NAMES:
            await _refuse(send, b"Only for this machine: ask for 127.0.0.1.\n")
        elif _has(scope, "query"):
            cookie = f"{_COOKIE}={os.environ[TOKEN_VARIABLE]}; Path=/; HttpOnly; SameSite=Strict"
            headers = [(b"location", scope["path"].encode() or b"/"), (b"set-cookie", cookie.encode())]
            await send({"type": "http.response.start", "status": 303, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        elif not _has(scope, "cookie"):
            await _refuse(send, b"Open the address that `selfguide browse` printed.\n")
        else:
            # A CSV that is not to be saved is sent as plain text.
            await app(scope, receive, _Neutral(send, _csv if str(scope["path"]).endswith(".csv") else _text))

    return guard


async def _refuse(send: Send, why: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": why})


def _has(scope: dict[str, Any], where: str) -> bool:
    """Whether the token stands in the query or in a cookie."""
    if where == "query":
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
    else:
        cookies = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"cookie"]
        pairs = [pair.strip().partition("=") for line in cookies for pair in line.split(";")]
        given = [value for name, _, value in pairs if name == _COOKIE]
    token = os.environ[TOKEN_VARIABLE].encode()
    return any(hmac.compare_digest(one.encode(), token) for one in given)


def _host(scope: dict[str, Any]) -> str:
    """Return the name that was asked for, without a port; empty where there is none or more than one."""
    found = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"host"]
    return re.sub(r":\d+$", "", found[0]).lower() if len(found) == 1 else ""


class _Neutral:
    """Sends an answer on with its texts made harmless. Datasette sends a CSV row by row, a page in one piece."""

    def __init__(self, send: Send, plain: Callable[[bytes], bytes]):
        self._send = send
        self._kinds = {b"text/csv": _csv, b"text/plain": plain, b"text/html": _text}
        self._change: Callable[[bytes], bytes] | None = None

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = {name.lower(): value for name, value in message["headers"]}
            kind = headers.get(b"content-type", b"").split(b";")[0].strip()
            self._change = self._kinds.get(kind)
            lost = {name for name, _ in _HEADERS} | ({b"content-length"} if self._change is not None else set())
            kept = [(name, value) for name, value in message["headers"] if name.lower() not in lost]
            message = {**message, "headers": [*kept, *_HEADERS]}
        elif self._change is not None and message.get("body"):
            message = {**message, "body": self._change(message["body"])}
        await self._send(message)


def _text(body: bytes) -> bytes:
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}".encode(), lines)


def _csv(body: bytes) -> bytes:
    made = io.StringIO()
    rows = csv.reader(io.StringIO(body.decode("utf-8"), newline=""))
    csv.writer(made).writerows([harmless(cell) for cell in row] for row in rows)
    return made.getvalue().encode()
