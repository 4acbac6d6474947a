"""The page in headless Chromium: keys, undo, two tabs, hostile texts, a hundred thousand pairs; and who may open it."""

import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from chromium import BROWSER, Chromium, Page
from hostile_texts import TEXTS
from needs import needs
from stories import SHOP

from selfguide_lite.core.settings import Settings
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.store.stored_values import clean
from selfguide_lite.task import Task, fold

needs("fastapi", "needs fastapi")
pytestmark = [pytest.mark.slow, pytest.mark.browser]

PLAIN = SHOP.model_copy(
    update={
        "settings": Settings(
            calibrate=False, near_duplicate_threshold=None, input_length_filter=False, noise_filter=False,
            label_named_filter=False, balance=False, min_vote_share=0,
        )
    }
)  # fmt: skip


@contextmanager
def reviewing(db: Path, *words: str) -> Iterator[str]:
    """Run the command and give the page's address."""
    command = [sys.executable, "-m", "selfguide_lite", "review", "-d", str(db), "--reviewer", "Ada", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    told = process.stderr.readline()
    found = re.match(r"Review at (http://127\.0\.0\.1:\d+/[\w-]{32}/)$", told)
    try:
        assert found, told + process.stderr.read()
        yield found[1]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if BROWSER is None:
        pytest.skip("chromium is not installed")
    with Chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def filled(path: Path, texts: list[str]) -> Path:
    """Make a database in which each text is a pair; the first are the least certain."""
    with Store.open(path) as store:
        task_id = store.add_task(PLAIN)
        run = store.start_run(task_id, "generate", None, PLAIN.settings, 1, None)
        for number, text in enumerate(texts):
            made = store.add_input(NewInput(task_id, run, 0, number, text, "happy"))
            share = 0.55 + 0.4 * number / len(texts)
            store.add_outputs(
                [NewOutput(made, run, 0, "happy", "score", share), NewOutput(made, run, 1, "upset", "score", 1 - share)]
            )
    return path


def shown(page: Page) -> int:
    return int(page.until("document.body.dataset.item"))


def press(page: Page, key: str) -> int:
    """Press a key that ends with another input being shown, and return its id."""
    before = shown(page)
    page.key(key)
    return int(page.until(f"document.body.dataset.item != '{before}' && document.body.dataset.item"))


def verdicts(db: Path) -> list[tuple[int, str, str | None, str | None]]:
    with Store.open(db, read_only=True) as store:
        return store._rows("SELECT input_id, verdict, answer, input FROM review ORDER BY id")


def test_keys_judge_and_undo(browser: Chromium, tmp_path: Path) -> None:
    db = filled(tmp_path / "a.db", [f"Text number {n} is here." for n in range(12)])
    with reviewing(db) as url:
        page = browser.page(url)
        assert shown(page) == 1
        assert page.text("text") == "Text number 0 is here." and page.text("answer") == "happy"
        assert page.text("counter") == "1 of 12 · 0 reviewed" and "kept, 55 % sure; asked for happy" in page.text(
            "state"
        )
        assert press(page, "a") == 2
        assert press(page, "r") == 3
        assert press(page, "2") == 4
        assert press(page, "1") == 5
        assert press(page, "s") == 6
        page.key("e")
        page.run("document.getElementById('editor-text').select()")
        page.type("upset")
        page.key("Enter", control=True)
        page.until("document.body.dataset.item == '7'")
        page.key("i")
        page.until("!document.getElementById('editor').hidden")
        page.run("document.getElementById('editor-text').select()")
        page.type("A text in\nother words. a r s u")  # letters are text while one is written
        page.key("Enter", control=True)
        page.until("document.body.dataset.item == '8'")
        page.key("e")
        page.key("Escape")
        assert page.run("document.getElementById('editor').hidden") and shown(page) == 8
        assert page.text("counter") == "8 of 12 · 6 reviewed"
        assert press(page, "u") == 7
        assert press(page, "u") == 6
        page.until("document.getElementById('counter').textContent == '6 of 12 · 4 reviewed'")
        assert press(page, "r") == 7
        page.run("document.getElementById('accept').click()")
        page.until("document.body.dataset.item == '8'")
    assert verdicts(db) == [
        (1, "accept", "happy", None),
        (2, "reject", None, None),
        (3, "edit", "upset", None),
        (4, "accept", "happy", None),
        (5, "skip", None, None),
        (6, "edit", "upset", None),
        (7, "edit", "happy", "A text in\nother words. a r s u"),
        (7, "undo", None, None),
        (6, "undo", None, None),
        (6, "reject", None, None),
        (7, "accept", "happy", None),
    ]
    assert not browser.problems()


def test_noise_terms_orders_and_the_end(browser: Chromium, tmp_path: Path) -> None:
    db = filled(tmp_path / "a.db", ["Of course the lamp.", "The lamp, of course.", "Nothing else."])
    with reviewing(db, "--sample", "3") as url:
        page = browser.page(url)
        shown(page)
        page.key("n")
        page.type("of course")
        page.key("Enter", control=True)
        page.until("document.getElementById('would-drop').textContent.includes('2 more texts, 2 of them pairs')")
        with Store.open(db, read_only=True) as store:
            assert "of course" not in store.noise_terms(1)
        page.key("Enter", control=True)
        page.until("document.getElementById('message').textContent.startsWith('Added')")
        with Store.open(db, read_only=True) as store:
            assert "of course" in store.noise_terms(1)
        for _ in range(3):
            page.key("a")
            page.until("document.getElementById('message').textContent !== 'x'")
            time.sleep(0.3)
        page.until("document.getElementById('message').textContent.startsWith('That was all')")
        page.run(
            "(() => { const o = document.getElementById('order'); o.value = 'doubt'; "
            "o.dispatchEvent(new Event('change')); })()"
        )
        time.sleep(0.3)
        page.until("document.getElementById('message').textContent.startsWith('That was all')")
    with Store.open(db, read_only=True) as store:
        assert store._rows("SELECT DISTINCT queue FROM review") == [("random",)]


def test_two_tabs_at_once_lose_nothing(browser: Chromium, tmp_path: Path) -> None:
    db = filled(tmp_path / "a.db", [f"Text number {n} is here." for n in range(10)])
    with reviewing(db) as url:
        one, other = browser.page(url), browser.page(url)
        assert shown(one) == shown(other) == 1
        assert press(one, "a") == 2
        other.key("r")
        other.until("document.getElementById('message').textContent.includes('judged this one meanwhile')")
        other.until("document.body.dataset.item == '2'")
        assert press(other, "r") == 3
        one.key("a")  # 2 has just been judged in the other tab
        one.until("document.body.dataset.item == '3'")
        for _ in range(8):
            one.key("a")
            other.key("r")
            time.sleep(0.2)
        for page in (one, other):
            page.until("document.getElementById('message').textContent.startsWith('That was all')")
    rows = verdicts(db)
    assert sorted(number for number, *_ in rows) == list(range(1, 11))  # each once
    assert rows[0][:2] == (1, "accept") and rows[1][:2] == (2, "reject")


def test_hostile_texts_are_texts(browser: Chromium, tmp_path: Path) -> None:
    texts = list(dict.fromkeys(clean(text) for text in TEXTS if clean(text)))
    texts = list({fold(text): text for text in texts}.values())
    db = filled(tmp_path / "a.db", texts)
    with reviewing(db) as url:
        page = browser.page(url)
        for _ in range(len(texts)):
            number = shown(page)
            with Store.open(db, read_only=True) as store:
                text = store._value("SELECT text FROM input WHERE id = ?", number)
            seen = page.text("text")
            assert len(seen) == len(text.encode("utf-16-le")) // 2 or len(seen) == len(text)
            assert not re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", seen)
            plain = re.sub("[^\\w<>&'\"/=(){}%; -]", "", text)
            assert plain[:40] in re.sub("[^\\w<>&'\"/=(){}%; -]", "", seen)
            page.key("a")
            page.until(
                f"document.body.dataset.item != '{number}' || "
                "document.getElementById('message').textContent.startsWith('That was all')"
            )
        assert page.run("document.title").endswith("- review") and page.run("document.images.length") == 0
        assert page.run("document.scripts.length") == 1
    assert len(verdicts(db)) == len(texts)
    assert not browser.problems()


PAIRS = int(os.environ.get("SELFGUIDE_REVIEW_PAIRS", "100000"))


def test_a_hundred_thousand_pairs(browser: Chromium, tmp_path: Path) -> None:
    dice = random.Random(1)
    words = [f"word{n}" for n in range(3000)]
    db = tmp_path / "a.db"
    with Store.open(db) as store:
        store.add_task(PLAIN)
        run = store.start_run(1, "generate", None, PLAIN.settings, 1, None)
        store.connection.execute("BEGIN")
        texts = [f"{' '.join(dice.choices(words, k=8))} {n}" for n in range(PAIRS)]
        store.connection.executemany(
            "INSERT INTO input(task_id, run_id, round, prompt, label, text, length, folded, sketched)"
            " VALUES (1, ?, ?, ?, 'happy', ?, ?, ?, 1)",
            [(run, n // 40, n % 40, text, len(text), fold(text)) for n, text in enumerate(texts)],
        )
        store.connection.executemany(
            "INSERT INTO output(input_id, run_id, sample, method, text, length, label, answer_length, weight,"
            " answer_id)"
            " VALUES (?, ?, 0, 'score', 'happy', 5, 'happy', 5, ?, ?)",
            [(n, run, 0.5 + dice.random() / 2, n) for n in range(1, PAIRS + 1)],
        )
        store.connection.execute("COMMIT")
    began = time.monotonic()
    with reviewing(db) as url:
        page = browser.page(url)
        shown(page)
        opened = time.monotonic() - began
        assert f"1 of {PAIRS}" in page.text("counter")
        began = time.monotonic()
        for _ in range(100):
            press(page, "a")
        took = time.monotonic() - began
        page.screenshot(tmp_path / "page.png")
    assert len(verdicts(db)) == 100
    print(f"{PAIRS:,} pairs: opened in {opened:.1f} s, a hundred verdicts in {took:.1f} s")
    assert took < 60, f"{took:.0f} s for a hundred verdicts"


def test_only_who_has_the_address_on_this_machine_may_open_it(tmp_path: Path) -> None:
    db = filled(tmp_path / "a.db", ["One text."])
    with reviewing(db) as url:
        port, path = urlsplit(url).port, urlsplit(url).path

        def status(path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request(method, path, body, headers)
                return connection.getresponse().status
            finally:
                connection.close()

        said = json.dumps({"id": 1, "verdict": "accept"}).encode()
        assert status(path) == 200 and status(f"{path}review.js") == 200
        assert status(path, Host="evil.example") == 400
        for wrong in (
            "/",
            "/x/",
            "/x/api/queue",
            path[:-2] + "/",
            "/api/queue",
            f"{path}../session.py",
            f"{path}app.py",
        ):
            assert status(wrong) == 404, wrong
        assert status(f"{path}api/say", "POST", said, **{"Content-Type": "text/plain"}) == 415
        assert status("/wrong/api/say", "POST", said, **{"Content-Type": "application/json"}) == 404
        for body in (b"{", b"[]", b'{"id": 1, "verdict": "best"}', b'{"id": "x", "verdict": "accept"}', b'{"id": 9}'):
            assert status(f"{path}api/say", "POST", body, **{"Content-Type": "application/json"}) == 400, body
        assert verdicts(db) == []


def test_an_object_is_shown_by_field_and_edited_as_json(tmp_path: Path, browser: Chromium) -> None:
    fields = {"kind": {"type": "enum", "values": ["flat", "house"]}, "size": "integer, optional", "city": "string"}
    example = {"input": "House in Cork", "output": {"kind": "house", "city": "Cork"}}
    settings = PLAIN.settings.model_dump(exclude_unset=True)
    task = Task.model_validate(
        {
            "name": "adverts", "kind": "extraction", "instruction": "Read.", "schema": fields, "settings": settings,
            "examples": [example],
        }
    )  # fmt: skip
    db = tmp_path / "adverts.db"
    with Store.open(db) as store:
        task_id = store.add_task(task)
        run = store.start_run(task_id, "generate", None, task.settings, 1, None)
        for number in range(2):
            made = store.add_input(NewInput(task_id, run, 0, number, f"Flat {number} in <b>Ulm</b>"))
            text = '{"kind":"flat","size":9007199254740993,"city":"<b>Ulm</b>"}'
            store.add_outputs([NewOutput(made, run, 0, text)])
    with reviewing(db, "--order", "random") as url:
        page = browser.page(url)
        first = shown(page)
        lines = ['kind: "flat"', "size: 9007199254740993", 'city: "<b>Ulm</b>"']
        assert page.text("answer").strip().split("\n") == lines
        page.key("e")
        for wrong, says in (
            ("no object", "must be an object"),
            ('{"kind": "tent"}', "'tent' is not one of flat, house"),
        ):
            page.run("document.getElementById('editor-text').select()")
            page.type(wrong)
            page.key("Enter", control=True)
            page.until(f'document.getElementById("message").textContent.includes("{says}")')
        page.key("Escape")
        page.key("e")
        value = page.run("document.getElementById('editor-text').value")
        assert json.loads(value)["size"] == 9007199254740993
        page.run(f"document.getElementById('editor-text').value = {json.dumps(value.replace('flat', 'House'))}")
        page.key("Enter", control=True)
        page.until(f"document.body.dataset.item != '{first}'")
    edited = '{"kind":"house","size":9007199254740993,"city":"<b>Ulm</b>"}'
    assert verdicts(db) == [(first, "edit", edited, None)]
