"""Installs a package that adds something, as pip would: a module and its entry points, in a folder of their own."""

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from selfguide_lite.core.registry import ANSWER_STYLES, ARCHITECTURES, FORMS, INPUT_STYLES, KINDS, TARGETS, TRAINERS


@dataclass(frozen=True)
class Plugins:
    """A folder of installed packages, for this process and its children."""

    folder: Path

    def install(self, module: str, source: str, points: Mapping[str, Mapping[str, str]]) -> None:
        """Install a package of one module.

        :param points: by group (such as `selfguide_lite.kinds`) the name of each entry and its class in the module
        """
        (self.folder / f"{module}.py").write_text(source, encoding="utf-8")
        info = self.folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
        lines = []
        for group, found in points.items():
            lines += [f"[{group}]", *(f"{name} = {module}:{what}" for name, what in found.items()), ""]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        importlib.invalidate_caches()

    @classmethod
    def at(cls, folder: Path, patch: pytest.MonkeyPatch) -> "Plugins":
        """Make the folder and let Python find what is installed in it."""
        folder.mkdir()
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH")))))
        return cls(folder)

    def forget(self) -> None:
        """Take out of memory what was imported from here."""
        for path in self.folder.glob("*.py"):
            sys.modules.pop(path.stem, None)
        for registry in (KINDS, INPUT_STYLES, ANSWER_STYLES, TRAINERS, ARCHITECTURES, TARGETS, FORMS):
            registry.forget()
