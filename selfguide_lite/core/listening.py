"""Listens on an address of this machine, and says which names a browser may ask it by."""

import socket
from ipaddress import ip_address

from selfguide_lite.core.errors import SelfguideError

OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")  # what this machine calls itself; another name is another page's


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    :param port: 0 takes a free one
    :raises SelfguideError: where the address cannot be used
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        raise SelfguideError(f"{host} port {port}: cannot listen here: {error.strerror}") from error
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    """Return the address that a socket listens on as a URL."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"
