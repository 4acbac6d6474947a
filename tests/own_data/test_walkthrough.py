"""The way of a new user, by the commands alone: own messages answered, reviewed, corrected; trained, used, reported."""

import csv
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from needs import needs
from proofs import shared

from data.walkthrough import messages
from selfguide_lite import Store
from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.resources import resource
from selfguide_lite.models import default_model
from selfguide_lite.review.session import Session
from selfguide_lite.task import load_task
from selfguide_lite.task.eval_rows import load_eval

needs("unsloth")
needs("fastapi", "needs fastapi")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

HEAD = """\
name: tone
kind: classification
instruction: {instruction}
labels: [{labels}]
examples:
"""


@dataclass(frozen=True)
class Plan:
    """What is walked through.

    :param truth: the right label of every message
    :param reviewed: how many messages a person looks at
    :param correct: how many wrong answers among them are corrected at most
    :param held_out: a file of evaluation rows, or None
    :param apart: each command has a process of its own
    """

    model: Path
    instruction: str
    labels: tuple[str, ...]
    examples: list[tuple[str, str]]
    truth: Mapping[str, str]
    reviewed: int
    correct: int
    held_out: Path | None = None
    apart: bool = True


def selfguide(plan: Plan, folder: Path, *words: str) -> str:
    if not plan.apart:
        with chdir(folder):
            found = CliRunner(env={"SELFGUIDE_MODEL": str(plan.model)}).invoke(main, words)
        assert found.exit_code == 0, found.output
        return found.stdout + found.stderr
    done = subprocess.run(
        [sys.executable, "-m", "selfguide_lite", *words], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "SELFGUIDE_MODEL": str(plan.model)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def a_persons_keys(plan: Plan, db: Path) -> tuple[str, int]:
    """The keys that somebody who knows the right labels presses, and how many answers they correct."""
    keys, corrected = "", 0
    with Store.open(db) as store:
        session = Session(store, 1, "")
        for number in session.queue("random", sample=plan.reviewed):
            item = session.shown(number).item
            right = plan.truth[item.text]
            if item.answer == right and item.reason is None:
                keys += "a"
            elif corrected < plan.correct:
                keys += str(plan.labels.index(right) + 1)
                corrected += 1
            else:
                keys += "r"
    return keys, corrected


def walk(plan: Plan, folder: Path) -> None:
    began = time.monotonic()
    with (folder / "messages.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "message"), *enumerate(plan.truth, 1)])
    text = "" if plan.held_out is None else f"eval: {plan.held_out}\n"
    text += HEAD.format(instruction=plan.instruction, labels=", ".join(plan.labels))
    for given, label in plan.examples:
        text += f"- input: {json.dumps(given)}\n  output: {label}\n"
    (folder / "tone.yaml").write_text(text, encoding="utf-8")

    told = selfguide(plan, folder, "add", "inputs", "messages.csv", "tone.yaml", "--column", "message")
    assert f"{len(plan.truth)} inputs added to tone.db" in told
    if plan.held_out is not None:
        with (folder / "held.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("message",), (load_eval(plan.held_out)[0].input,)])
        told = selfguide(plan, folder, "add", "inputs", "held.csv", "tone.yaml", "--column", "message")
        assert "evaluation set: held.csv: row 2" in told and "0 inputs added" in told
    selfguide(plan, folder, "annotate", "-d", "tone.db", "-q")
    db = folder / "tone.db"
    with Store.open(db, read_only=True) as store:
        assert store._value("SELECT count(DISTINCT input_id) FROM output") > 0.8 * len(plan.truth)
    keys, corrected = a_persons_keys(plan, db)
    told = selfguide(plan, folder, "review", "-d", "tone.db", "--sample", str(plan.reviewed), "--quality")
    assert "Nothing was reviewed" in told
    pressing = (
        "import sys, itertools; keys = iter(sys.argv.pop(1)); import click; click.getchar = lambda: next(keys); "
        "from selfguide_lite.cli import main; main()"
    )
    words = ["review", "-d", "tone.db", "--terminal", "--sample", str(plan.reviewed), "--reviewer", "Ada"]
    done = subprocess.run(
        [sys.executable, "-c", pressing, keys, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    quality = re.search(r"(\d+) of (\d+) kept pairs are right: (\d+)% \((\d+)% to (\d+)%\)", done.stdout)
    assert quality is not None, done.stdout
    with Store.open(db, read_only=True) as store:
        assert store._value("SELECT count(*) FROM review") == len(keys) >= 0.9 * plan.reviewed
        hand = {pair.input: pair.output for pair in store.pairs(1) if pair.by_hand}
        assert len(hand) == keys.count("a") + corrected
        assert all(plan.truth[given] == label for given, label in hand.items())

    told = selfguide(plan, folder, "run", "tone.yaml", "-q", "--json", "--set", "rounds=0")
    done_run = json.loads(told.strip().splitlines()[-1])
    assert done_run["adapter"].endswith("adapter.gguf")
    if plan.held_out is not None:
        assert done_run["gain"]["n"] == len(load_eval(plan.held_out))
        print(f"{done_run['pairs']} pairs, {done_run['methods']}: {done_run['verdict']}")
    selfguide(
        plan, folder, "predict", "-d", "tone.db", "-i", "messages.csv", "-o", "answered.csv", "--column", "message"
    )
    with (folder / "answered.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["message"] for row in rows] == list(plan.truth)
    right = sum(row["prediction"] == plan.truth[row["message"]] for row in rows) / len(rows)
    served = serve_one(plan, folder, rows[0]["message"])
    assert served["prediction"] == rows[0]["prediction"]
    selfguide(plan, folder, "report", "-d", "tone.db", "-o", "report.html")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "What people said of a random sample" in page and f"{float(quality[4]):.0f}" in page
    print(
        f"{len(plan.truth)} messages: {quality[0]}; {corrected} corrected; {right:.0%} of all are right after the"
        f" finetune; {time.monotonic() - began:.0f} s"
    )
    assert corrected and right > 0.6


def serve_one(plan: Plan, folder: Path, text: str) -> dict[str, object]:
    process = subprocess.Popen(
        [sys.executable, "-m", "selfguide_lite", "serve", "-d", "tone.db", "--port", "0"], cwd=folder,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "SELFGUIDE_MODEL": str(plan.model)},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if line.startswith("Listening on"))
        connection = http.client.HTTPConnection("127.0.0.1", int(line.rsplit(":", 1)[1]), timeout=120)
        connection.request("POST", "/predict", json.dumps({"input": text}), {"Content-Type": "application/json"})
        told: dict[str, object] = json.loads(connection.getresponse().read())
        connection.close()
        return told
    finally:
        process.terminate()
        process.wait(60)


def test_the_way_of_a_new_user_in_small(tmp_path: Path) -> None:
    task = resource("tests/tiny_tasks/cheer-or-grumble.yaml")
    rows = load_eval(task.with_suffix(".eval.jsonl"))
    truth = {row.input: row.references[0] for row in rows[:50]}
    for place, given in enumerate(truth):  # the tiny model makes no mistakes in its own world: let the person differ
        if place % 8 == 3:
            truth[given] = {"cheer": "grumble", "grumble": "cheer"}[truth[given]]
    examples = [(row.input, row.references[0]) for row in rows[-4:]]
    instruction = "'Judge what is said of the thing: cheer or grumble.'"
    tiny = resource("data/tiny_vicuna/tiny-vicuna.gguf")
    plan = Plan(tiny, instruction, ("cheer", "grumble"), examples, truth, 20, 4, apart=False)
    walk(plan, tmp_path)


@pytest.mark.model
@pytest.mark.proof
@pytest.mark.timeout(3000)
def test_the_way_of_a_new_user_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SELFGUIDE_CACHE")
    try:
        model = default_model()
    except SelfguideError:
        pytest.skip("needs the default model")
    truth = dict(messages())
    assert len(truth) == 200
    with resource("data/tasks/message-tone.inputs.csv").open(encoding="utf-8", newline="") as file:
        assert [row["message"] for row in csv.DictReader(file)] == list(truth)
    examples = [
        ("Stop ringing me at work.", "angry"),
        ("No rush with the drill, bring it back whenever you like.", "friendly"),
        ("This is the third time you have lost my parcel, and your answer is to send me a form.", "angry"),
        ("Thanks so much, see you soon!", "friendly"),
    ]
    instruction = "Say whether this message is friendly or angry."
    walk(Plan(model, instruction, ("friendly", "angry"), examples, truth, 30, 6), tmp_path)


@pytest.mark.model
@pytest.mark.proof
@pytest.mark.timeout(3000)
def test_sms_spam_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real messages: 200 of the task's 300 rows without their labels; the other 100 are its evaluation rows.

    The person who reviews knows the labels of the 200.
    """
    monkeypatch.delenv("SELFGUIDE_CACHE")
    given = shared("tasks") / "sms-spam.yaml"
    try:
        model = default_model()
    except SelfguideError:
        pytest.skip("needs the default model")
    task = load_task(given)
    assert task.eval is not None
    shutil.copy(task.eval, tmp_path / "all.jsonl")
    selfguide_split = [sys.executable, "-m", "selfguide_lite", "split", "all.jsonl", "--eval", "100", "--seed", "0"]
    subprocess.run(selfguide_split, cwd=tmp_path, check=True)
    held_out = tmp_path / "all.eval.jsonl"
    truth = {row.input: row.references[0] for row in load_eval(tmp_path / "all.train.jsonl")}
    assert len(load_eval(held_out)) == 100 and not {row.input for row in load_eval(held_out)} & set(truth)
    examples = [(one.input, one.output) for one in task.examples]
    walk(Plan(model, task.instruction, task.labels, examples, truth, 30, 6, held_out), tmp_path)
