"""What a program takes, measured in a process of its own."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from robust_runs import environment

# A process of its own, since a child's largest memory counts from its parent's at the fork on, and that of the tests is
# larger than a command's. Temporary files of SQLite have no name any more; the kernel knows their sizes.
METERED = """
import json, os, subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
temporary = 0
while True:
    pid, status, used = os.wait4(child.pid, os.WNOHANG)
    if pid:
        break
    found = 0
    try:
        for name in os.listdir(f"/proc/{child.pid}/fd"):
            place = f"/proc/{child.pid}/fd/{name}"
            if "etilqs" in os.readlink(place):
                found += os.stat(place).st_size
    except OSError:
        pass
    temporary = max(temporary, found)
    time.sleep(0.05)
print(json.dumps({"status": os.waitstatus_to_exitcode(status), "memory": used.ru_maxrss * 1024,
                  "processor": used.ru_utime + used.ru_stime, "temporary": temporary}))
"""


@dataclass(frozen=True, slots=True)
class Took:
    """What a program took: seconds of the processor and by the clock, bytes of memory and of temporary files."""

    processor: float
    clock: float
    memory: int
    temporary: int

    def row(self, name: str) -> str:
        """A row of the table."""
        return (
            f"| {name} | {self.processor:.1f} s | {self.clock:.1f} s | {self.memory / 2**20:.0f} MB |"
            f" {self.temporary / 2**20:,.0f} MB |"
        )


def took(words: list[str], folder: Path) -> Took:
    """Run Python with these words in a process of its own, which must end well.

    :param folder: where it is run
    """
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", METERED, sys.executable, *words],
        capture_output=True, text=True, check=True, env=environment(), cwd=folder,
    )  # fmt: skip
    used = json.loads(done.stdout.splitlines()[-1])
    assert used["status"] == 0, done.stderr
    return Took(used["processor"], time.monotonic() - began, used["memory"], used["temporary"])
