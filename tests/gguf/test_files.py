"""GGUF files in and out: exact where they are whole, one clear line where they are not."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from llamas import random_llama, random_lora

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.gguf.adapter import adapter_base, check_adapter, read_adapter, write_adapter
from selfguide_lite.gguf.geometry import geometry
from selfguide_lite.gguf.merge import merge
from selfguide_lite.gguf.quantize import FILE_TYPES
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.gguf.rope import llama3_factors
from selfguide_lite.gguf.to_hf import MARKER, hf_folder, permute, unpermute
from selfguide_lite.gguf.trainable import check_trainable


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llamas")


@pytest.fixture(scope="module")
def base(folder: Path) -> Path:
    return random_llama(folder)


@pytest.fixture(scope="module")
def adapter(folder: Path, base: Path) -> Path:
    return write_adapter(random_lora(folder / "lora", base), base, folder / "adapter.gguf")


def test_reads_what_the_gguf_package_reads(folder: Path) -> None:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    path = random_llama(folder, quantization="q4_0")
    theirs = GGUFReader(path)
    with GgufFile(path) as ours:
        assert ours.architecture == "llama"
        assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
        for tensor in theirs.tensors:
            expected = dequantize(tensor.data, tensor.tensor_type)
            np.testing.assert_array_equal(ours.tensor(tensor.name), expected)
            np.testing.assert_array_equal(np.concatenate(list(ours.chunks(tensor.name))).ravel(), expected.ravel())


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.5, 0.999])
def test_cut_short(tmp_path: Path, base: Path, share: float) -> None:
    raw = base.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(raw[: max(4, int(len(raw) * share))])
    with pytest.raises(SelfguideError, match="damaged or cut short"):
        GgufFile(path)


def test_any_byte_of_the_header_may_be_wrong(tmp_path: Path, base: Path) -> None:
    raw = bytearray(base.read_bytes())
    random = np.random.default_rng(0)
    path = tmp_path / "damaged.gguf"
    refused = 0
    for place in random.integers(4, 4000, size=150):
        damaged = raw.copy()
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        try:
            with GgufFile(path) as gguf:
                geometry(gguf)
        except SelfguideError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 10


def test_no_gguf(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("GGML? no")
    with pytest.raises(SelfguideError, match="not a GGUF"):
        GgufFile(path)
    with pytest.raises(SelfguideError, match="cannot read"):
        GgufFile(tmp_path / "missing.gguf")


def test_other_architectures_are_named(base: Path) -> None:
    with GgufFile(base) as gguf:
        gguf.metadata["general.architecture"] = "qwen3moe"
        with pytest.raises(SelfguideError, match="qwen3moe"):
            check_trainable(gguf)
    with GgufFile(base) as gguf:
        gguf.metadata["llama.expert_count"] = 8
        with pytest.raises(SelfguideError, match="8 experts"):
            check_trainable(gguf)


def test_rows_of_q_and_k_go_back_and_forth() -> None:
    rows = np.arange(4 * 6 * 3).reshape(24, 3)
    np.testing.assert_array_equal(unpermute(permute(rows, 6), 6), rows)
    assert permute(rows, 6)[:6, 0].tolist() == [0, 9, 3, 12, 6, 15]  # halves of a head become neighbours


def test_folder_is_made_once(base: Path) -> None:
    first = hf_folder(base)
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    assert hf_folder(base) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == stamp
    assert first.name == file_sha256(base)
    (first / MARKER).unlink()  # as after a crash: it is made again
    assert (hf_folder(base) / MARKER).is_file()
    assert not list(first.parent.glob(".making-*"))


def test_shards(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from selfguide_lite.gguf import to_hf

    monkeypatch.setattr(to_hf, "SHARD_BYTES", 60_000)
    with GgufFile(base) as gguf:
        to_hf.write_hf(gguf, tmp_path)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    assert len(set(index.values())) > 2
    torch_file = pytest.importorskip("safetensors.numpy")
    whole = torch_file.load_file(hf_folder(base) / "model.safetensors")
    assert set(whole) == set(index)
    for name in ("model.embed_tokens.weight", "model.layers.1.self_attn.k_proj.weight"):
        np.testing.assert_array_equal(torch_file.load_file(tmp_path / index[name])[name], whole[name])


@pytest.mark.slow
def test_llama3_stretch_is_the_one_of_transformers(base: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    stretch = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, **stretch}
    config = transformers.LlamaConfig(hidden_size=256, num_attention_heads=2, head_dim=128, rope_parameters=rope)
    theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1.0 / 500000.0 ** (np.arange(0, 128, 2) / 128)
    with GgufFile(base) as gguf:
        shape = geometry(gguf)
    ours = llama3_factors(type(shape)(**{**shape_fields(shape), "head_dim": 128, "rope_base": 500000.0}), rope)
    np.testing.assert_allclose(plain / ours, theirs.numpy(), rtol=1e-5)


def shape_fields(shape: object) -> dict[str, object]:
    return {name: getattr(shape, name) for name in shape.__slots__}  # type: ignore[attr-defined]


def test_adapter_is_exact(folder: Path, base: Path, adapter: Path) -> None:
    from selfguide_lite.gguf.adapter import _weights

    lora = read_adapter(adapter)
    assert lora.alpha == 12
    assert lora.base_sha256 == file_sha256(base) == adapter_base(adapter)
    raw = _weights(folder / "lora")
    prefix = "base_model.model.model.layers.1."
    np.testing.assert_array_equal(lora.pairs["blk.1.attn_v.weight"][1], raw[f"{prefix}self_attn.v_proj.lora_B.weight"])
    np.testing.assert_array_equal(lora.pairs["blk.1.attn_q.weight"][0], raw[f"{prefix}self_attn.q_proj.lora_A.weight"])
    rows = lora.pairs["blk.1.attn_q.weight"][1]
    np.testing.assert_array_equal(unpermute(rows, 16), raw[f"{prefix}self_attn.q_proj.lora_B.weight"])
    again = write_adapter(folder / "lora", base, folder / "again.gguf")
    assert file_sha256(again) != ""
    np.testing.assert_array_equal(
        read_adapter(again).pairs["blk.0.ffn_down.weight"][1], lora.pairs["blk.0.ffn_down.weight"][1]
    )


def test_adapter_of_another_base_is_refused(folder: Path, adapter: Path, tmp_path: Path) -> None:
    other = random_llama(folder, quantization="q8_0")
    for use in (lambda: check_adapter(adapter, other), lambda: merge(other, adapter, tmp_path / "m.gguf", "f16")):
        with pytest.raises(SelfguideError, match="made for the model"):
            use()
    trained = random_lora(tmp_path / "lora", other)
    (trained / MARKER).write_text(json.dumps({"gguf_sha256": "0" * 64}))
    with pytest.raises(SelfguideError, match="made for the model 000000000000"):
        write_adapter(trained, other, tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("use_dora", True), ("modules_to_save", ["lm_head"]), ("bias", "all"), ("peft_type", "IA3"), ("r", 8)],
)
def test_what_an_adapter_cannot_hold(base: Path, tmp_path: Path, setting: str, value: object) -> None:
    lora = random_lora(tmp_path / "lora", base)
    path = lora / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {setting: value}))
    with pytest.raises(SelfguideError):
        write_adapter(lora, base, tmp_path / "a.gguf")


def test_a_lora_of_another_shape_is_refused(folder: Path, tmp_path: Path) -> None:
    lora = random_lora(tmp_path / "lora", random_llama(folder, "multi-head"))
    with pytest.raises(SelfguideError, match="does not fit"):
        write_adapter(lora, random_llama(folder, "grouped-query"), tmp_path / "a.gguf")


def test_a_model_is_no_adapter(base: Path) -> None:
    with pytest.raises(SelfguideError, match="no LoRA adapter"):
        read_adapter(base)


def test_merged_weights_are_the_sum(base: Path, adapter: Path, tmp_path: Path) -> None:
    merged = merge(base, adapter, tmp_path / "merged.gguf", "f32", chat_template="{{ messages }}")
    lora = read_adapter(adapter)
    with GgufFile(base) as before, GgufFile(merged) as after:
        assert list(after.tensors) == list(before.tensors)
        assert after.metadata["tokenizer.chat_template"] == "{{ messages }}"
        kept = {key for key in before.metadata if key not in ("general.file_type",)}
        assert all(after.metadata[key] == before.metadata[key] for key in kept)
        for name in before.tensors:
            expected = before.tensor(name) + (lora.delta(name) if name in lora.pairs else 0)
            np.testing.assert_allclose(after.tensor(name), expected, atol=1e-6)


@pytest.mark.parametrize(("kind", "bits"), [("f16", 11), ("q8_0", 8.5), ("q4_0", 4.5), ("Q4_K_M", 4.5)])
def test_merged_and_quantized(folder: Path, adapter: Path, base: Path, tmp_path: Path, kind: str, bits: float) -> None:
    merged = merge(base, adapter, tmp_path / "merged.gguf", kind)
    lora = read_adapter(adapter)
    with GgufFile(base) as before, GgufFile(merged) as after:
        assert after.metadata["general.file_type"] == FILE_TYPES[kind.lower()]
        name = "blk.0.ffn_up.weight"
        exact = before.tensor(name) + lora.delta(name)
        error = np.abs(after.tensor(name) - exact).max() / np.abs(exact).max()
        assert error < 4 * 2**-bits
    assert list(tmp_path.iterdir()) == [merged]


def test_merge_refuses(base: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(SelfguideError, match="q4_k_m"):
        merge(base, adapter, tmp_path / "m.gguf", "q5_1000")
    with pytest.raises(SelfguideError, match="base itself"):
        merge(base, adapter, base, "f16")


def test_a_bfloat16_lora_is_read(base: Path, tmp_path: Path) -> None:
    """PEFT writes what it trained in: 16-bit matrices come out as the same numbers."""
    lora = random_lora(tmp_path / "lora", base)
    path = lora / "adapter_model.safetensors"
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    data = np.frombuffer(raw[8 + length :], dtype="<u4") >> 16
    for entry in header.values():
        entry["dtype"] = "BF16"
        entry["data_offsets"] = [place // 2 for place in entry["data_offsets"]]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data.astype("<u2").tobytes())
    found = read_adapter(write_adapter(lora, base, tmp_path / "a.gguf")).pairs["blk.0.attn_v.weight"][0]
    first, last = (
        2 * place for place in header["base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight"]["data_offsets"]
    )
    whole = np.frombuffer(raw[8 + length + first : 8 + length + last], dtype="<f4").reshape(found.shape)
    np.testing.assert_allclose(found, whole, rtol=2**-7)
