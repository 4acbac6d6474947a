"""What is learnt: the prompt that inference renders, then the answer and the end token, which alone count."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from datasets_for_tests import TASK
from llamas import random_llama

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.core.resources import resource
from selfguide_lite.core.settings import Settings
from selfguide_lite.finetune.memory import Shape, check_memory, training_memory
from selfguide_lite.finetune.options import USUAL_EPOCHS, USUAL_STEPS, TrainOptions, peak_rate, rate_for
from selfguide_lite.finetune.rows import make_rows, padded
from selfguide_lite.finetune.trainers import trainer_named
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.native import Model
from selfguide_lite.prompts import Prompts
from selfguide_lite.store import Pair

PAIRS = [Pair(1, "a sky", "blue"), Pair(2, "two words", "dark green"), Pair(3, "odd </s> one", "</s> 🎉 red")]


@pytest.fixture(scope="module", params=["tiny", "spm", "bpe"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    if request.param == "tiny":
        path = resource("data/tiny_vicuna/tiny-vicuna.gguf")
    else:
        path = random_llama(tmp_path_factory.mktemp("llama"), vocabulary=request.param)
    model = Model(path, vocab_only=True)
    yield model
    model.close()


def ask(text: str) -> tuple[Message, ...]:
    return Prompts().answer(TASK, text)


def test_prompt_is_the_one_of_inference_and_the_rest_is_the_answer(model: Model) -> None:
    rows = make_rows(PAIRS, ask, ChatFormat.of(model), 2048)
    engine = open_engine(model.path, EngineOptions(tune=False))
    for pair, row in zip(PAIRS, rows.rows, strict=True):
        asked = engine.prompt_tokens(Prompts().annotate(TASK, pair.input))  # type: ignore[attr-defined]
        assert list(row.ids[: row.answer_start]) == asked
        assert row.labels[: row.answer_start] == [-100] * row.answer_start
        answer = row.labels[row.answer_start :]
        assert answer == list(row.ids[row.answer_start :])
        assert answer[-1] in model.vocabulary.end_tokens
        assert not model.vocabulary.control_ids & set(answer[:-1])
        said = b"".join(map(model.vocabulary.piece, answer[:-1])).decode()
        assert said.strip() == pair.output
    engine.close()


def test_long_rows_are_left_out_and_counted_never_cut(model: Model) -> None:
    chat = ChatFormat.of(model)
    whole = make_rows(PAIRS, ask, chat, 2048)
    lengths = [len(row.ids) for row in whole.rows]
    rows = make_rows(PAIRS, ask, chat, min(lengths))
    assert rows.left_out == sum(length > min(lengths) for length in lengths)
    assert rows.longest == max(lengths)
    assert set(rows.rows) < set(whole.rows)
    assert rows.sha256 != whole.sha256


def test_batches_are_filled_up_on_the_right(model: Model) -> None:
    rows = make_rows(PAIRS, ask, ChatFormat.of(model), 2048).rows
    batch = padded(rows, 7)
    width = max(len(row.ids) for row in rows)
    for number, row in enumerate(rows):
        n = len(row.ids)
        assert batch["input_ids"][number] == [*row.ids] + [7] * (width - n)
        assert batch["labels"][number] == row.labels + [-100] * (width - n)
        assert batch["attention_mask"][number] == [1] * n + [0] * (width - n)


SEVEN_B = Shape(6_738_415_616, 32, 4096, 11008, 4096, 4096, 32_000, tied=False)


def test_a_7b_model_in_4_bits_fits_a_12_gb_card() -> None:
    options = TrainOptions(batch_size=1, max_seq_length=2048)
    need = training_memory(options, SEVEN_B, 2048, bits=4, gradient_checkpointing=True, cuda=True)
    assert 5e9 < need.total < 12e9
    # rank 16 on seven projections of 32 layers: 40.0 million weights with gradient and two moments
    assert need.lora == 39_976_960 * 16


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        (TrainOptions(batch_size=10_000), "--batch-size"),
        (TrainOptions(batch_size=1, max_seq_length=10**9), "--max-seq-length"),
    ],
)
def test_too_little_memory_is_said_with_the_way_out(options: TrainOptions, advice: str) -> None:
    with pytest.raises(SelfguideError, match=f"GiB too little; .*{advice}"):
        check_memory(options, SEVEN_B, options.max_seq_length, bits=4, gradient_checkpointing=True, cuda=False)


def test_too_large_a_model_is_said() -> None:
    huge = Shape(10**13, 100, 10**5, 10**5, 10**5, 10**5, 32_000, tied=True)
    with pytest.raises(SelfguideError, match="take a smaller model"):
        check_memory(TrainOptions(batch_size=1), huge, 10, bits=16, gradient_checkpointing=True, cuda=False)


def test_learning_rate_follows_the_size() -> None:
    assert rate_for(7 * 10**9) == rate_for(10**9) == 2e-4
    assert rate_for(160 * 10**6) == 2e-4
    assert rate_for(30 * 10**6) > 5e-4
    assert 2e-3 < rate_for(4 * 10**6) < rate_for(10**5) == 5e-3
    assert TrainOptions.from_settings(Settings(learning_rate=1e-5)).learning_rate == 1e-5


def test_a_longer_training_goes_as_far_as_the_usual_one() -> None:
    usual, size = TrainOptions.from_settings(Settings()), 135 * 10**6
    assert (usual.epochs, usual.min_steps) == (USUAL_EPOCHS, USUAL_STEPS)
    for rows in (1, 24, 166, 400, 4000):  # the default's own rate, whatever bounds its steps
        assert peak_rate(size, rows, usual) == rate_for(size)
    assert peak_rate(size, 400, replace(usual, epochs=1)) == rate_for(size)
    long = replace(usual, epochs=8, max_steps=1000)
    assert peak_rate(size, 400, long) == rate_for(size) / 4
    assert peak_rate(size, 80, long) == rate_for(size) / 2  # 40 steps are usual there, and 80 are four passes more
    assert peak_rate(size, 80, replace(usual, min_steps=100)) == rate_for(size) * 0.4
    assert peak_rate(size, 80, replace(long, learning_rate=3e-4)) == 3e-4


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "unsloth" else found(name))
    with pytest.raises(SelfguideError, match=r"unsloth.*selfguide setup"):
        trainer_named("unsloth").check()


def test_nothing_of_torch_is_imported_early() -> None:
    import subprocess
    import sys

    code = "import sys, selfguide_lite.finetune, selfguide_lite.gguf.to_hf; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "False"
