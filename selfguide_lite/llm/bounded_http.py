"""An HTTP client that takes so much of an answer and waits so long for all of it, not more: a server may never end.

The client of `openai` bounds the wait for each piece alone, and reads and unpacks an answer of any size.
"""

import re
import time
from typing import Any

import openai

MOST_BYTES = 4 * 2**20  # far more than a completion or a list of models has
_UNTRUSTED = re.compile(r"certificate verify failed: ([^(]{1,200}\w)")  # as OpenSSL says it


class TooMuch(openai.OpenAIError):
    """An answer is larger than any that is asked for, packed although that was not asked for, or does not end."""


class BoundedClient(openai.DefaultHttpxClient):
    """A client that follows no redirect.

    :param seconds: from the end of an answer's head to its last byte
    """

    def __init__(self, seconds: float):
        super().__init__(follow_redirects=False)
        self._seconds = seconds

    def send(self, request: Any, *, stream: bool = False, auth: Any = None, follow_redirects: Any = False) -> Any:
        """Send a request and read the answer whole; redirects are never followed, whatever a caller says.

        :raises TooMuch: where it is packed, or does not end within `MOST_BYTES` and the seconds
        """
        # What is packed may be a thousand times as large, so nothing packed is asked for.
        request.headers["Accept-Encoding"] = "identity"
        response = super().send(request, stream=True, auth=auth, follow_redirects=False)
        try:
            body = self._body(response)
        finally:
            response.close()
        return type(response)(
            response.status_code,
            headers=response.headers,
            content=body,
            request=request,
            extensions=response.extensions,
        )

    def _body(self, response: Any) -> bytes:
        packing = response.headers.get("content-encoding", "identity")
        if packing.lower() != "identity":
            raise TooMuch(f"the server packs its answer ({packing[:40]}) though it was asked not to")
        until = time.monotonic() + self._seconds
        parts: list[bytes] = []
        size = 0
        for part in response.iter_raw():
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise TooMuch(f"the server's answer is larger than {MOST_BYTES // 2**20} MiB")
            if time.monotonic() > until:
                raise TooMuch(f"the server's answer does not end within {self._seconds:g} s")
        return b"".join(parts)


def reason_of(error: BaseException | None) -> str | None:
    """Return what is behind an error of the client where that says more than the error itself."""
    while error is not None:
        if isinstance(error, TooMuch):
            return str(error)
        if found := _UNTRUSTED.search(str(error)):
            return (
                f"the server's certificate is not trusted ({found[1]}); if it is yours, name the file with it, or with "
                "that of its authority, in SSL_CERT_FILE"
            )
        error = error.__cause__ or error.__context__
    return None
