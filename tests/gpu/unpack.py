"""Joins the kit's parts and installs those of its wheels whose package is missing: `unpack.py KIT FILES`.

Runs where nothing is installed yet, so it needs Python and pip alone.
"""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

from parts import join


def missing(wheels: list[Path]) -> list[Path]:
    """Return the wheels whose distribution is not installed, in any version."""
    there = {(one.metadata["Name"] or "").lower().replace("-", "_") for one in importlib.metadata.distributions()}
    return [wheel for wheel in wheels if wheel.name.split("-")[0].lower().replace(".", "_") not in there]


def main() -> None:
    """Join, install, say what is lacking."""
    kit, out = Path(sys.argv[1]), Path(sys.argv[2])
    lacking = join(kit, out)
    wheels = missing(sorted(out.glob("*.whl")))
    print(json.dumps({"lacking": lacking, "installed": [wheel.name for wheel in wheels]}, indent=1))
    if wheels:
        pip = (sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", *map(str, wheels))
        sys.exit(subprocess.run(pip, check=False).returncode)


if __name__ == "__main__":
    main()
