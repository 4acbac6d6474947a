"""A model with LongRoPE answers short texts with its short factors, as it was trained, however many run at once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from llamas import transformers_logits
from needs import needs
from random_architectures import ROWS, Shape, write_model

from selfguide_lite.gguf.to_hf import hf_folder
from selfguide_lite.llm.base import ScoreRequest
from selfguide_lite.llm.llama import LlamaEngine


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
    with LlamaEngine(model, n_ctx=512) as engine:
        ((score,),) = [scores.logprobs for scores in engine.score([ScoreRequest("k", text, (candidate,))])]
        prompt = engine.chat.prompt(text)
        ids = [*prompt, *engine.chat.answer(text, candidate)]
    logits = transformers_logits(hf_folder(model), ids)
    shares = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = sum(float(shares[place - 1, ids[place]]) for place in range(len(prompt), len(ids)))
    assert score == pytest.approx(expected, abs=0.05)
