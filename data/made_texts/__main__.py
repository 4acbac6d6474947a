"""Writes the evaluation rows of the demo tasks rental-adverts and support-mails."""

from pathlib import Path

from data.made_texts import rows_of
from data.made_texts.adverts import advert
from data.made_texts.mails import mail
from selfguide_lite.core.plain_json import plain_json

_TASKS = Path(__file__).resolve().parents[1] / "tasks"
SETS = {"rental-adverts": (advert, 11), "support-mails": (mail, 12)}


def main() -> None:
    """Write both files."""
    for name, (make, seed) in SETS.items():
        lines = [plain_json({"input": row.input, "output": row.output}) + "\n" for row in rows_of(make, seed)]
        (_TASKS / f"{name}.eval.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
