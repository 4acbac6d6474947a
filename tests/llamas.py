"""Random llamas, their logits by llama.cpp and by transformers, and random LoRAs: what the GGUF tests share."""

import ctypes
import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from selfguide_lite.gguf.architectures import architecture_of
from selfguide_lite.gguf.geometry import geometry
from selfguide_lite.gguf.random_model import Geometry, Quantization, RandomWeights, VocabularyKind, write_random_llama
from selfguide_lite.gguf.reader import GgufFile

SHAPES = {
    "grouped-query": Geometry(64, 2, 4, 2, 128),
    "multi-head": Geometry(64, 2, 4, 4, 128),
    "grouped-query tied": Geometry(64, 2, 4, 1, 96, tied=True),
    "multi-head tied": Geometry(64, 2, 2, 2, 96, tied=True),
}


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _silent(level: int, text: bytes, _: object) -> None:
    """Say nothing."""


def random_llama(
    folder: Path, shape: str = "grouped-query", quantization: Quantization = "f32", vocabulary: VocabularyKind = "bpe"
) -> Path:
    """Write a random llama, or find it where another test wrote it."""
    path = folder / f"{shape}-{quantization}-{vocabulary}.gguf".replace(" ", "-")
    if not path.exists():
        write_random_llama(
            path, SHAPES[shape], RandomWeights(quantization=quantization, sharpness=4), vocabulary=vocabulary
        )
    return path


def random_lora(
    folder: Path, base: Path, rank: int = 4, alpha: float = 12, strength: float = 0.3, **config: Any
) -> Path:
    """Write a PEFT folder with random matrices of all projections, without PEFT: its format is plain."""
    with GgufFile(base) as gguf:
        shape = geometry(gguf)
        rows = architecture_of(gguf).lora_modules(shape)
    random = np.random.default_rng(0)
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    for layer in range(shape.layers):
        for name, (out, into) in rows.items():
            key = f"base_model.model.model.layers.{layer}.{name}.lora_"
            tensors[f"{key}A.weight"] = (random.standard_normal((rank, into)) * into**-0.5).astype(np.float32)
            tensors[f"{key}B.weight"] = (random.standard_normal((out, rank)) * strength).astype(np.float32)
    header: dict[str, Any] = {}
    data = b""
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [len(data), len(data) + values.nbytes]}
        data += values.tobytes()
    raw = json.dumps(header).encode()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    modules = [name.split(".")[1] for name in rows]
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": modules, "bias": "none"}
    settings |= {"task_type": "CAUSAL_LM", "inference_mode": True, "base_model_name_or_path": None} | config
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def llama_cpp_logits(model: Path, ids: Sequence[int], adapter: Path | None = None) -> npt.NDArray[np.float32]:
    """Logits after every token, computed by llama.cpp with a KV cache in 32 bits."""
    llama_cpp.llama_log_set(_silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    loaded = llama_cpp.llama_model_load_from_file(os.fsencode(model), llama_cpp.llama_model_default_params())
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = 1024
    params.type_k = params.type_v = 0  # F32
    params.flash_attn_type = 0
    params.n_threads = params.n_threads_batch = 1
    context = llama_cpp.llama_init_from_model(loaded, params)
    lora = None
    if adapter is not None:
        lora = llama_cpp.llama_adapter_lora_init(loaded, os.fsencode(adapter))
        assert lora, "llama.cpp refuses the adapter"
        handles = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(lora)
        assert llama_cpp.llama_set_adapters_lora(context, handles, 1, (ctypes.c_float * 1)(1.0)) == 0
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for place, token in enumerate(ids):
        batch.token[place], batch.pos[place], batch.n_seq_id[place] = token, place, 1
        batch.seq_id[place][0], batch.logits[place] = 0, 1
    assert llama_cpp.llama_decode(context, batch) == 0
    size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(loaded))
    logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits(context), shape=(len(ids), size)).copy()
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(loaded)
    return logits


def transformers_logits(folder: Path, ids: Sequence[int], lora: Path | None = None) -> npt.NDArray[np.float32]:
    """Logits after every token, computed by transformers, and PEFT where there is a LoRA, in 32 bits."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model, loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    wrong = {what: names for what, names in loaded.items() if names}
    assert not wrong, f"transformers only warns of these, and draws at random what is missing: {wrong}"
    if lora is not None:
        model = PeftModel.from_pretrained(model, str(lora))
    model.eval()
    with torch.no_grad():
        logits: npt.NDArray[np.float32] = model(torch.tensor([list(ids)])).logits[0].numpy()
    return logits


def worst(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    """The largest difference between two sets of logits, as a share of their standard deviation."""
    return float(np.abs(ours - theirs).max() / theirs.std())
