"""Writes data/tasks/message-tone.inputs.csv."""

import csv
from pathlib import Path

from data.walkthrough import messages


def main() -> None:
    """Write the messages with a number each."""
    path = Path(__file__).resolve().parents[1] / "tasks" / "message-tone.inputs.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "message"])
        writer.writerows((number, text) for number, (text, _) in enumerate(messages(), 1))


if __name__ == "__main__":
    main()
