"""The line that ends a job: the commands that make sense now."""

import shlex
from pathlib import Path


def next_steps(*commands: tuple[str, ...], db: Path | None = None) -> str:
    """Return the line: `Next: selfguide predict "..." -d FILE; selfguide report -d FILE`.

    :param commands: words of each command, quoted here where a shell needs it
    :param db: is named by each of them
    """
    tail = () if db is None else ("-d", str(db))
    return "Next: " + "; ".join("selfguide " + " ".join(map(shlex.quote, (*words, *tail))) for words in commands)
