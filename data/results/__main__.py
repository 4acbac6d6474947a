"""`python -m data.results`: do the runs of the results table and write docs/results.md.

Takes hours. A second call goes on where the first stopped; what was recorded with today's defaults is not done again.
"""

import argparse
from pathlib import Path

from data.results.plan import planned
from data.results.record import record
from data.results.table import EARLIER_RUNS, page, records
from selfguide_lite.core.files import atomic_write

_HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run what is missing, in the plan's order, and write the page after every run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with tasks/ and ni/")
    parser.add_argument("--out", type=Path, default=Path("out/results"), help="folder of the databases")
    parser.add_argument("--kept", type=Path, default=_HERE / "runs", help="folder of what is kept of each run")
    parser.add_argument("--page", type=Path, default=_HERE.parent.parent / "docs" / "results.md")
    parser.add_argument("--group", action="append", help="only this part of the table; may be given several times")
    parser.add_argument("--task", action="append", help="only this task; may be given several times")
    parser.add_argument("--variant", action="append", help="only this variant; may be given several times")
    parser.add_argument("--most", type=int, help="stop after so many runs")
    parser.add_argument("--page-only", action="store_true", help="run nothing, write the page from what is kept")
    given = parser.parse_args()
    given.kept.mkdir(parents=True, exist_ok=True)
    given.page.parent.mkdir(parents=True, exist_ok=True)
    runs = [] if given.page_only else list(planned(given.shared))
    if given.group:
        runs = [one for one in runs if one.group in given.group]
    if given.task:
        runs = [one for one in runs if one.name in given.task]
    if given.variant:
        runs = [one for one in runs if one.variant in given.variant]
    for number, one in enumerate(runs[: given.most], 1):
        print(f"[{number} of {len(runs)}] {one.key}", flush=True)
        done = record(one, given.out, given.kept)
        print(done.get("verdict") or done.get("error"), flush=True)
        _write(given.page, page(records(given.kept), records(EARLIER_RUNS)))
    _write(given.page, page(records(given.kept), records(EARLIER_RUNS)))


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
