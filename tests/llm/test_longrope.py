"""A model with LongRoPE answers short texts with its short factors, as it was trained, and is finetuned for these."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from llamas import random_lora, transformers_logits
from needs import needs
from random_architectures import ROWS, Shape, write_model

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.resources import resource
from selfguide_lite.finetune import TrainOptions, TrainTarget, train
from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.gguf.to_hf import hf_folder
from selfguide_lite.gguf.trainable import why_not_trainable
from selfguide_lite.llm import EngineOptions, Message
from selfguide_lite.llm.base import ScoreRequest
from selfguide_lite.llm.counter import Counter
from selfguide_lite.llm.llama import LlamaEngine
from selfguide_lite.pipeline import run
from selfguide_lite.run_options import RunOptions
from selfguide_lite.store import Pair, Store
from selfguide_lite.store.train_log import StoreTrainLog
from selfguide_lite.task import load_task


@pytest.mark.slow
def test_short_texts_take_short_factors(tmp_path: Path) -> None:
    needs("transformers")
    row = ROWS["phi3 longrope"]
    row = replace(
        row,
        shape=Shape(heads=3, kv_heads=3, context=4096),
        keys=row.keys | {"rope.scaling.original_context_length": 512},
    )
    model = write_model(tmp_path / "model.gguf", "phi3 longrope", row)
    text, candidate = "the question is good and the answer is " * 4, "no"
    with LlamaEngine(model) as engine:  # takes no more than the original context
        assert engine.n_ctx == Counter(model).n_ctx == 512
        ((score,),) = [scores.logprobs for scores in engine.score([ScoreRequest("k", text, (candidate,))])]
        prompt = engine.chat.prompt(text)
        ids = [*prompt, *engine.chat.answer(text, candidate)]
    logits = transformers_logits(hf_folder(model), ids)
    shares = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = sum(float(shares[place - 1, ids[place]]) for place in range(len(prompt), len(ids)))
    assert score == pytest.approx(expected, abs=0.05)
    # beyond it llama.cpp reads short texts in another way than training does
    adapter = write_adapter(random_lora(tmp_path / "lora", model), model, tmp_path / "adapter.gguf")
    with pytest.raises(SelfguideError, match="give n_ctx=512 or less"):
        LlamaEngine(model, n_ctx=513, adapter=adapter)
    with LlamaEngine(model, n_ctx=513) as engine, pytest.raises(SelfguideError, match="give n_ctx=512 or less"):
        engine.set_adapter(adapter)
    with LlamaEngine(model, n_ctx=512, adapter=adapter) as engine:
        assert engine.info.adapter == str(adapter)
    assert why_not_trainable(model, n_ctx=512) is None
    task = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml"))
    options = RunOptions(model=model, engine=EngineOptions(n_ctx=1024, tune=False))
    with pytest.raises(SelfguideError, match="give n_ctx=512 or less; with --no-train"):
        run(task, tmp_path / "a.db", options)
    assert not (tmp_path / "a.db").exists()
    # and a pair over it is not trained on
    target, long = TrainTarget(model, tmp_path / "out"), "the question is good " * 600
    with Store.open(tmp_path / "b.db") as store:
        told = {"ask": lambda text: (Message("user", text),), "log": StoreTrainLog(store, 1, "")}
        with pytest.raises(SelfguideError, match=r"longer than 512 tokens .* other rotary factors"):
            train([Pair(1, long, "no")], target=target, options=TrainOptions(max_seq_length=4096), **told)
