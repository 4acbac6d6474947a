"""What several contenders need: a server that is waited for, and how much prompts have in common."""

import json
import subprocess
import time
import urllib.request
from typing import Any


def wait_for(server: "subprocess.Popen[bytes]", url: str) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("llama_cpp.server did not start; it needs: pip install 'llama-cpp-python[server]'")


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as reply:
        data: dict[str, Any] = json.load(reply)
        return data


def distinct_tokens(prompts: list[list[int]]) -> int:
    """Number of different prompt beginnings: what has to be computed when nothing is computed twice."""
    total, before = 0, []  # type: ignore[var-annotated]
    for prompt in sorted(prompts):
        total += len(prompt) - common_length(prompt, before)
        before = prompt
    return total


def common_length(one: list[int], other: list[int]) -> int:
    same = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        same += 1
    return same
