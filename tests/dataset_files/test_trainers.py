"""What other trainers learn from an exported dataset, by their own code: the very tokens that `train` learns."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from datasets_for_tests import TASK, filled
from finetuned_models import TINY
from needs import needs

from selfguide_lite.cli import main
from selfguide_lite.finetune.rows import Row, make_rows
from selfguide_lite.gguf.to_hf import hf_folder
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.native import Model
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import Store

READERS = Path(__file__).with_name("readers.py")
N = 3
# A Python that can import Axolotl: its pins are others than ours, so it is in no environment of this project.
AXOLOTL = os.environ.get("SELFGUIDE_TEST_AXOLOTL", "")

needs("datasets", "needs the extra `train`")


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("trainers") / "colours.db", n=N)


@pytest.fixture(scope="module")
def learnt(db: Path) -> list[Row]:
    """The rows of `train`."""
    model = Model(TINY, vocab_only=True)
    with Store.open(db, read_only=True) as store:
        pairs = store.pairs(1)
    rows = make_rows(pairs, lambda text: Prompts().answer(TASK, text), ChatFormat.of(model), 2048).rows
    model.close()
    return list(rows)


def exported(db: Path, place: Path, *words: str) -> Path:
    done = CliRunner().invoke(main, ["dataset", "-d", str(db), "-o", str(place), *words])
    assert done.exit_code == 0, done.output
    return place


def read_by(trainer: str, *places: Path, python: str = sys.executable) -> list[Any]:
    """Let a trainer's own code read datasets, offline."""
    offline = {"HF_HUB_OFFLINE": "1", "AXOLOTL_DO_NOT_TRACK": "1", "DO_NOT_TRACK": "1"}
    done = subprocess.run(
        [python, READERS, trainer, hf_folder(TINY), *places],
        capture_output=True,
        text=True,
        env=os.environ | offline,
        cwd=places[0].parent,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def whole(rows: list[Row]) -> list[dict[str, list[int]]]:
    return [{"input_ids": list(row.ids), "labels": row.labels} for row in rows]


@pytest.mark.slow
def test_trl_learns_what_train_learns(db: Path, tmp_path: Path, learnt: list[Row]) -> None:
    needs("trl", "needs the extra `train`")
    places = [
        exported(db, tmp_path / f"pc{end}", "--format", "prompt-completion") for end in ("", ".jsonl", ".parquet")
    ]
    *apart, chat = read_by("trl", *places, exported(db, tmp_path / "chat.jsonl", "--format", "chat"))
    assert apart == [whole(learnt)] * len(places)
    # of a chat it learns the prompt too, as docs/outgrowing.md says
    assert [row["input_ids"] for row in chat] == [list(row.ids) for row in learnt]
    assert all(row["labels"] == row["input_ids"] for row in chat)


@pytest.mark.slow
def test_unsloth_studio_takes_every_form_as_it_is(db: Path, tmp_path: Path) -> None:
    needs("studio", "Unsloth's package brings it")
    forms = {
        "chat": "chatml_messages",
        "axolotl": "chatml_messages",
        "alpaca": "alpaca",
        "prompt-completion": "unknown",  # whose columns it maps by their names
    }
    with Store.open(db, read_only=True) as store:
        pairs = store.pairs(1)
    found = read_by("studio", *(exported(db, tmp_path / form, "--format", form) for form in forms))
    for (form, detected), made in zip(forms.items(), found, strict=True):
        assert made["detected_format"] == detected and not made["requires_manual_mapping"]
        assert len(made["rows"]) == len(pairs) == N
        for row, pair in zip(made["rows"], pairs, strict=True):
            if form == "alpaca":
                assert row == {"instruction": TASK.instruction, "input": pair.input, "output": pair.output}
                continue
            prompt = [(message.role, message.content) for message in Prompts().answer(TASK, pair.input)]
            turns = [(turn["role"], turn["content"]) for turn in row[made["chat_column"]]]
            assert turns == [*prompt, ("assistant", pair.output)]


def test_axolotl_is_told_to_learn_the_answer_alone(db: Path, tmp_path: Path) -> None:
    """What its strategy `chat_template` asks of a record, where Axolotl itself is not there to read it."""
    place = exported(db, tmp_path / "for-axolotl.jsonl", "--format", "axolotl")
    for line in place.read_text(encoding="utf-8").splitlines():
        *before, last = json.loads(line)["messages"]
        assert last["role"] == "assistant" and last["training"] is True
        assert len(before) == 2 * len(TASK.examples) + 1 and all(turn["training"] is False for turn in before)
        assert all(set(turn) == {"role", "content", "training"} for turn in before)


@pytest.mark.proof
@pytest.mark.skipif(not AXOLOTL, reason="SELFGUIDE_TEST_AXOLOTL names no Python with Axolotl")
def test_axolotl_learns_what_train_learns(db: Path, tmp_path: Path, learnt: list[Row]) -> None:
    places = [exported(db, tmp_path / f"ax{end}", "--format", "axolotl") for end in ("", ".jsonl", ".parquet")]
    assert read_by("axolotl", *places, python=AXOLOTL) == [whole(learnt)] * len(places)
    # of a chat it learns the examples' answers too
    (chat,) = read_by("axolotl-chat", exported(db, tmp_path / "chat", "--format", "chat"), python=AXOLOTL)
    assert [row["input_ids"] for row in chat] == [list(row.ids) for row in learnt]
    counted = [sum(label != -100 for label in row["labels"]) for row in chat]
    assert all(n > sum(label != -100 for label in row.labels) for n, row in zip(counted, learnt, strict=True))
    (alpaca,) = read_by("axolotl-alpaca", exported(db, tmp_path / "alpaca", "--format", "alpaca"), python=AXOLOTL)
    assert len(alpaca) == N and all(row["labels"][-1] != -100 for row in alpaca)
