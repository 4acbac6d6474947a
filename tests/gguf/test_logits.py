"""llama.cpp and transformers compute the same with a model and its Hugging Face folder, a LoRA and its GGUF adapter."""

from pathlib import Path

import pytest
from llamas import SHAPES, llama_cpp_logits, random_llama, random_lora, transformers_logits, worst
from needs import needs

from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.gguf.merge import merge
from selfguide_lite.gguf.random_model import Quantization
from selfguide_lite.gguf.to_hf import hf_folder
from selfguide_lite.llm import EngineOptions, Message, Request, open_engine

needs("peft")

pytestmark = pytest.mark.slow

IDS = [0, 30, 41, 77, 12, 200, 5, 90, 33, 33, 61, 150, 8, 260, 19, 44]
TIGHT = 2e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llamas")


@pytest.mark.parametrize("shape", SHAPES)
def test_exact_in_32_bits(folder: Path, shape: str) -> None:
    base = random_llama(folder, shape)
    lora = random_lora(folder / f"lora-{shape}", base)
    adapter = write_adapter(lora, base, folder / f"{shape}.adapter.gguf")
    hf = hf_folder(base)
    plain, tuned = transformers_logits(hf, IDS), transformers_logits(hf, IDS, lora)
    assert worst(llama_cpp_logits(base, IDS), plain) < TIGHT
    assert worst(llama_cpp_logits(base, IDS, adapter), tuned) < TIGHT
    assert worst(plain, tuned) > 0.1  # the adapter does something
    merged = merge(base, adapter, folder / f"{shape}.merged.gguf", "f32")
    assert worst(llama_cpp_logits(merged, IDS), tuned) < TIGHT


@pytest.mark.parametrize("quantization", ["q8_0", "q4_0", "f16"])
def test_quantized_within_the_bases_own_error(folder: Path, quantization: Quantization) -> None:
    base = random_llama(folder, "grouped-query", quantization)
    lora = random_lora(folder / f"lora-{quantization}", base, strength=0.05)
    adapter = write_adapter(lora, base, folder / f"{quantization}.adapter.gguf")
    hf = hf_folder(base)
    bound = worst(llama_cpp_logits(base, IDS), transformers_logits(hf, IDS))
    assert bound < 0.2
    assert worst(llama_cpp_logits(base, IDS, adapter), transformers_logits(hf, IDS, lora)) < 2 * bound + TIGHT


def test_merged_and_adapter_say_the_same(folder: Path) -> None:
    base = random_llama(folder)
    adapter = write_adapter(random_lora(folder / "lora-say", base), base, folder / "say.adapter.gguf")
    merged = merge(base, adapter, folder / "say.merged.gguf", "f32")
    requests = [Request(str(n), (Message("user", f"say {n}"),), max_tokens=12) for n in range(6)]
    said = []
    for model, extra in ((base, adapter), (merged, None), (base, None)):
        engine = open_engine(model, EngineOptions(tune=False, n_ctx=512), adapter=extra)
        said.append({done.key: done.text for done in engine.complete(requests)})
        engine.close()
    assert said[0] == said[1]
    assert said[0] != said[2]
