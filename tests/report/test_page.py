"""The HTML report: whole, offline, with every text neutral; also in a real browser where there is one."""

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from chromium import Chromium
from click.testing import CliRunner
from stories import HOSTILE, NOTES, SHOP, told

from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.report.facts import collect
from selfguide_lite.report.page import report_html, write_report
from selfguide_lite.store import NewEvaluation, Prediction, Store
from selfguide_lite.task import Task

pytestmark = pytest.mark.slow

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
_AXE = importlib.util.find_spec("axe_core_python")
AXE = None if _AXE is None or _AXE.origin is None else Path(_AXE.origin).with_name("axe.min.js")
VOID = {"meta", "br", "input", "link", "img"}


class Page(HTMLParser):
    """The elements and texts of a page."""

    def __init__(self, source: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data


@pytest.fixture(scope="module", params=[SHOP, NOTES], ids=["classification", "generation"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    task: Task = request.param
    out = tmp_path_factory.mktemp("report") / "report.html"
    with told(out.with_suffix(".db"), task) as store:
        write_report(store, 1, out)
    yield out


def test_page_is_whole_and_asks_for_nothing(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    assert len(source) < 8_000_000
    parsed = Page(source)
    tags = [tag for tag, _ in parsed.elements]
    assert tags.count("script") == 3 and "img" not in tags and "link" not in tags and "iframe" not in tags
    for tag, attributes in parsed.elements:
        assert not {"src", "action"} & set(attributes), tag
        assert (attributes.get("href") or "#").startswith("#"), tag
        assert not any(name.startswith("on") for name in attributes), tag
    policy = next(
        a["content"] for tag, a in parsed.elements if tag == "meta" and "Policy" in (a.get("http-equiv") or "")
    )
    assert policy is not None and "default-src 'none'" in policy and "script-src 'sha256-" in policy


def test_page_shows_every_part_with_a_text_alternative(page: Path) -> None:
    parsed = Page(page.read_text(encoding="utf-8"))
    for heading in ("The task", "Before and after", "The data", "The finetune", "How everything was made"):
        assert heading in parsed.text
    figures = [a for tag, a in parsed.elements if a.get("role") == "img"]
    assert len(figures) >= 6 and all(len(a["aria-label"] or "") > 30 for a in figures)
    ids = [a["id"] for _, a in parsed.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert "gain, points" in parsed.text and "Fixed by the finetune" in parsed.text
    assert "before, few-shot" in parsed.text
    assert ("macro-F1" in parsed.text) == ("finetuned scored" in parsed.text)  # of classification
    assert "Better than every prompting tried: +" in parsed.text


def test_hostile_texts_are_shown_as_they_are(page: Path) -> None:
    text = Page(page.read_text(encoding="utf-8")).text
    for hostile in (
        "<script>document.title = 'hacked'</script>",
        "{{ 7 * 7 }}",
        "&lt;b&gt; &amp;",
        "'; DROP TABLE input",
    ):
        assert hostile in text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]", text)


def test_texts_tell_their_own_direction(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    arabic = next(text for text in HOSTILE if "مرحبا" in text)
    assert f'<td dir="auto" class="text">{arabic}</td>' in source


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")
def test_in_a_browser_charts_are_drawn_and_nothing_runs_that_should_not(page: Path, tmp_path: Path) -> None:
    assert BROWSER is not None
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=3000 --dump-dom"
    )
    done = subprocess.run(
        [BROWSER, *options.split(), f"--user-data-dir={tmp_path}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=280,
        check=True,
    )
    parsed = Page(done.stdout)
    drawn = [a for tag, a in parsed.elements if tag == "svg" and "main-svg" in (a.get("class") or "")]
    figures = [a for _, a in parsed.elements if a.get("role") == "img"]
    assert len(drawn) >= len(figures) >= 6
    assert re.search(r"<title>(shop talk|notes) - selfguide report</title>", done.stdout)
    assert not re.search("Refused to|Content Security Policy|Uncaught", done.stderr), done.stderr
    found = re.search(r"(\d+) of (\d+) rows", parsed.text)
    assert found and found[1] == found[2] != "0"  # the search's script has run


def test_the_summary_comes_first_with_ten_texts_and_the_rows_in_order(page: Path) -> None:
    source = page.read_text(encoding="utf-8")
    headings = re.findall(r'<h2 id="([a-z-]+)">', source)
    assert headings == ["summary", "before-after", "data", "finetune", "rows", "task", "made"]
    contents = re.findall(r'<li><a href="#([a-z-]+)">', source.split("</nav>")[0])
    assert contents == headings
    summary = source[source.index('id="summary"') : source.index('id="before-after"')]
    for part in ('id="verdict"', "gain, points", 'id="figure-funnel"', "Good: pairs of the dataset", "Bad: dropped"):
        assert part in summary, part
    texts = summary[summary.index("Good: ") :]
    kept, dropped = texts.count('data-name="verdict">pair<'), texts.count('data-name="verdict">dropped: ')
    assert 1 <= kept <= 5 and 1 <= dropped <= 5
    ids = [int(number) for number in re.findall(r'data-name="id">(\d+)<', source)]
    assert ids == sorted(ids) and len(ids) > 10


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None or AXE is None, reason="chromium or axe-core-python is not installed")
def test_in_a_browser_it_fits_a_telephone_and_two_sheets_and_everybody_can_use_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Contents that stay in view, rows by page, 380 pixels, two pages of paper, axe-core in light and dark."""
    assert AXE is not None
    out = tmp_path / "report.html"
    with told(tmp_path / "shop.db", SHOP) as store:
        write_report(store, 1, out)
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        page = browser.page(out.as_uri())
        page.until("document.querySelectorAll('.main-svg').length >= 6")
        for width, scheme in ((1280, "light"), (380, "dark")):
            page.view(width, 800, scheme)
            page.until(f"innerWidth === {width}")
            assert page.run("document.documentElement.scrollWidth") <= width
            assert page.run("document.documentElement.scrollHeight") < 12_000
            page.run("document.getElementById('rows').scrollIntoView()")
            box = page.run("JSON.stringify(document.querySelector('nav').getBoundingClientRect())")
            assert json.loads(box)["top"] == 0 and json.loads(box)["height"] < 80
            page.run(AXE.read_text(encoding="utf-8") + "; 1")
            found = json.loads(page.run("axe.run().then((said) => JSON.stringify(said.violations))"))
            serious = [
                (one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")
            ]
            assert not serious
        visible = "Array.from(document.querySelectorAll('#samples tbody tr')).filter((row) => !row.hidden)"
        ids = f"{visible}.map((row) => Number(row.cells[0].textContent))"
        first = page.run(ids)
        assert len(first) == 10 and first == sorted(first)
        page.run("document.getElementById('later').click()")
        assert min(page.run(ids)) > max(first)
        page.run("search.value = document.querySelector('#samples tbody td:nth-child(2)').textContent")
        page.run("search.dispatchEvent(new Event('input'))")
        assert 1 <= len(page.run(ids)) <= 10
        assert len(re.findall(rb"/Type\s*/Page\b", page.pdf())) == 2
        assert not browser.problems()


def test_report_before_training_has_no_empty_parts(tmp_path: Path) -> None:
    with Store.open(tmp_path / "early.db") as store:
        task_id = store.add_task(SHOP)
        with pytest.raises(SelfguideError, match="nothing was generated yet"):
            collect(store, task_id)
        told(tmp_path / "full.db", SHOP, 2).close()
    with Store.open(tmp_path / "full.db") as store:
        for table in ("verdict", "prediction", "evaluation", "train_step", "adapter", "output"):
            store.connection.execute(f"DELETE FROM {table}")
        text = Page(report_html(collect(store, 1))).text
        assert "The finetune" not in text and "Before and after" not in text and "The data" in text


def test_command_writes_beside_the_database(tmp_path: Path) -> None:
    told(tmp_path / "shop.db", SHOP, 2).close()
    done = CliRunner().invoke(main, ["report", "-d", str(tmp_path / "shop.db")])
    assert done.exit_code == 0 and (tmp_path / "shop.html").exists(), done.output
    done = CliRunner().invoke(main, ["report", "-d", str(tmp_path / "none.db")])
    assert done.exit_code == 1 and "no such database" in done.output


def test_changes_and_confusion_are_those_of_the_evaluation(tmp_path: Path) -> None:
    """Also of a row that occurs twice, and of one with two right answers."""
    rows = [("open?", ("happy",)), ("open?", ("happy",)), ("both", ("upset", "happy")), ("late", ("upset",))]
    answers = {
        "few-shot": ("happy", "upset", "none", "upset"),
        "finetuned scored": ("happy", "happy", "happy", "happy"),
    }
    with told(tmp_path / "a.db", SHOP, 2) as store:
        for table in ("verdict", "prediction", "evaluation"):
            store.connection.execute(f"DELETE FROM {table}")
        for method, texts in answers.items():
            made = store.add_evaluation(1, NewEvaluation(method=method, metric="exact match", model_id=1, n=4))
            for number, ((given, right), text) in enumerate(zip(rows, texts, strict=True)):
                store.add_prediction(made, Prediction(number, given, right, text, float(text in right)))
            store.finish_evaluation(made, 0.5, 0.0, 1.0)
        facts = collect(store, 1)
        page = Page(report_html(facts)).text
    # The answer counts as right by the label that was given, so nothing upset was answered with happy but "late".
    assert facts.confusion == {("happy", "happy"): 3, ("upset", "happy"): 1}
    assert [(one.input, one.before, one.after) for one in facts.fixed] == [
        ("open?", "upset", "happy"),
        ("both", "none", "happy"),
    ]
    assert [(one.input, one.before, one.after) for one in facts.broken] == [("late", "upset", "happy")]
    assert (facts.n_fixed, facts.n_broken) == (2, 1)
    assert facts.gain is not None and (facts.gain.before, facts.gain.after) == (0.5, 0.75)
    assert facts.macro_f1["finetuned scored"] == pytest.approx(6 / 7 / 2)
    assert "2 better than by few-shot, 1 worse" in page
