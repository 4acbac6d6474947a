"""What Datasette shows of a run's database: a description for every table and view, and ready-made queries."""

import importlib.util
import json
import os
import secrets
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.listening import listening
from selfguide_lite.store.filter_views import user_filters, view_files
from selfguide_lite.store.store import Store

USUAL_PORT = 8001
# The page of `dataset` takes some five seconds of the processor where there are 100,000 inputs, and a run may be busy.
_SQL_SECONDS = 120
TABLES: dict[str, str] = {
    "task": "The task as it was begun: instruction, kind, settings of its file.",
    "kind": "What the kinds of task mean to the views: whether there are labels, answers found in texts, a balance,"
    " objects.",
    "example": "The seed examples, in their order.",
    "label": "The labels of a task, where its kind has them.",
    "field": "The fields of a task's schema, where its kind has objects for answers, in their order.",
    "noise_term": "Texts that contain one of these terms are rejected. Rows can be added and deleted.",
    "setting": "The filters' thresholds and switches. Values can be changed; the views follow at once.",
    "model": "The models that made something, with the SHA-256 of their files.",
    "run": "Every stage that was run: settings, seed, prompt template, model, version, time.",
    "input": "Every input that was ever generated, and the inputs and rows of your own.",
    "output": "Every answer that was ever given to an input.",
    "raw_text": "All that a model wrote, where the text of an input or output is without its thinking block.",
    "input_noise": "Which input contains which noise term; kept by triggers.",
    "output_noise": "Which output contains which noise term; kept by triggers.",
    "input_band": "Hashes of the inputs' shingles, by which near duplicates are found.",
    "near_twin": "Pairs of inputs that resemble each other, with their Jaccard similarity.",
    "train_step": "Every optimizer step of every training run.",
    "adapter": "The adapters that were trained.",
    "evaluation": "Every evaluation, with its mean score and 95 % interval.",
    "prior": "The mean share that a model with a prompt gives each label over inputs without answers.",
    "verdict": "What the evaluations said in the end: the finetuned model against the best prompting.",
    "review": "What people said of texts: verdict, edited input and answer, who and when. The newest verdict counts.",
    "task_version": "Every version that the task had, and what changed with it.",
    "output_shelf": "Answers to the prompts of another version of the task; they come back where the task does.",
    "prediction": "Every evaluated example: the answer and its score.",
}
QUERIES: dict[str, dict[str, str]] = {
    "why_dropped": {
        "title": "Why was this dropped?",
        "description": "The inputs that contain a text, each with the filter that rejected it, or none.",
        "sql": "SELECT i.id, v.reason, v.detail, i.text FROM input AS i JOIN input_verdict AS v ON v.id = i.id"
        " WHERE i.text LIKE '%' || :text || '%' ORDER BY i.id",
    },
    "what_the_samples_voted": {
        "title": "What did the samples vote?",
        "description": "The answers to one input with their shares.",
        "sql": "SELECT place, answer, n, round(share, 3) AS share FROM vote WHERE input_id = :input_id ORDER BY place",
    },
    "weak_fields": {
        "title": "Which fields are weak?",
        "description": "For each field of a schema: answers, how many are empty, and how much the samples agree.",
        "sql": "SELECT field, answers, empty, different, round(agreement, 3) AS mean_agreement FROM field_summary"
        " WHERE field IS NOT NULL ORDER BY agreement",
    },
    "weak_labels": {
        "title": "Which labels are weak?",
        "description": "For each label: answers, how sure they are on average, and how many are in the dataset.",
        "sql": "SELECT a.answer AS label, count(*) AS answers, round(avg(a.confidence), 3) AS mean_confidence,"
        " sum(a.confidence < 0.6) AS under_60_percent, count(d.input_id) AS in_dataset"
        " FROM answer AS a LEFT JOIN dataset AS d ON d.input_id = a.input_id"
        " JOIN filter_setting AS s ON s.task_id = a.task_id WHERE s.labelled GROUP BY a.answer"
        " ORDER BY mean_confidence",
    },
    "close_calls": {
        "title": "Which answers were close calls?",
        "description": "The inputs whose answer won with the smallest share, calibrated where calibration is on.",
        "sql": "SELECT a.input_id, round(a.confidence, 3) AS confidence, i.text AS input, a.answer FROM answer AS a"
        " JOIN input AS i ON i.id = a.input_id ORDER BY a.confidence LIMIT 100",
    },
    "asked_and_answered": {
        "title": "Do labels asked for and answered agree?",
        "description": "How many kept inputs were asked for by a label and answered with another.",
        "sql": "SELECT asked, answer, count(*) AS n, sum(reason IS NULL) AS pairs FROM answer_verdict"
        " WHERE asked IS NOT NULL GROUP BY asked, answer ORDER BY asked, answer",
    },
    "rejected_outputs": {
        "title": "Which answers were rejected, and why?",
        "description": "The rejected answers with reason and detail.",
        "sql": "SELECT o.input_id, v.reason, v.detail, o.text FROM output_verdict AS v JOIN output AS o ON o.id = v.id"
        " WHERE v.reason IS NOT NULL ORDER BY o.input_id, o.sample LIMIT 1000",
    },
    "where_from": {
        "title": "Where does each pair come from?",
        "description": "The pairs with the prompt template's hash, seed, model and time of their texts.",
        "sql": "SELECT d.input_id, d.input, d.output, p.input_template_sha256, p.input_seed, p.input_model_sha256,"
        " p.output_template_sha256, p.output_seed, p.output_model_sha256, p.output_program_version,"
        " p.output_created_at FROM dataset AS d JOIN provenance AS p ON p.input_id = d.input_id",
    },
}


