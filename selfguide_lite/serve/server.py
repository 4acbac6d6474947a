"""Listens on an address and serves a model until interrupted."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from selfguide_lite import web
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.listening import is_loopback, listening, url_of
from selfguide_lite.prediction import Predictor
from selfguide_lite.serve.queueing import Answerer

KEY_VARIABLE = "SELFGUIDE_SERVE_KEY"
_SHORTEST_KEY = 16


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Where to listen, and who may ask.

    :param port: 0 takes a free one
    :param key: that every request must carry; None: none is asked for
    :raises SelfguideError: where others than this machine could ask without a key
    """

    host: str = "127.0.0.1"
    port: int = 8080
    key: str | None = None

    def __post_init__(self) -> None:
        """Refuse an open door."""
        if not self.loopback and self.key is None:
            raise SelfguideError(
                f"--host {self.host}: other machines could ask; set a key of {_SHORTEST_KEY} characters or more in "
                f"{KEY_VARIABLE}, or listen on 127.0.0.1"
            )
        if self.key is not None and len(self.key) < _SHORTEST_KEY:
            raise SelfguideError(f"{KEY_VARIABLE}: a key has {_SHORTEST_KEY} characters or more")

    @classmethod
    def from_environment(cls, host: str, port: int) -> Self:
        """Return the options with the key that `SELFGUIDE_SERVE_KEY` holds."""
        return cls(host, port, os.environ.get(KEY_VARIABLE) or None)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can ask."""
        return is_loopback(self.host)


def check_installed() -> None:
    """Say what is missing before a model is loaded.

    :raises SelfguideError: where the web framework is not installed
    """
    web.check_installed("serve")


def serve(model: Predictor, options: ServeOptions, ready: Callable[[str], None]) -> None:
    """Serve a model until interrupted; what was asked before is answered first.

    :param ready: told the address once it is listened on
    :raises SelfguideError: where the address cannot be used
    """
    from selfguide_lite.serve.app import application

    listener = listening(options.host, options.port)
    answerer = Answerer(model)
    try:
        app = application(model, answerer, options)
        ready(url_of(listener, options.host))
        web.serve_until_stopped(app, listener, grace=10)
    finally:
        answerer.close()
        listener.close()
