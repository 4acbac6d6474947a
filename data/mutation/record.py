"""What was found: a line for each mutant that was tried, and the table of them."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from data.mutation.subjects import SUBJECTS, Subject

RECORDS = Path(__file__).parent / "records.jsonl"


@dataclass(frozen=True, slots=True)
class Record:
    """A mutant's outcome.

    :param mutant: its name
    :param source: SHA-256 of the file that it was made of
    :param outcome: `killed`, `timeout` or `survived`
    :param by: the test that noticed first, empty where none did
    :param date: of the trial
    """

    subject: str
    mutant: str
    source: str
    outcome: str
    by: str
    date: str


def read(path: Path = RECORDS) -> dict[tuple[str, str], Record]:
    """Return the newest record of each mutant, by its file's hash and its name."""
    if not path.exists():
        return {}
    found = [Record(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    return {(record.source, record.mutant): record for record in found}


def write(record: Record, path: Path = RECORDS) -> None:
    """Add a record at once, so that a run that is stopped goes on where it was."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")


def table(records: dict[tuple[str, str], Record]) -> str:
    """Return the counts by subject, and the days of the trials, as a Markdown table."""
    rows = ["| part | tried | killed | survived | dates |", "| --- | --- | --- | --- | --- |"]
    for subject in SUBJECTS:
        counts = Counter(record.outcome for record in records.values() if record.subject == subject.name)
        killed = counts["killed"] + counts["timeout"]
        dates = sorted({record.date for record in records.values() if record.subject == subject.name})
        cells = (subject.name, counts.total(), killed, counts["survived"], ", ".join(dates))
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def survivors(subject: Subject, records: dict[tuple[str, str], Record]) -> list[str]:
    """Return the names of the subject's mutants that no test noticed."""
    return [r.mutant for r in records.values() if r.subject == subject.name and r.outcome == "survived"]