def metadata(connection: sqlite3.Connection, name: str) -> dict[str, Any]:
    """Return Datasette's metadata for a run's database.

    :param name: Datasette's name of the database: the file's name without its ending
    """
    described = {**TABLES, **{view: description(sql) for view, sql in view_files().items()}}
    for filter_ in user_filters(connection, view_files()):
        described[filter_.view] = f"A filter of your own: rejects the {filter_.stage}s that it lists."
    return {
        "title": "selfguide-lite",
        "description": "Every text of a run, and the views that make the dataset of them.",
        "databases": {
            name: {
                "tables": {table: {"description": text} for table, text in described.items()},
                "queries": QUERIES,
            }
        },
    }


def description(sql: str) -> str:
    """Return the comment on top of a view as one paragraph."""
    lines = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        if not line.startswith("-- rank: "):
            lines.append(line.removeprefix("--").strip())
    return " ".join(lines)


def serve(path: Path, port: int | None, open_browser: bool, ready: Callable[[str], None]) -> int:
    """Serve a run's database with Datasette on 127.0.0.1 until interrupted, and return its exit status.

    :param port: 0 takes a free one; None: the usual one, or a free one where another program has that
    :param ready: told the address, with its token
    :raises SelfguideError: where Datasette is missing, the file is no database of ours, or the port that was named is
        taken
    """
    if importlib.util.find_spec("datasette") is None:
        raise SelfguideError(
            "browse needs the package datasette; install it with `pip install 'selfguide-lite[browse]'`"
        )
    with Store.open(path, create=False) as store:
        described = metadata(store.connection, path.stem)
    port = _free_port(port)
    token = secrets.token_urlsafe(24)
    url = f"http://127.0.0.1:{port}/?token={token}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "metadata.json"
        file.write_text(json.dumps(described), encoding="utf-8")
        command = [sys.executable, "-m", "datasette", "serve", str(path), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--metadata", str(file), "--setting", "sql_time_limit_ms", str(_SQL_SECONDS * 1000)]
        command += ["--plugins-dir", str(Path(__file__).parent / "datasette_plugins")]
        command += ["--template-dir", str(Path(__file__).parent / "datasette_templates")]
        ready(url)
        if open_browser:
            threading.Thread(target=_open_when_there, args=(url, port), daemon=True).start()
        try:
            return subprocess.run(command, check=False, env={**os.environ, "SELFGUIDE_BROWSE_TOKEN": token}).returncode
        except KeyboardInterrupt:
            return 0


def _free_port(given: int | None) -> int:
    """Return a port that nothing listens on: the one that was named, or one of our choice."""
    try:
        with listening("127.0.0.1", USUAL_PORT if given is None else given) as found:
            return int(found.getsockname()[1])
    except SelfguideError as error:
        if given is not None:
            raise SelfguideError(f"{error}; name another with --port, or leave it out") from error
        return _free_port(0)


def _open_when_there(url: str, port: int) -> None:
    """Open a browser once something listens."""
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            webbrowser.open(url)
            return
