"""Hostile texts in the report and in the pages that `browse` serves: text, and nothing that a browser would run."""

import csv
import http.client
import io
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browsing import browsing
from click.testing import CliRunner
from hostile_texts import CONTROL, STORABLE, TEXTS, UNSEEN, hostile_store
from robustness_counts import count

from selfguide_lite.cli import main
from selfguide_lite.store.stored_values import clean

pytestmark = pytest.mark.slow

KINDS = ("generation", "classification")
FORMULA = tuple("=+-@\t\r\n＝＋－＠")
RUNS = ("script", "iframe", "object", "embed", "base", "svg", "img", "link", "meta", "form", "style")


class Page(HTMLParser):
    """The elements of a page with their attributes, its texts, and what its scripts hold."""

    def __init__(self, source: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag in ("script", "style"):
            self._inside = tag
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data
        else:
            self.text += data


def inert(source: str) -> Page:
    """Parse a page and make sure that no text of the corpus has become anything but text."""
    found = CONTROL.search(source)
    assert not found, repr(source[max(0, found.start() - 60) : found.end() + 20])
    page = Page(source)
    for tag, attributes in page.elements:
        assert tag not in ("b", "svg", "img", "iframe"), (tag, attributes)
        assert not {"onmouseover", "onfocus", "onerror", "onload", "onclick"} & set(attributes), (tag, attributes)
        for name in ("href", "src", "action"):
            assert not re.match(r"\s*(javascript|data|vbscript):", attributes.get(name, ""), re.IGNORECASE), attributes
    for script in page.scripts:
        assert "alert(" not in script or ('"figures"' in source and "\\u003c" in script), script[:200]
    return page


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_shows_texts_as_texts(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.db"
    hostile_store(path, kind).close()
    done = CliRunner().invoke(main, ["report", "-d", str(path), "-o", str(tmp_path / "report.html")])
    assert done.exit_code == 0 and not CONTROL.search(done.output), done.output
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    without = re.sub(r"<script>.*?</script>", "", source, flags=re.DOTALL)  # ours, held to by their hashes, see below
    page = inert(without)
    for name in ("markup", "script", "image", "template", "SQL", "formula", "turns of a chat", "end of a script"):
        assert clean(STORABLE[name]) in page.text, name
    assert [tag for tag, _ in Page(source).elements].count("script") == 3
    (policy,) = [one["content"] for tag, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'; base-uri 'none'; form-action 'none'; " in policy and "http" not in policy
    assert not UNSEEN.search(page.text)
    data = json.loads(next(script for script in Page(source).scripts if script.startswith("{")))
    for figure in data.values():
        assert "<script" not in json.dumps(figure) and "<b" not in json.dumps(figure).replace("<br>", "")
    count("texts", len(TEXTS))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Datasette as `browse` starts it, over a hostile database, on a port of its own."""
    pytest.importorskip("datasette")
    path = tmp_path_factory.mktemp("browse") / "hostile.db"
    hostile_store(path, "classification").close()
    with browsing(path) as served:
        os.environ["BROWSE_COOKIE"] = served.cookie
        yield served.host, served.port


def get(served: tuple[str, int], path: str, host: str = "", cookie: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*served, timeout=120)
    cookie = os.environ["BROWSE_COOKIE"] if cookie is None else cookie
    connection.request("GET", path, headers={"Cookie": cookie, **({"Host": host} if host else {})})
    answer = connection.getresponse()
    if answer.status == 200:
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ") and "base-uri 'none'" in policy and "http" not in policy
        assert "*" not in policy and answer.headers["X-Content-Type-Options"] == "nosniff"
    status, body = answer.status, answer.read().decode()
    connection.close()
    return status, body


@pytest.mark.parametrize(
    "table", ["input", "output", "dataset", "prediction", "label", "model", "adapter", "input_verdict"]
)
def test_browse_shows_texts_as_texts(table: str, served: tuple[str, int]) -> None:
    status, source = get(served, f"/hostile/{table}?_size=max")
    assert status == 200
    page = inert(source)
    if table == "input":
        for name in ("markup", "script", "image", "template", "SQL", "control tokens"):
            assert clean(STORABLE[name]) in page.text, name
        assert "\ufffd]0;pwned\ufffd" in page.text
    status, told = get(served, f"/hostile/{table}.json?_shape=array&_size=max")
    rows = json.loads(told)
    assert status == 200 and rows and not CONTROL.search(told)
    status, told = get(served, f"/hostile/{table}.csv?_size=max")
    assert status == 200 and not CONTROL.search(told.replace("\r\n", "\n"))
    cells = list(csv.DictReader(io.StringIO(told, newline="")))
    assert len(cells) == len(rows)
    assert not [cell for row in cells for cell in row.values() if cell.lstrip(" ").startswith(FORMULA)]
    count("texts", sum(isinstance(value, str) for row in rows for value in row.values()))


def test_browse_streams_a_csv_of_any_length(served: tuple[str, int]) -> None:
    status, told = get(served, "/hostile.csv?sql=select+replace(hex(zeroblob(200000)),'0','=')+as+x,1+as+y")
    assert status == 200
    (row,) = csv.DictReader(io.StringIO(told, newline="")) if csv.field_size_limit(2**30) else ()
    assert row == {"x": "'" + "=" * 400_000, "y": "1"}
    status, told = get(served, "/hostile/input.csv?_stream=on")
    assert status == 200 and len(list(csv.DictReader(io.StringIO(told, newline="")))) == len(TEXTS)


def test_browse_answers_its_own_names_only(served: tuple[str, int]) -> None:
    for host in (f"127.0.0.1:{served[1]}", f"localhost:{served[1]}", "127.0.0.1"):
        assert get(served, "/hostile.json", host)[0] == 200
    for host in ("example.com", f"127.0.0.1.example.com:{served[1]}", "x@127.0.0.1", "127.0.0.2", "0.0.0.0"):
        status, said = get(served, "/hostile.json", host)
        assert status == 403 and "127.0.0.1" in said and "table" not in said
    for path in ("/hostile/nothing", "/hostile/input/99999", "/-/plugins.json", "/-/settings.json"):
        assert get(served, path)[0] in (200, 404)


def test_browse_needs_the_token_of_its_address(served: tuple[str, int]) -> None:
    token = os.environ["BROWSE_COOKIE"].partition("=")[2]
    for path, cookie in (
        ("/", ""),
        ("/-/versions.json", "selfguide_token=x"),
        ("/?token=x", ""),
        (f"/?token={token[:-1]}", ""),
        ("/", f"other={token}"),
    ):
        status, body = get(served, path, cookie=cookie)
        assert status == 403 and "the address that `selfguide browse` printed" in body, path
    assert get(served, f"/?token={token}", cookie="")[0] == 303
    assert get(served, f"/?token={token}", "evil.example", cookie="")[0] == 403
    assert get(served, "/", cookie=f"a=b; selfguide_token={token}")[0] == 200
