"""What the programs of this package that listen for HTTP have in common: bodies in JSON, and serving until stopped."""

import importlib.util
import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from selfguide_lite.core.errors import SelfguideError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request


class BadBody(Exception):
    """A request's body that cannot be read.

    :param status: of HTTP
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


async def json_object(request: "Request", largest: int) -> dict[str, Any]:
    """Return the JSON object that a request carries, read in bounded memory.

    :param largest: bytes
    :raises BadBody: where it is larger, or no JSON object
    """
    read = bytearray()
    async for piece in request.stream():
        read += piece
        if len(read) > largest:
            raise BadBody(413, f"larger than {largest // 2**20} MiB")
    try:
        found = json.loads(bytes(read))
    except (ValueError, RecursionError) as error:
        raise BadBody(400, "not valid JSON") from error
    if not isinstance(found, dict):
        raise BadBody(400, "not a JSON object")
    return found


def check_installed(what: str, otherwise: str = "") -> None:
    """Say that a package is missing before the long work begins.

    :param what: needs it, such as `serve`
    :param otherwise: what to do without it, as the end of the sentence
    :raises SelfguideError: where the web framework is not installed
    """
    for package in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise SelfguideError(
                f"{what} needs the package {package}; install it with `pip install 'selfguide-lite[serve]'`{otherwise}"
            )


def serve_until_stopped(app: "FastAPI", listener: socket.socket, grace: int | None = None) -> None:
    """Serve an application on a socket that listens, until Ctrl-C.

    :param grace: seconds that requests under way may take then; None: as long as they need
    """
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=grace
    )
    with suppress(KeyboardInterrupt):  # uvicorn ends what is under way and then hands the signal on
        uvicorn.Server(config).run(sockets=[listener])
