"""llama_cpp.server, a real server of another program, on this machine."""

import socket
import subprocess
import sys
from pathlib import Path

from selfguide_lite.bench.local_server import wait_for


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(model: Path, n_ctx: int = 256, chat_format: str | None = "vicuna") -> tuple["subprocess.Popen[bytes]", str]:
    """Start a server for a model and wait for it: the process and its base URL.

    :param n_ctx: tokens of one sequence at most
    :param chat_format: None: the template in the file
    """
    port = free_port()
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--n_ctx", str(n_ctx), "--n_threads", "1", "--verbose", "false"]
    if chat_format is not None:
        command += ["--chat_format", chat_format]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/v1"
    try:
        wait_for(process, f"{url}/models")
    except BaseException:
        process.kill()
        raise
    return process, url
