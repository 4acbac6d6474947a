"""Commands on a machine that lacks something: packages are hidden from them, and more by lines of a test's own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Python runs a module of this name first. HIDDEN names the packages that cannot be imported.
_SITE = """
import importlib.machinery, os, sys
hidden = os.environ.get("HIDDEN", "").split()
found = importlib.machinery.PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.split(".")[0] in hidden else found(name, path, target)
importlib.machinery.PathFinder.find_spec = staticmethod(find_spec)
"""


def run_lacking(
    words: list[object], site: Path, cwd: Path, machine: Mapping[str, str], more: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Give a command of `selfguide` where something is missing.

    :param site: a folder for the module that hides things
    :param machine: variables of the environment, such as HIDDEN
    :param more: lines of Python that run with it
    """
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(_SITE + more)
    return subprocess.run(
        [sys.executable, "-m", "selfguide_lite", *map(str, words)],
        capture_output=True, text=True, cwd=cwd, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"} | machine,
    )  # fmt: skip
