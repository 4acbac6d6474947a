"""A local server of another program: waited for, and asked."""

import json
import subprocess
import time
import urllib.request
from typing import Any


def wait_for(server: "subprocess.Popen[bytes]", url: str) -> None:
    """Wait until an address answers.

    :raises RuntimeError: where the process ends, or two minutes pass
    """
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("llama_cpp.server did not start; it needs: pip install 'llama-cpp-python[server]'")


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send JSON to an address and return the JSON that comes back."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as reply:
        data: dict[str, Any] = json.load(reply)
        return data
