"""Serves the page for reviewing on 127.0.0.1 until interrupted."""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from selfguide_lite import web
from selfguide_lite.core.listening import listening, url_of
from selfguide_lite.review.session import Session

if TYPE_CHECKING:
    from selfguide_lite.review.app import FirstQueue

_HOST = "127.0.0.1"


def check_installed() -> None:
    """Say what is missing before the inputs are read.

    :raises SelfguideError: where the web framework is not installed
    """
    web.check_installed("the page", ", or review in the terminal with --terminal")


def serve_review(session: Session, port: int, first: "FirstQueue", ready: Callable[[str], None]) -> None:
    """Serve until interrupted.

    :param port: 0 takes a free one
    :param first: what the page begins with
    :param ready: told the address, with its token, once it is listened on
    :raises SelfguideError: where the port is taken
    """
    from selfguide_lite.review.app import application

    token = secrets.token_urlsafe(24)
    listener = listening(_HOST, port)
    try:
        app = application(session, token, first)
        ready(f"{url_of(listener, _HOST)}/{token}/")
        web.serve_until_stopped(app, listener)
    finally:
        listener.close()
