"""One mutant's trial: the tests run on it in a process of their own, which ends at the first failure.

The process is a fork of one that has the libraries loaded and nothing of the package, so that a trial costs little more
than its tests, and every module reads the mutant. Tests that start programs of their own do not see the mutant there.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from data.mutation.mutants import Mutant
from data.mutation.subjects import ROOT

Outcome = Literal["survived", "killed", "timeout"]
LIBRARIES = ("numpy", "pydantic", "hypothesis", "click", "rich.console", "jinja2", "yaml", "sqlite_utils")
CPU_SECONDS = 120  # a trial that needs more has come into a loop without an end
_NO_FAILURE, _FAILURE, _NO_TESTS = 0, 1, 5
_NOT_SLOW = "not slow and not model and not browser and not proof"


class _MutantFinder(importlib.abc.MetaPathFinder):
    """Gives one module the mutant's text in place of the file's."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        self._module, self._path, self._source = module, path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the spec of the mutant's module, None for all others."""
        if fullname != self._module:
            return None
        return importlib.util.spec_from_loader(fullname, _MutantLoader(str(self._path), self._source))


class _MutantLoader(importlib.abc.SourceLoader):
    """Loads a module from a text."""

    def __init__(self, path: str, source: str) -> None:
        self._path, self._source = path, source

    def get_filename(self, fullname: str) -> str:
        """Return the file that the mutant stands for."""
        return self._path

    def get_data(self, path: str) -> bytes:
        """Return the mutant's text."""
        return self._source.encode()


class _FirstFailure:
    """Takes down which test failed first."""

    name = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called by pytest for each step of a test."""
        if report.failed and not self.name:
            self.name = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        """Called by pytest for each file that it reads."""
        if report.failed and not self.name:
            self.name = report.nodeid


def load_libraries() -> None:
    """Load what every trial needs, before the first of them."""
    for name in LIBRARIES:
        importlib.import_module(name)


def load_package() -> None:
    """Load the package too, before trials that change none of its modules: those of views."""
    importlib.import_module("selfguide_lite.store")


def trial(mutant: Mutant | None, tests: Sequence[str], *, slow: bool = False) -> tuple[Outcome, str]:
    """Run tests on a mutant, or on the code as it is.

    :param slow: also those that are marked slow
    :return: the outcome, and the test that failed, empty where none did
    :raises RuntimeError: where pytest could not run
    """
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "first"
        child = os.fork()
        if not child:
            _in_child(mutant, tests, told, slow)
        status = os.waitpid(child, 0)[1]
        first = told.read_text(encoding="utf-8") if told.exists() else ""
    if os.WIFSIGNALED(status):
        # a crash is noticed as a failure is; the limit on CPU time ends with one of these two signals
        return ("timeout" if os.WTERMSIG(status) in (9, 24) else "killed"), f"signal {os.WTERMSIG(status)}"
    code = os.WEXITSTATUS(status)
    if code in (_NO_FAILURE, _NO_TESTS):  # none is left of a file whose tests are all slow
        return "survived", ""
    if code == _FAILURE or first:
        return "killed", first
    raise RuntimeError(f"pytest ended with {code} for {' '.join(tests)}")


def _in_child(mutant: Mutant | None, tests: Sequence[str], told: Path, slow: bool) -> None:
    """Run the tests and leave the process."""
    code = 3
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
        out = os.open(told.with_suffix(".txt"), os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(ROOT)
        if mutant is not None:
            _put_in_place(mutant, told.parent)
        watcher = _FirstFailure()
        chosen = [] if slow else ["-m", _NOT_SLOW]
        code = int(pytest.main(["-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", *chosen, *tests], [watcher]))
        told.write_text(watcher.name, encoding="utf-8")
    finally:
        sys.stdout.flush()
        os._exit(code)


def _put_in_place(mutant: Mutant, folder: Path) -> None:
    path = ROOT / mutant.path
    source = mutant.applied(path.read_text(encoding="utf-8"))
    if path.suffix == ".py":
        module = mutant.path.removesuffix(".py").replace("/", ".")
        assert module not in sys.modules, f"{module} is loaded: the tests would not see the mutant"
        sys.meta_path.insert(0, _MutantFinder(module, path, source))
        return
    from selfguide_lite.store import filter_views

    views = folder / "views"
    shutil.copytree(path.parent, views)
    (views / path.name).write_text(source, encoding="utf-8")
    filter_views.VIEW_FOLDERS[0] = views
