"""The wheel in an empty environment, with pip in a venv, with pipx and with uv; then a task of the user's own.

`make proof PROOF=install`. It takes uv and pipx from the package index, compiles llama.cpp once and trains three times.
`SELFGUIDE_PROOF_CACHE` names a cache folder that stays, so that a proof that was stopped does not compile it again.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from wheels import build_wheel

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3 * 3600)]

TASK = """\
name: front-desk
kind: classification
instruction: Say whether this note to a hotel's front desk is a complaint or a request.
labels:
  complaint: something is wrong and the guest is unhappy
  request: the guest would like to have something
examples:
- {input: "The shower in my room has been cold for two days.", output: complaint}
- {input: "Could I have two more towels, please?", output: request}
- {input: "There was a terrible noise from the lift all night.", output: complaint}
- {input: "Please wake me at six tomorrow.", output: request}
"""
FEW = ["--set", "rounds=6", "--set", "prompts_per_round=8", "--set", "min_vote_share=0.5"]


@dataclass(frozen=True)
class Place:
    """An empty environment with the wheel in it."""

    folder: Path
    selfguide: Path
    environment: dict[str, str]

    def call(self, *words: str, status: int = 0) -> str:
        """Run the installed command in the user's folder and return all that it printed."""
        return do(self.selfguide, *words, cwd=self.folder, environment=self.environment, status=status)


def do(*command: object, cwd: Path, environment: dict[str, str], status: int = 0) -> str:
    begun = time.monotonic()
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    print(f"{time.monotonic() - begun:7.1f} s  {' '.join(map(str, command[:4]))}", flush=True)
    assert done.returncode == status, done.stdout
    return done.stdout


def cache_of(folder: Path) -> Path:
    return Path(os.environ.get("SELFGUIDE_PROOF_CACHE") or folder / "cache")


def outside(folder: Path) -> dict[str, str]:
    """The environment of a user: nothing of the tests' own, but what pip and uv are told to reach the index by."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
    kept |= {name: os.environ[name] for name in ("HOME", "LANG", "TORCH_INDEX") if name in os.environ}
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.cert"], capture_output=True, text=True, check=False
    )
    if told.returncode == 0:  # uv reads no settings of pip
        kept.setdefault("SSL_CERT_FILE", told.stdout.strip())
    return kept | {
        "PATH": os.pathsep.join((str(folder / "tools" / "bin"), "/usr/local/bin", "/usr/bin", "/bin")),
        "SELFGUIDE_CACHE": str(cache_of(folder)),
        "UV_TOOL_DIR": str(folder / "uv"),
        "UV_TOOL_BIN_DIR": str(folder / "uv-bin"),
        "PIPX_HOME": str(folder / "pipx"),
        "PIPX_BIN_DIR": str(folder / "pipx-bin"),
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with uv and pipx, the project's wheel, and the cache that all environments share."""
    folder = tmp_path_factory.mktemp("install")
    base = Path(sys.base_prefix, "bin", "python3")
    environment = outside(folder)
    do(base, "-m", "venv", folder / "tools", cwd=folder, environment=environment)
    do(folder / "tools/bin/python", "-m", "pip", "install", "-q", "uv", "pipx", cwd=folder, environment=environment)
    build_wheel(folder / "dist")
    return folder


@pytest.fixture(params=["venv", "pipx", "uv"])
def place(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> Place:
    base = Path(sys.base_prefix, "bin", "python3")
    (wheel,) = (home / "dist").glob("*.whl")
    environment = outside(home)
    user = tmp_path / "user"
    user.mkdir()

    def there(*command: object) -> None:
        do(*command, cwd=user, environment=environment)

    tools = home / "tools" / "bin"
    if request.param == "venv":
        there(base, "-m", "venv", tmp_path / "env")
        there(tmp_path / "env/bin/python", "-m", "pip", "install", "-q", wheel)
        return Place(user, tmp_path / "env/bin/selfguide", environment)
    if request.param == "pipx":
        there(tools / "pipx", "install", "--python", base, wheel)
        return Place(user, home / "pipx-bin/selfguide", environment)
    there(tools / "uv", "tool", "install", "--python", base, wheel)
    # An environment of uv has no pip of its own; that sqlite-utils brings one is not relied on.
    there(tools / "uv", "pip", "uninstall", "--python", home / "uv/selfguide-lite/bin/python", "pip")
    return Place(user, home / "uv-bin/selfguide", environment)


def test_a_users_task_after_setup(place: Place, home: Path) -> None:
    (place.folder / "front-desk.yaml").write_text(TASK, encoding="utf-8")
    refused = place.call("run", "front-desk.yaml", status=1)
    assert refused.startswith("Error: ") and "`selfguide setup`" in refused and len(refused.splitlines()) == 1
    assert [path.name for path in place.folder.iterdir()] == ["front-desk.yaml"]

    built = len(list((cache_of(home) / "setup/llama-cpp").glob("*/*.whl")))
    planned = place.call("setup", "--dry-run")
    done = place.call("setup")
    steps = [line for line in done.splitlines() if not line.startswith("setup:   ...")]
    assert [line for line in planned.splitlines() if line.startswith("setup: ")] == steps[:-1]
    assert steps[-1] == "setup: done"
    (llama,) = [step for step in steps if "llama.cpp" in step and "it is not installed" in step]
    assert ("compiling" in llama) == (built == 0)  # once for all three
    assert len(list((cache_of(home) / "setup/llama-cpp").glob("*/*.whl"))) == 1
    assert place.call("setup") == "setup: everything is there\n"

    doctor = json.loads(place.call("doctor", "--json"))
    assert doctor["fit"], doctor
    told = json.loads(place.call("run", "front-desk.yaml", *FEW, "--json").splitlines()[-1])
    print(told)
    assert told["pairs"] > 0 and Path(place.folder, told["adapter"]).is_file()
    answer = place.call("predict", "-d", "front-desk.db", "Please send up an extra pillow.").split()[-1]
    assert answer in ("complaint", "request")
