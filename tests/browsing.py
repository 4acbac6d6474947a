"""`selfguide browse` as a user starts it, for the tests that read its pages."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from robust_runs import environment


@dataclass(frozen=True, slots=True)
class Browsed:
    """A running `browse`.

    :param token: what its address holds, without which no page is shown
    :param process: the number of the process that was started, the leader of its group
    """

    host: str
    port: int
    token: str
    process: int

    @property
    def address(self) -> str:
        """The beginning of every page's address."""
        return f"http://{self.host}:{self.port}"

    @property
    def cookie(self) -> str:
        """What a browser sends once it has opened the address with the token."""
        return f"selfguide_token={self.token}"


@contextmanager
def browsing(db: Path) -> Iterator[Browsed]:
    """Serve a database on a free port of this machine."""
    command = [sys.executable, "-m", "selfguide_lite", "browse", "--port", "0", "-d", str(db)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=environment()
    ) as server:
        try:
            assert server.stdout is not None
            line = next(line for line in server.stdout if "Browse at" in line)
            found = re.search(r"http://([\d.]+):(\d+)/\?token=([\w-]{32})", line)
            assert found and found[1] == "127.0.0.1"
            next(line for line in server.stdout if "running on" in line)
            yield Browsed(found[1], int(found[2]), found[3], server.pid)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
