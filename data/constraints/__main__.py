"""Write constraints.txt from pyproject.toml: `python -m data.constraints`, with uv and pip on the path.

The versions in the present file stay, where they can; `--upgrade` looks for newer ones.
"""

import argparse

from data.constraints.licences import record_licences
from data.constraints.resolve import resolve


def main() -> None:
    """Resolve, write the file, record the licences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    given = parser.parse_args()
    resolve(upgrade=given.upgrade)
    record_licences()


if __name__ == "__main__":
    main()
