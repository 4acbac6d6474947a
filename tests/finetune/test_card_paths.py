"""What training does on an NVIDIA card, walked with stand-ins where there is none: arguments, places, numbers."""

import ast
import dataclasses
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from needs import needs

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.finetune.trainers import unsloth as trainer

needs("unsloth")
needs("torch")

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ON_CARD = all(find_spec(name) for name in trainer.NEEDED_ON_CARD)


def unsloth_file(name: str) -> Path:
    """A file of Unsloth, which is not imported: its files for cards need a card."""
    found = find_spec("unsloth")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / name


def calls(name: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(Path(trainer.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
            yield node


def passed(name: str) -> set[str]:
    """The keywords that our training gives to a function, in all its calls."""
    found = {keyword.arg for call in calls(name) for keyword in call.keywords if keyword.arg}
    assert found
    return found


def taken(file: Path, within: str, function: str) -> set[str]:
    """The parameters that a method names in its source, beside those it passes on unseen."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and node.name == within:
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name == function:
                    return {one.arg for one in (*inner.args.args, *inner.args.kwonlyargs)}
    raise AssertionError(f"{within}.{function} is no more in {file.name}")


def test_unsloth_s_functions_for_cards_have_our_arguments() -> None:
    on_transformers = {"local_files_only", "use_safetensors"}  # passed on to it
    loads = taken(unsloth_file("models/loader.py"), "FastLanguageModel", "from_pretrained")
    assert passed("from_pretrained") - on_transformers <= loads and "device_map" in loads
    assert passed("get_peft_model") <= taken(unsloth_file("models/llama.py"), "FastLlamaModel", "get_peft_model")


def test_trl_has_our_arguments() -> None:
    """The trainer's are read from its file: Unsloth, where it was imported before, has put another in its place."""
    from trl import SFTConfig

    assert passed("SFTConfig") <= {field.name for field in dataclasses.fields(SFTConfig)}
    constructed = next(call for call in calls("Trainer") if call.keywords)
    spec = importlib.util.find_spec("trl.trainer.sft_trainer")
    assert spec is not None and spec.origin is not None
    assert {one.arg for one in constructed.keywords} <= taken(Path(spec.origin), "SFTTrainer", "__init__")


def test_nothing_is_recorded_as_a_cuda_graph_in_training() -> None:
    """Rows differ in length, and each length would be a graph of its own."""
    path = unsloth_file("models/_block_compile.py")
    spec = importlib.util.spec_from_file_location("block_compile", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module._COMPILE_OPTIONS["triton.cudagraphs"] is False
    for name in ("models/_utils.py", "models/rl.py"):
        found = re.findall(r'"triton.cudagraphs" ?: (\w+)', unsloth_file(name).read_text(encoding="utf-8"))
        assert found and set(found) == {"False"}
    assert "UNSLOTH_COMPILE_IGNORE_ERRORS" in unsloth_file("models/_utils.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(("major", "name"), [(7, "float16"), (8, "bfloat16"), (9, "bfloat16"), (12, "bfloat16")])
def test_a_card_without_bfloat16_computes_in_float16(major: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from selfguide_lite.finetune.card import card_dtype

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(major=major))
    # torch's own answer without more counts a bfloat16 that it emulates
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    assert torch.cuda.is_bf16_supported() and card_dtype() == getattr(torch, name)


def test_a_lack_of_memory_is_told_from_other_errors() -> None:
    import torch

    from selfguide_lite.finetune.card import memory_watched
    from selfguide_lite.finetune.memory import OutOfMemory

    for error in (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: out of memory"),
    ):
        with pytest.raises(OutOfMemory, match="--batch-size"), memory_watched():
            raise error
    with pytest.raises(RuntimeError, match="illegal"), memory_watched():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.skipif(ON_CARD, reason="what a card needs is installed")
def test_what_a_card_needs_is_asked_for() -> None:
    with pytest.raises(SelfguideError, match=r"bitsandbytes.*selfguide setup"):
        trainer.check_installed(trainer.NEEDED_ON_CARD)


_RANK = """
import json
from card_stand_in import put_in_card
put_in_card(gibibytes=(80, 10))
import torch
from selfguide_lite.finetune.card import least, take_card
from selfguide_lite.finetune.memory import Shape, choose_bits
from selfguide_lite.finetune.options import TrainOptions
card = take_card()
shape = Shape(6_738_415_616, 32, 4096, 11_008, 4096, 4096, 32_000, tied=False)
own = choose_bits(TrainOptions(), shape, 512)
print(json.dumps([card, torch.cuda.current_device(), own, least(own)]))
torch.distributed.destroy_process_group()
"""


def test_two_processes_take_two_cards_and_the_same_bits() -> None:
    """The second card has room for 4 bits alone, so the first takes these too."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    machine = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, HERE))), "WORLD_SIZE": "2"}
    machine |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _RANK], stdout=subprocess.PIPE, text=True,
            env=machine | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip
    told = [json.loads(one.communicate(timeout=120)[0].splitlines()[-1]) for one in started]
    assert told == [[0, 0, 16, 4], [1, 1, 4, 4]]


@pytest.mark.skipif(not ON_CARD, reason="needs bitsandbytes and Triton, which are installed for a card")
@pytest.mark.parametrize(
    ("capability", "bits", "checkpointing", "near"),
    [((7, 5), 16, False, 0.01), ((7, 5), 4, True, 0.1), ((8, 0), 16, True, None)],
)
def test_a_training_on_a_card_has_the_losses_of_one_on_a_processor(
    capability: tuple[int, int], bits: int, checkpointing: bool, near: float | None, tmp_path: Path
) -> None:
    """Unsloth's own path for cards, its Triton kernels in Triton's interpreter.

    The interpreter does not compute bfloat16 right, so there it is only seen that the training comes to its end.
    """

    def run(code: list[str]) -> dict[str, Any]:
        paths = os.pathsep.join((str(ROOT), str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")))
        done = subprocess.run(
            [sys.executable, *code], capture_output=True, text=True, check=False, timeout=280,
            env=os.environ | {"PYTHONPATH": paths, "SELFGUIDE_CACHE": str(tmp_path / "cache")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    major, minor = map(str, capability)
    words = [str(HERE / "walk_card.py"), str(tmp_path / "card"), major, minor, str(bits), str(int(checkpointing))]
    found = run(words)
    assert found["device"] == "stand-in" and len(found["losses"]) == 2
    if near is not None:
        assert found["losses"] == pytest.approx(run([words[0], str(tmp_path / "cpu")])["losses"], rel=near)
