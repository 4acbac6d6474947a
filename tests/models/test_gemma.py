"""Gemma 3 270M: real weights of another family, quantized, without a chat template; the whole job on them.

`make test-gemma` gets the model and runs these tests; the one that takes long is a proof (`make proof PROOF=gemma`).
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from gemma_model import gemma_model
from llamas import llama_cpp_logits, random_lora, transformers_logits
from needs import needs
from texts_to_cut import TEXTS

from data.gemma import SHA256
from selfguide_lite.cli import main
from selfguide_lite.core.resources import resource
from selfguide_lite.gguf.adapter import adapter_base, write_adapter
from selfguide_lite.gguf.merge import merge
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.to_hf import hf_folder
from selfguide_lite.llm import EngineOptions, Message, Request, open_engine
from selfguide_lite.llm.native import Model

GEMMA = gemma_model()
needs("unsloth")
pytestmark = [pytest.mark.gemma, pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parents[2]
TASK = resource("data/tasks/message-tone.yaml")
PLAIN = "chat template: none in the file, as in a base model: a plain one is used"
LENGTH = 560  # past the sliding window of 512


@pytest.fixture(scope="module")
def folder() -> Path:
    return hf_folder(GEMMA)


def test_models_show_says_what_it_is() -> None:
    done = CliRunner().invoke(main, ["models", "show", str(GEMMA)])
    assert done.exit_code == 0, done.output
    told = re.sub(" +", " ", done.stdout)
    for line in ("architecture gemma3, 268.1M parameters", "quantization Q8_0 63%, ", "context 32,768 tokens"):
        assert line in told, told
    assert "finetuning yes" in told
    assert "chat template none in the file, as in a base model: a plain one is used" in told


def test_its_tokenizer_gives_llama_cpps_ids(folder: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.encode_special_tokens = True
    model = Model(GEMMA, vocab_only=True)
    own = (ROOT / "README.md").read_text(encoding="utf-8"), (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    wrong = [
        text[:80]
        for text in (*TEXTS, *own)
        if [token for token in theirs.encode(text).ids if token != model.vocabulary.bos]
        != model.vocabulary.tokenize(text)
    ]
    model.close()
    assert not wrong


def test_its_logits_are_those_of_transformers(folder: Path, tmp_path: Path, record_property: Any) -> None:
    """In 32 bits with a LoRA that was merged; and quantized as it is, where llama.cpp multiplies in 8 bits."""
    model = Model(GEMMA, vocab_only=True)
    ids = [model.vocabulary.bos, *model.vocabulary.tokenize((ROOT / "docs" / "method.md").read_text())][:LENGTH]
    model.close()
    assert len(ids) == LENGTH
    lora = random_lora(tmp_path / "lora", GEMMA, strength=0.02)
    adapter = write_adapter(lora, GEMMA, tmp_path / "adapter.gguf")
    tuned = transformers_logits(folder, ids, lora)
    merged = llama_cpp_logits(merge(GEMMA, adapter, tmp_path / "merged.gguf", "f32"), ids)
    apart, same = np.abs(merged - tuned).max() / np.abs(tuned).max(), (merged.argmax(-1) == tuned.argmax(-1)).mean()
    record_property(
        "told", f"gemma 3 270m, merged: largest logit difference {apart:.1e}, greedy tokens {same:.1%} equal"
    )
    assert apart < 5e-3 and same > 0.99  # llama.cpp reads GELU from a table of 16-bit numbers, in eighteen layers
    plain = transformers_logits(folder, ids)
    assert np.abs(plain - tuned).max() > 0.05 * np.abs(tuned).max()
    del tuned, merged
    quantized = llama_cpp_logits(GEMMA, ids)
    apart, same = np.abs(quantized - plain).mean() / plain.std(), (quantized.argmax(-1) == plain.argmax(-1)).mean()
    record_property("told", f"gemma 3 270m, q4_k_m: mean logit difference {apart:.1e}, greedy tokens {same:.1%} equal")
    assert apart < 0.08 and same > 0.9


def test_a_base_model_is_stopped_where_it_writes_the_users_next_turn() -> None:
    """Its plain template marks turns by words alone, and nothing taught it to end its own."""
    shown = (
        Message("user", "Name a colour."), Message("assistant", "red"),
        Message("user", "Name a colour."), Message("assistant", "green"),
        Message("user", "Name a colour."),
    )  # fmt: skip
    with open_engine(GEMMA, EngineOptions(tune=False, n_ctx=512)) as engine:  # type: ignore[attr-defined]
        chat = list(engine.complete([Request("chat", shown, n=8, max_tokens=40, seed=1)]))
        written = engine.chat.written(shown)
        text = list(engine.complete([Request("text", written, n=8, max_tokens=40, seed=1)]))
    assert not any("User:" in done.text for done in chat) and any("\nUser:" in done.text for done in text)
    assert {done.finish_reason for done in chat} == {"stop"}


def selfguide(folder: Path, *words: object, given: str = "") -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "selfguide_lite", *map(str, words)], cwd=folder, input=given, capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def check_whole(folder: Path, task: Path, *settings: str) -> dict[str, Any]:
    """Run the whole job, look at what it left, answer with it; return what `run --json` printed."""
    db = folder / "gemma.db"
    done = selfguide(folder, "run", task, "-d", db, "-m", GEMMA, "--json", *settings)
    assert PLAIN in done.stderr
    assert f"{GEMMA.name} can be finetuned" in done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    adapter = Path(told["adapter"])
    with GgufFile(adapter) as gguf:
        assert gguf.architecture == "gemma3"
        assert len(gguf.tensors) == 2 * 7 * 18  # two matrices, seven projections, eighteen layers
    assert adapter_base(adapter) == SHA256
    with closing(sqlite3.connect(db)) as connection:
        (ran_on,) = connection.execute("SELECT count(*) FROM input WHERE instr(text, char(10) || 'User:')").fetchone()
        assert ran_on == 0
        losses = [loss for (loss,) in connection.execute("SELECT loss FROM train_step ORDER BY step")]
        assert losses and np.mean(losses[-2:]) < losses[0]
    assert told["pairs"] > 0
    given = "Bring my drill back at once, I am sick of asking.\nYou are an angel, thank you for the cake!\n"
    answers = selfguide(folder, "predict", "-d", db, "-m", GEMMA, "--method", "finetuned", given=given).stdout
    assert [line in ("friendly", "angry") for line in answers.splitlines()] == [True, True], answers
    return told


def test_the_whole_job_in_small(tmp_path: Path) -> None:
    """Generate, annotate, train, adapter, evaluate, predict."""
    task = tmp_path / TASK.name
    task.write_text(TASK.read_text(encoding="utf-8"), encoding="utf-8")
    rows = resource("data/tasks/message-tone.eval.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "message-tone.eval.jsonl").write_text("".join(rows[:20]), encoding="utf-8")
    few = {
        "rounds": 1,
        "prompts_per_round": 24,
        "calibrate_min_inputs": 8,
        "min_steps": 6,
        "max_steps": 6,
        "agreement_filter": "false",
        "balance": "false",
    }
    told = check_whole(tmp_path, task, *(word for key, value in few.items() for word in ("--set", f"{key}={value}")))
    assert told["gain"] is None and told["verdict"].startswith("Not measured: 20 evaluation rows")
    assert {"few-shot", "few-shot scored", "finetuned scored"} <= set(told["methods"])


@pytest.mark.proof
@pytest.mark.timeout(4 * 3600)
def test_gemma_through_the_whole_job(record_property: Any) -> None:
    """With the default settings; the database stays in out/, so a run that was broken off goes on."""
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    told = check_whole(out, TASK)
    assert told["gain"]["n"] == 156 and told["verdict"]
    record_property("told", f"gemma: {json.dumps(told)}")
