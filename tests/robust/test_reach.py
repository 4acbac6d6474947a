"""The whole job where there is no network at all: nothing is connected to, nothing is listened on, nobody is told.

A network namespace of its own counts in the kernel what its processes try, whatever library tries it; an audit hook in
every Python process writes down which sockets are bound or connected.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from needs import needs
from robust_runs import ROOT, rows_of

from selfguide_lite.core.resources import resource

pytestmark = pytest.mark.slow

# Loaded by every Python process at its start.
HOOK = """
import os, sys
def watch(event, given):
    if event in ("socket.bind", "socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        with open(os.environ["REACH_LOG"], "a") as log:
            log.write(f"{event} {given[1:] if event.count('get') == 0 else given}\\n")
sys.addaudithook(watch)
"""
# Runs in the namespace: does the job, then says what the kernel counted.
INSIDE = """
import json, subprocess, sys
def counted():
    found = {}
    for file in ("snmp", "netstat"):
        lines = open(f"/proc/net/{file}").read().splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            kind, *names = names.split()
            found |= {kind + name: int(value) for name, value in zip(names, values.split()[1:])}
    found |= {name: int(value) for name, value in map(str.split, open("/proc/net/snmp6"))}
    return found
kinds = ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet")
def sockets():
    return [line for kind in kinds for line in open(f"/proc/net/{kind}").read().splitlines()[1:]]
before, seen, statuses = counted(), [], []
for command in json.loads(sys.argv[1]):
    job = subprocess.Popen(command)
    while job.poll() is None:
        seen += sockets()
        try:
            job.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
    statuses.append(job.returncode)
after = counted()
tried = ("Tcp:ActiveOpens", "Tcp:OutSegs", "Udp:OutDatagrams", "Ip:OutRequests", "Ip:OutNoRoutes", "Ip6OutNoRoutes")
grown = {name: after[name] - before[name] for name in (*tried, "Udp6OutDatagrams") if after[name] != before[name]}
routes = open("/proc/net/route").read().splitlines()[1:]
print(json.dumps({"statuses": statuses, "sockets": seen, "grown": grown, "routes": routes}))
"""


def alone(folder: Path, *commands: list[str]) -> tuple[dict[str, object], str]:
    """Run commands in a network namespace without any route; return what was seen of them and what the hook wrote."""
    prefix = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-r", "-n"]
    trial = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if trial.returncode:
        pytest.skip(f"the kernel gives no network namespace here: {trial.stderr.strip()}")
    (folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    log = folder / "reach.log"
    log.touch()
    # Whatever keeps the libraries quiet must be the product's own doing.
    loud = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "UNSLOTH_DISABLE_STATISTICS")
    environment = {name: value for name, value in os.environ.items() if name not in loud}
    environment |= {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "REACH_LOG": str(log)}
    done = subprocess.run(
        [*prefix, sys.executable, "-c", INSIDE, json.dumps(commands)],
        capture_output=True, text=True, env=environment, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return said | {"stderr": done.stderr}, log.read_text(encoding="utf-8")


@pytest.mark.timeout(900)  # half a minute on a quiet machine
def test_the_whole_job_reaches_for_nothing(tmp_path: Path) -> None:
    needs("unsloth")
    rows = resource("tests/tiny_tasks/thank-you.eval.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    task = resource("tests/tiny_tasks/thank-you.yaml").read_text(encoding="utf-8")
    (tmp_path / "thank-you.yaml").write_text(task, encoding="utf-8")
    (tmp_path / "thank-you.eval.jsonl").write_text("".join(rows[:10]), encoding="utf-8")
    tool = [sys.executable, "-m", "selfguide_lite"]
    quick = ["--set", "rounds=4", "--set", "samples=3", "--set", "epochs=1"]
    seen, log = alone(
        tmp_path,
        [*tool, "run", "thank-you.yaml", "-d", "run.db", *quick],
        [*tool, "report", "-d", "run.db", "-o", "report.html"],
        [*tool, "predict", "-d", "run.db", "Boseji gave Robem a cat."],
        [*tool, "export", "-d", "run.db", "--to", "ollama", "--adapter", "1", "-o", "made"],
        [*tool, "doctor"],
    )
    assert seen["routes"] == []
    assert seen["statuses"] == [0, 0, 0, 0, 0], seen["stderr"]
    # urllib3 asks the kernel in this way whether there is IPv6, when it is imported; it does not listen
    tried = [line for line in log.splitlines() if line != "socket.bind (('::1', 0),)"]
    assert (seen["sockets"], seen["grown"], tried) == ([], {}, [])
    assert rows_of(tmp_path / "run.db", "SELECT count(*) FROM adapter") == [(1,)]
    assert (tmp_path / "report.html").is_file() and (tmp_path / "made" / "model.gguf").is_file()


def test_the_watch_sees_what_it_watches_for(tmp_path: Path) -> None:
    """Else the test above would show nothing."""
    reach = "import socket; socket.socket().connect_ex(('192.0.2.1', 80)); s = socket.create_server(('127.0.0.1', 0))"
    seen, log = alone(tmp_path, [sys.executable, "-c", f"{reach}; import time; time.sleep(1)"])
    assert seen["grown"] and seen["sockets"]
    assert "socket.connect" in log and "socket.bind" in log
