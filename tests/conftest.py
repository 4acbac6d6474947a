"""What all tests share: how hard Hypothesis tries, and no reach into the user's home or the network."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import robustness_counts
from hypothesis import HealthCheck, settings
from plugins_for_tests import Plugins

from selfguide_lite.core.resources import resource
from selfguide_lite.finetune.isolated import kept_process

# `make test` must be quick on two busy cores; `make fuzz` takes its time.
settings.register_profile("quick", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", parent=settings.get_profile("quick"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# Tests that run beside others have one core each. This counts for libraries that are loaded from here on and in child
# processes; selfguide's own threads follow SELFGUIDE_THREADS, below.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background has them ignore Ctrl-C, and their child processes too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep measurements, hashes and models of the tests out of the user's cache, also in child processes."""
    with pytest.MonkeyPatch.context() as patch:
        cache = tmp_path_factory.mktemp("cache")
        patch.setenv("SELFGUIDE_CACHE", str(cache))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("SELFGUIDE_THREADS", "1")  # small models gain nothing from more, and a busy machine loses much
        # The default model is too large for most tests: they run on the tiny one, which was trained for them.
        patch.setenv("SELFGUIDE_MODEL", str(resource("data/tiny_vicuna/tiny-vicuna.gguf")))
        yield cache


@pytest.fixture(autouse=True, scope="session")
def training_process() -> Iterator[None]:
    """Load torch once for the trainings of all tests, but for those in processes of their own."""
    with kept_process():
        yield


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugins]:
    """A folder in which a test installs packages; they are gone after it."""
    found = Plugins.at(tmp_path / "plugins", monkeypatch)
    yield found
    found.forget()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long: one that came last would keep a single process busy."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what a worker of pytest-xdist counted to the process that prints it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["robustness"] = robustness_counts.counted()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker counted; one that crashed tells nothing."""
    robustness_counts.add(getattr(node, "workeroutput", {}).get("robustness", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print architectures' largest logit differences, and what the robustness tests counted: the README has these."""
    done = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    for line in (value for report in done for name, value in report.user_properties if name == "told"):
        terminalreporter.write_line(line)
    if counted := robustness_counts.summary():
        terminalreporter.write_line(f"robustness: {counted}")
