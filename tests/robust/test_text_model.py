"""Hostile texts through the commands that ask a model: a random one, whose answers are noise with broken bytes."""

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from hostile_texts import CONTROL, STORABLE, TEXTS, hostile_task
from llamas import random_lora
from robustness_counts import count

from selfguide_lite.cli import main
from selfguide_lite.core.settings import Settings
from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.gguf.random_model import Geometry, RandomWeights, write_random_llama
from selfguide_lite.llm import Message
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.native import Model
from selfguide_lite.task.eval_rows import EvalRow
from selfguide_lite.task.natural_instructions import eval_jsonl, task_yaml

pytestmark = pytest.mark.slow

# A template of a model from the internet; a text of it that a terminal obeys is no reason to show it.
CHAT = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}USER\x1b[7m: {{ m.content }}\n"
    "{% elif m.role == 'system' %}{{ m.content }}\n{% else %}ASSISTANT: {{ m.content }}{{ eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "noise.gguf"
    shape = Geometry(32, 1, 1, 1, 32, context=32_768)
    return write_random_llama(path, shape, RandomWeights(quantization="f32"), vocabulary="bpe", chat_template=CHAT)


@pytest.fixture(scope="module", params=["generation", "classification"])
def task_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hostile task with a hostile evaluation set, made short for a model that has seen nothing."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = Settings(
        rounds=1, prompts_per_round=3, samples=2, input_max_tokens=24, output_max_tokens=12, prompt_budget=30_000,
        max_pool_inputs=1, noise_filter=False, input_length_filter=False, output_length_filter=False,
        min_vote_share=0.0,
    )  # fmt: skip
    whole = hostile_task(request.param)
    short = "\n".join(text for text in STORABLE.values() if len(text) < 200)
    task = whole.model_copy(update={"settings": settings, "instruction": short, "eval": Path("rows.jsonl")})
    answers = task.labels or tuple(text for text in STORABLE.values() if len(text) < 200)
    asked = [text for text in STORABLE.values() if len(text) < 200]
    rows = [EvalRow(f"{text} ?", (answers[n % len(answers)],)) for n, text in enumerate(asked)]
    (folder / "rows.jsonl").write_text(eval_jsonl(rows), encoding="utf-8")
    (folder / "task.yaml").write_text(task_yaml(task), encoding="utf-8")
    return folder / "task.yaml"


def run(*arguments: object, stdin: bytes | None = None, status: int = 0) -> str:
    """Run a command and return what it says, which no terminal obeys."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == status, result.output
    found = CONTROL.search(result.output)
    assert not found, repr(result.output[max(0, found.start() - 60) : found.end() + 20])
    return result.output


def test_control_tokens_in_any_text_are_text(model: Path) -> None:
    with closing(Model(model, vocab_only=True)) as loaded:
        chat = ChatFormat.of(loaded)
        control = chat.vocabulary.control_ids
        usual = sum(token in control for token in chat.prompt([Message("user", "x")]))
        for text in (*STORABLE.values(), TEXTS["NUL"]):
            ids = chat.prompt([Message("user", text)])
            assert sum(token in control for token in ids) == usual, text[:60]
            count("texts")


def test_a_dry_run_shows_the_prompts_in_plain_letters(task_file: Path, model: Path) -> None:
    shown = run("run", task_file, "-m", model, "--dry-run")
    for name in ("markup", "script", "template", "formula", "control tokens"):
        assert STORABLE[name] in shown, name
    told = json.loads(run("run", task_file, "-m", model, "--dry-run", "--json"))
    assert told["stages"][0]["prompts"]
    count("texts", 2 * len(STORABLE))


def test_evaluate_and_compare_show_errors_in_plain_letters(task_file: Path, model: Path, tmp_path: Path) -> None:
    db = tmp_path / "evaluated.db"
    adapter = tmp_path / "noise-adapter.gguf"
    write_adapter(random_lora(tmp_path / "lora", model, strength=3), model, adapter)
    shown = run("evaluate", task_file, "-m", model, "-d", db, "-a", adapter, "--examples", 50)
    assert "Better by finetuned" in shown
    told = json.loads(run("evaluate", task_file, "-m", model, "-d", db, "-a", adapter, "--json"))
    assert all(one["n"] > 20 for one in told["evaluations"])
    for form in ("--csv", "--json", "--jsonl"):
        run("sql", 'select input, text, "references" from prediction', form, "-d", db)
    compared = run("compare", task_file, "-m", model, "-d", tmp_path / "c.db", "--method", "few-shot")
    assert "few-shot" in compared
    count("texts", 4 * len(STORABLE))


def lines_of(texts: dict[str, str]) -> list[str]:
    return [line for text in texts.values() if len(text) < 200 for line in text.splitlines() if line.strip()]


def test_predict_answers_hostile_lines_in_plain_letters(task_file: Path, model: Path, tmp_path: Path) -> None:
    db = tmp_path / "predicted.db"
    run("generate", task_file, "-m", model, "-d", db, "-q")
    stdin = b"\xff\xfe broken bytes\n" + "\n".join(lines_of(TEXTS)).encode("utf-8", "replace") + b"\n"
    expected = sum(bool(line.strip()) for line in stdin.decode("utf-8", "replace").split("\n"))
    shown = run("predict", "-d", db, "-m", model, "--no-adapter", stdin=stdin)
    assert len(shown.split("\n")) == expected + 1
    told = [
        json.loads(line)
        for line in run("predict", "-d", db, "-m", model, "--no-adapter", "--json", stdin=stdin).splitlines()
    ]
    assert len(told) == expected and told[0]["input"] == "\ufffd\ufffd broken bytes"
    for text in lines_of(STORABLE):
        run("predict", "-d", db, "-m", model, "--no-adapter", "--", text)
    count("texts", 3 * expected)


def on_a_terminal(command: list[str]) -> Iterator[bytes]:
    """Run a command on a terminal of its own and yield what it writes there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    try:
        while True:
            select.select([ours], [], [], 1)
            try:
                data = os.read(ours, 65536)
            except OSError:  # the other end was closed
                break
            if not data:
                break
            yield data
    finally:
        os.close(ours)
        assert process.wait(timeout=60) == 0


def test_the_live_screen_of_a_run_on_a_real_terminal(task_file: Path, model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "selfguide_lite", "generate", str(task_file), "-m", str(model)]
    screen = b"".join(on_a_terminal([*command, "-d", str(tmp_path / "screen.db")])).decode("utf-8", "replace")
    assert "generate" in screen
    # The display itself moves the cursor and colours its own words; a text of a model must add nothing to that.
    rest = re.sub(r"\x1b\[[0-9;?]*[mKAGJHhl]", "", screen).replace("\r", "")
    assert not CONTROL.search(rest), repr(rest[-2000:])
    for own in ("\x1b[31m<", "\x1b[7m:", "\x1b[?1049h", "\x1b[2J\x1b[H"):
        assert own not in screen
    shown = b"".join(
        on_a_terminal([sys.executable, "-m", "selfguide_lite", "status", "-d", str(tmp_path / "screen.db")])
    )
    assert not CONTROL.search(shown.decode().replace("\r\n", "\n"))
    count("texts", 2)
