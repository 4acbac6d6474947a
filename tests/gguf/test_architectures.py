"""Every architecture computes the same in llama.cpp and in transformers, alone, with a LoRA or adapter, and merged."""

from collections.abc import Callable
from dataclasses import replace
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

Tell = Callable[[str, object], None]
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
def test_parity(name: str, tmp_path: Path, record_property: Tell) -> None:
    needs("peft")
    model = write_model(tmp_path / "model.gguf", name, ROWS[name])
    check_parity(name, model, tmp_path, record_property)


def check_parity(name: str, model: Path, tmp_path: Path, record_property: Tell) -> None:
    """Compare the model's logits, and those with a LoRA in its three forms; the summary has the largest difference."""
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
    told = ", ".join(f"{form} {value:.1e}" for form, value in found.items())
    record_property("told", f"{name}: largest logit difference {max(found.values()):.1e} ({told})")
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
def test_one_more_from_outside(plugins: Plugins, tmp_path: Path, record_property: Tell) -> None:
    """An installed package brings an architecture of its own."""
    needs("peft")
    row = Row(Shape(layers=2, head_dim=32, tied=True), keys={"attention.key_length": 32, "attention.value_length": 32})
    model = write_model(tmp_path / "model.gguf", "gemma", row)
    with GgufFile(model) as gguf, pytest.raises(SelfguideError, match="its architecture is `gemma`"):
        check_trainable(gguf)
    plugins.install("own_gemma", GEMMA, {"selfguide_lite.gguf.architectures": {"gemma": "Gemma"}})
    assert ARCHITECTURES.names()[-1] == "gemma"
    check_parity("gemma, from outside", model, tmp_path, record_property)


def test_every_architecture_has_a_row() -> None:
    assert {name.split()[0] for name in ROWS} == set(ARCHITECTURES.names())


def ones(*dims: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda _: np.ones(dims, np.float32)


_FREQUENCIES = {"rope_freqs.weight": ones(8)}
_STRETCHED = {"rope_freqs.weight": lambda _: np.full(8, 2, np.float32)}
_LINEAR = {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0}
_FACTORS = {"rope_factors_long.weight": ones(8), "rope_factors_short.weight": ones(8)}
_LONGROPE = {"rope.scaling.type": "longrope", "rope.scaling.original_context_length": 64}
# What llama.cpp computes, or might, and the Hugging Face model of these files would not.
UNLIKE: dict[str, tuple[str, dict[str, object], str]] = {
    "q, k and v apart": ("phi3", {"fused": ("up",)}, "blk.0.attn_q.weight .* lacks tensor blk.0.attn_qkv.weight"),
    "gate and up apart": ("phi3", {"fused": ("qkv",)}, "blk.0.ffn_up.weight should be"),
    "q, k and v in one": ("llama", {"fused": ("qkv",)}, "blk.0.attn_qkv.weight .* lacks tensor blk.0.attn_q.weight"),
    "gate and up in one": ("qwen2", {"fused": ("up",)}, "blk.0.ffn_up.weight should be"),
    "some biases": ("llama", {"biases": ("attn_q", "attn_v")}, "lacks tensor blk.0.attn_k.bias"),
    "some biases of the mlp": ("granite", {"biases": ("ffn_up",)}, "lacks tensor blk.0.ffn_gate.bias"),
    "no biases": ("qwen2", {"biases": ()}, "lacks tensor blk.0.attn_q.bias"),
    "one bias more": ("qwen2", {"biases": ("attn_q", "attn_k", "attn_v", "attn_output")}, "blk.0.attn_output.bias"),
    "unheard-of biases": ("mistral3", {"biases": ("attn_q", "attn_k", "attn_v", "attn_output")}, "blk.0.attn_q.bias"),
    "bias of a norm": ("llama", {"top": {"blk.0.attn_norm.bias": ones(48)}}, "blk.0.attn_norm.bias is not part"),
    "bias of the head": ("llama", {"top": {"output.bias": ones(300)}}, "output.bias is not part"),
    "norms of heads": ("llama", {"norms": {"attn_q_norm": 16}}, "blk.0.attn_q_norm.weight .* is not part"),
    "no norms of heads": ("qwen3", {"norms": {}}, "lacks tensor blk.0.attn_q_norm.weight"),
    "router": ("llama", {"top": {"blk.0.ffn_gate_inp.weight": ones(4, 48)}}, "blk.0.ffn_gate_inp.weight is not part"),
    "experts": ("llama", {"keys": {"expert_count": 4}}, "a mixture of 4 experts"),
    "a third of each head turned": ("llama", {"keys": {"rope.dimension_count": 4}}, "only a part of each head"),
    "values shorter than keys": ("llama", {"keys": {"attention.value_length": 8}}, "keys and values differ"),
    "both directions": ("llama", {"keys": {"attention.causal": False}}, "embedding model"),
    "frequencies of another model": ("qwen3", {"top": _FREQUENCIES}, "rope_freqs.weight is not part of a plain qwen3"),
    "frequencies unheard of": ("llama", {"top": _STRETCHED}, "not those of Llama 3"),
    "frequencies under yarn": ("llama yarn", {"top": _FREQUENCIES}, "rope_freqs.weight stretches .*yarn"),
    "frequencies under linear": (
        "llama",
        {"top": _FREQUENCIES, "keys": _LINEAR},
        "rope_freqs.weight stretches .*linear",
    ),
    "longrope and a factor": ("llama", {"top": _FACTORS, "keys": _LINEAR | _LONGROPE}, "'longrope'"),
    "longrope that is not read": ("llama", {"keys": _LONGROPE}, "'longrope'"),
    "a factor alone": ("qwen2", {"keys": {"rope.scaling.attn_factor": 1.2}}, r"multiplied by 1.2 \(rope.scaling.attn"),
    "no window": ("gemma3", {"keys": {"attention.sliding_window": 0}}, "does not say its sliding window"),
    "two rotary bases": ("gemma2", {"keys": {"rope.freq_base_swa": 5e3}}, "a rotary base of their own"),
    "yarn for another": ("mistral3", {"keys": _LINEAR}, "not by YaRN"),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_what_training_would_compute_in_another_way_is_refused_by_name(what: str, tmp_path: Path) -> None:
    name, changed, says = UNLIKE[what]
    row = ROWS[name]
    if "keys" in changed:
        changed = changed | {"keys": row.keys | changed["keys"]}
    model = write_model(tmp_path / "model.gguf", name, replace(row, **changed))
    with GgufFile(model) as gguf, pytest.raises(SelfguideError, match=says) as refused:
        check_trainable(gguf)
    assert "\n" not in str(refused.value) and str(model) in str(refused.value)
