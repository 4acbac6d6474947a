"""Every architecture computes the same in llama.cpp and in transformers, alone, with a LoRA or adapter, and merged."""

from pathlib import Path

import numpy as np
import pytest
from llamas import llama_cpp_logits, random_lora, transformers_logits
from needs import needs
from plugins_for_tests import Plugins
from random_architectures import ROWS, Row, Shape, write_model

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.registry import ARCHITECTURES
from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.gguf.merge import merge
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.to_hf import hf_folder
from selfguide_lite.gguf.trainable import check_trainable

LENGTH = 150  # past the windows of 24 tokens and the original contexts of 64 that the random models have
TIGHT = 1e-3  # most stay below 1e-4; llama.cpp reads Gemma's GELU from a table of 16-bit numbers


def differ(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference as a share of the largest logit; greedy tokens must be equal."""
    assert np.isfinite(ours).all() and np.isfinite(theirs).all()
    worst = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    lead = np.sort(theirs, axis=-1)
    clear = lead[:, -1] - lead[:, -2] > 2 * np.abs(ours - theirs).max()  # a draw may end either way
    assert (ours.argmax(-1) == theirs.argmax(-1))[clear].all() and clear.mean() > 0.9
    return worst


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_parity(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs("peft")
    model = write_model(tmp_path / "model.gguf", name, ROWS[name])
    check_parity(name, model, tmp_path, capsys)


def check_parity(name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Compare the model's logits, and those with a LoRA in its three forms; print the largest difference."""
    ids = np.random.default_rng(1).integers(4, 300, LENGTH).tolist()
    with GgufFile(model) as gguf:
        check_trainable(gguf)
    folder = hf_folder(model)
    lora = random_lora(tmp_path / "lora", model, strength=0.15)
    adapter = write_adapter(lora, model, tmp_path / "adapter.gguf")
    merged = merge(model, adapter, tmp_path / "merged.gguf", "f32")
    plain, tuned = transformers_logits(folder, ids), transformers_logits(folder, ids, lora)
    found = {
        "base": differ(llama_cpp_logits(model, ids), plain),
        "adapter": differ(llama_cpp_logits(model, ids, adapter), tuned),
        "merged": differ(llama_cpp_logits(merged, ids), tuned),
    }
    with capsys.disabled():
        told = ", ".join(f"{form} {value:.1e}" for form, value in found.items())
        print(f"\n{name}: largest logit difference {max(found.values()):.1e} ({told})", end="")
    assert max(found.values()) < TIGHT
    assert np.abs(plain - tuned).max() > 0.1 * np.abs(tuned).max()  # the LoRA does something


GEMMA = """
from selfguide_lite.gguf.architectures.base import Decoder


class Gemma(Decoder):
    name = "gemma"
    models = "Gemma (2B, 7B)"
    hf_class = "GemmaForCausalLM"
    model_type = "gemma"
    norm_offset = 1.0

    def config(self, gguf, shape):
        return super().config(gguf, shape) | {"hidden_act": "gelu_pytorch_tanh"}
"""


@pytest.mark.slow
def test_one_more_from_outside(plugins: Plugins, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An installed package brings an architecture of its own."""
    needs("peft")
    row = Row(Shape(layers=2, head_dim=32, tied=True), keys={"attention.key_length": 32, "attention.value_length": 32})
    model = write_model(tmp_path / "model.gguf", "gemma", row)
    with GgufFile(model) as gguf, pytest.raises(SelfguideError, match="its architecture is `gemma`"):
        check_trainable(gguf)
    plugins.install("own_gemma", GEMMA, {"selfguide_lite.gguf.architectures": {"gemma": "Gemma"}})
    assert ARCHITECTURES.names()[-1] == "gemma"
    check_parity("gemma, from outside", model, tmp_path, capsys)


def test_every_architecture_has_a_row() -> None:
    assert {name.split()[0] for name in ROWS} == set(ARCHITECTURES.names())
