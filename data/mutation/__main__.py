"""Try mutants and record what the tests notice. It goes on where it stopped; last it prints the table."""

import datetime
import hashlib
import random
import sys
import time
from pathlib import Path

import click

from data.mutation.mutants import Mutant, mutants
from data.mutation.record import Record, read, survivors, table, write
from data.mutation.subjects import ROOT, SUBJECTS, Subject
from data.mutation.trial import Outcome, load_libraries, load_package, trial

SEED = 24


def of_subject(subject: Subject) -> list[Mutant]:
    """Return all mutants of a subject's files."""
    return [m for file in subject.files for m in mutants(file, (ROOT / file).read_text(encoding="utf-8"))]


def sampled(subject: Subject, everything: list[Mutant]) -> list[Mutant]:
    """Return those that are tried: the same ones for the same files, and a larger sample has those of a smaller one."""
    drawn = list(everything)
    random.Random(SEED).shuffle(drawn)
    return drawn[: subject.sample]


def noticed(mutant: Mutant, tests: tuple[str, ...], slow: bool) -> tuple[Outcome, str]:
    """Run one file of tests after the other until one of them notices, so that few are read for most mutants."""
    for test in tests:
        outcome, first = trial(mutant, (test,), slow=slow)
        if outcome != "survived":
            return outcome, first
    return "survived", ""


@click.command()
@click.option("--only", multiple=True, type=click.Choice([s.name for s in SUBJECTS]), help="these parts alone")
@click.option("--minutes", type=float, default=float("inf"), help="stop after so many, and go on the next time")
@click.option("--again", is_flag=True, help="try those that survived once more, with the tests as they are now")
@click.option("--slow", is_flag=True, help="with the tests that are marked slow")
@click.option("--trust", is_flag=True, help="do not run the tests on the code as it is first: they were seen to pass")
def main(only: tuple[str, ...], minutes: float, again: bool, slow: bool, trust: bool) -> None:
    """Change the code in one place at a time and see whether its tests notice."""
    began, records = time.monotonic(), read()
    load_libraries()
    for subject in SUBJECTS:
        if only and subject.name not in only:
            continue
        left = [m for m in sampled(subject, of_subject(subject)) if _wanted(m, records, again)]
        if not left:
            continue
        if not any(m.path.endswith(".py") for m in left):
            load_package()
        outcome, first = ("survived", "") if trust else trial(None, subject.tests, slow=slow)
        if outcome != "survived":
            sys.exit(f"{subject.name}: its tests fail on the code as it is: {first}")
        for mutant in left:
            if time.monotonic() - began > 60 * minutes:
                break
            outcome, first = noticed(mutant, subject.tests, slow)
            record = Record(subject.name, mutant.name, _sha(mutant), outcome, first, datetime.date.today().isoformat())
            records[record.source, record.mutant] = record
            write(record)
            click.echo(f"{outcome:8} {mutant.name}  {first}")
    click.echo(table(records))
    for subject in SUBJECTS:
        for name in survivors(subject, records):
            click.echo(f"survived: {name}")


def _wanted(mutant: Mutant, records: dict[tuple[str, str], Record], again: bool) -> bool:
    known = records.get((_sha(mutant), mutant.name))
    return known is None or (again and known.outcome == "survived")


def _sha(mutant: Mutant) -> str:
    return hashlib.sha256(Path(ROOT / mutant.path).read_bytes()).hexdigest()[:16]


if __name__ == "__main__":
    main()
