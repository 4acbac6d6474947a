"""The report as one HTML file that opens offline. Texts are data: escaped, without control codes, run by nothing."""

import base64
import hashlib
import json
from collections import Counter
from pathlib import Path

from selfguide_lite.core.files import atomic_write
from selfguide_lite.core.text import neutral
from selfguide_lite.core.version import __version__
from selfguide_lite.report.charts import charts
from selfguide_lite.report.facts import SAMPLES, Facts, Sample, collect
from selfguide_lite.store import Store

_FOLDER = Path(__file__).parent
_OPEN = ("pair", "no answer")  # no filter dropped them
_SHOWN = 5
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'; img-src data: blob:"


def write_report(store: Store, task_id: int, out: Path) -> None:
    """Write a task's report, whole or not at all.

    :param out: the HTML file
    :raises SelfguideError: where plotly is missing, nothing was generated, or the file cannot be written
    """
    text = report_html(collect(store, task_id))
    with atomic_write(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def report_html(facts: Facts) -> str:
    """Return the report's page: styles, scripts, charts and data all in it."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    made = charts(facts)
    from plotly.offline import get_plotlyjs

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["shown"] = lambda text: neutral(str(text), keep_lines=True)
    environment.filters["percent"] = lambda share: f"{share:.1%}"
    environment.filters["settings"] = lambda values: json.dumps(values, ensure_ascii=False, sort_keys=True)
    environment.filters["outcome"] = lambda verdict: verdict if verdict in _OPEN else f"dropped: {verdict}"
    template = environment.from_string((_FOLDER / "report.html.j2").read_text(encoding="utf-8"))
    scripts = [get_plotlyjs(), (_FOLDER / "report.js").read_text(encoding="utf-8")]
    # Only these very scripts may run: a text that got through as one would be refused by the browser.
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return template.render(
        facts=facts,
        charts={chart.name: chart for chart in made},
        figures=Markup("{" + ",".join(f'"{chart.name}":{chart.figure}' for chart in made) + "}"),
        plotly=Markup(scripts[0]),
        script=Markup(scripts[1]),
        style=Markup((_FOLDER / "report.css").read_text(encoding="utf-8")),
        policy=Markup(f"{_POLICY}; script-src {allowed}"),
        version=__version__,
        limit=SAMPLES,
        reasons=sorted({sample.verdict for sample in facts.samples}),
        confused=_confusion_table(facts),
        good=_surest_pairs(facts),
        bad=_one_of_each_reason(facts),
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _confusion_table(facts: Facts) -> list[tuple[str, list[int]]]:
    """Return a row for each right label: how often each label was answered, and no label last."""
    if not facts.confusion:
        return []
    columns = [*facts.task.labels, None]
    return [(right, [facts.confusion.get((right, given), 0) for given in columns]) for right in facts.task.labels]


def _surest_pairs(facts: Facts) -> list[Sample]:
    """Return a few pairs of the dataset, of each answer in turn the one with the largest share of the votes."""
    pairs = sorted((one for one in facts.samples if one.verdict == "pair"), key=lambda one: -(one.share or 0.0))
    turns: Counter[str | None] = Counter()
    placed = []
    for one in pairs:
        placed.append((turns[one.answer], one))
        turns[one.answer] += 1
    return [one for _, one in sorted(placed, key=lambda pair: pair[0])][:_SHOWN]


def _one_of_each_reason(facts: Facts) -> list[Sample]:
    """Return a few dropped inputs, of each reason in turn, the most frequent reasons first."""
    dropped = [one for one in facts.samples if one.verdict not in _OPEN]
    frequent = Counter(one.verdict for one in dropped)
    turns: Counter[str] = Counter()
    placed = []
    for one in dropped:
        placed.append((turns[one.verdict], -frequent[one.verdict], one))
        turns[one.verdict] += 1
    return [one for *_, one in sorted(placed, key=lambda row: row[:2])][:_SHOWN]
