"""An NVIDIA card for tests: torch believes in one and computes on the processor, and so do Triton and bitsandbytes.

Triton runs its kernels in its interpreter. Tensors say that they lie on `cuda:0`. What bitsandbytes' library does on a
card, to unpack four-bit weights, is done in NumPy. All of it is for processes of their own.
"""

import contextlib
import ctypes
import os
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

# read when Triton, transformers and Unsloth are imported: each kernel in Python, each tensor loaded in this thread
os.environ |= {"TRITON_INTERPRET": "1", "HF_DEACTIVATE_ASYNC_LOAD": "1", "UNSLOTH_COMPILE_DISABLE": "1"}
os.environ["UNSLOTH_BNB_TRITON"] = "0"  # its kernels that unpack weights take the interpreter minutes

_CARD = torch.device("cuda:0")
_DEVICE, _IS_CUDA = torch.Tensor.device.__get__, torch.Tensor.is_cuda.__get__


def put_in_card(capability: tuple[int, int] = (8, 0), gibibytes: Sequence[float] = (80,)) -> None:
    """Make torch find cards of a kind, one for each size of memory, all of them empty."""
    os.geteuid = lambda: 1000  # root would be given a call of ldconfig by Unsloth
    sizes, current = [int(size * 2**30) for size in gibibytes], [0]
    facts = SimpleNamespace(major=capability[0], minor=capability[1], name="stand-in", total_memory=sizes[0])
    facts.multi_processor_count, facts.warp_size, facts.gcnArchName = 108, 32, ""

    def set_device(device: Any) -> None:
        current[0] = device if isinstance(device, int) else torch.device(device).index or 0

    cuda: Any = torch.cuda
    cuda.is_available = cuda.is_initialized = lambda: True
    cuda.device_count, cuda.current_device, cuda.set_device = lambda: len(sizes), lambda: current[0], set_device
    cuda.get_device_capability = lambda device=None: capability
    cuda.get_device_properties = lambda device=None: facts
    cuda.get_device_name = lambda device=None: facts.name
    cuda.mem_get_info = lambda device=None: (sizes[current[0]],) * 2
    cuda.get_arch_list = lambda: ["sm_75", "sm_80", "sm_90"]
    for name in ("max_memory_allocated", "memory_allocated", "max_memory_reserved", "memory_reserved"):
        setattr(cuda, name, lambda device=None: 0)
    for name in ("empty_cache", "synchronize", "reset_peak_memory_stats", "ipc_collect"):
        setattr(cuda, name, lambda *_, **__: None)
    for module in (cuda, cuda.random):
        module.get_rng_state, module.get_rng_state_all = lambda *_: torch.get_rng_state(), list
        module.set_rng_state = module.set_rng_state_all = lambda *_, **__: None
    cuda.Stream = cuda.Event = cuda.current_stream = cuda.default_stream = _Stream
    cuda.stream = cuda.device = _Current
    torch.version.cuda = "13.0"
    torch._C._cuda_getCurrentRawStream = lambda index: 0
    cuda.is_current_stream_capturing = lambda: False
    began = torch.autocast.__init__
    torch.autocast.__init__ = lambda self, device_type, *args, **more: began(self, _place(device_type), *args, **more)


class OnProcessor(TorchFunctionMode):
    """What is asked to lie on a card lies on the processor, and says that it lies on a card."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        """Do one call of torch."""
        kwargs = dict(kwargs or {})
        if func == _DEVICE:
            found = func(*args)
            return _CARD if found.type == "cpu" else found
        if func == _IS_CUDA:
            return args[0].device.type == "cuda"
        if func is torch.device:
            return torch.device("cuda", args[0]) if args and isinstance(args[0], int) else func(*args, **kwargs)
        if getattr(func, "__name__", "") == "cuda":
            return args[0]
        places = [_place(one) for one in args]
        if func is torch.Tensor.to and len(places) > 1 and type(places[1]) is int:
            places[1] = "cpu"
        if "device" in kwargs:
            kwargs["device"] = "cpu" if type(kwargs["device"]) is int else _place(kwargs["device"])
        return func(*places, **kwargs)


def _place(given: Any) -> Any:
    if isinstance(given, torch.device):
        return torch.device("cpu") if given.type == "cuda" else given
    return "cpu" if isinstance(given, str) and given.split(":")[0] == "cuda" else given


class _Stream:
    """A stream or an event, neither of which has anything to wait for."""

    cuda_stream, device = 0, _CARD

    def __init__(self, *_: Any, **__: Any):
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Current(contextlib.nullcontext[None]):
    """A card or a stream that is the current one for a while."""

    def __init__(self, device: Any = 0):
        super().__init__()
        self.idx = device if isinstance(device, int) else 0


def put_in_unpacking() -> None:
    """Give bitsandbytes' library for processors the functions of the one for cards that Unsloth calls."""
    import bitsandbytes

    code = bitsandbytes.functional.get_4bit_type("nf4", device="cpu").numpy()
    lib = bitsandbytes.functional.lib

    def array(pointer: Any, kind: Any, count: int) -> Any:
        return np.frombuffer((ctypes.c_byte * (count * np.dtype(kind).itemsize)).from_address(pointer.value), kind)

    def scales(code: Any, packed: Any, absmax: Any, out: Any, block: Any, count: Any, *_: Any) -> None:
        n, size = count.value, block.value
        table, whole = array(code, np.float32, 256), array(absmax, np.float32, -(-n // size))
        array(out, np.float32, n)[:] = table[array(packed, np.uint8, n)] * whole.repeat(size)[:n]

    def weights(kind: Any) -> Any:
        def unpack(_: Any, packed: Any, absmax: Any, out: Any, block: Any, count: Any, *__: Any) -> None:
            n, size = count.value, block.value
            halves = array(packed, np.uint8, n // 2)
            values = code[np.stack([halves >> 4, halves & 15], 1).ravel()]
            values = (values * array(absmax, np.float32, -(-n // size)).repeat(size)[:n]).astype(np.float32)
            if kind is None:  # bfloat16 is the upper half of a 32-bit number
                array(out, np.uint16, n)[:] = (values.view(np.uint32) + 0x8000) >> 16
            else:
                array(out, kind, n)[:] = values

        return unpack

    found = {"cdequantize_blockwise_fp32": scales}
    for name, kind in (("fp16", np.float16), ("bf16", None), ("fp32", np.float32)):
        found[f"cdequantize_blockwise_{name}_nf4"] = weights(kind)
        found[f"cgemm_4bit_inference_naive_{name}"] = weights(kind)  # bound, and not called in training
    for name, function in found.items():
        function.restype = None  # by this Unsloth tells a real one from one that was not loaded
        setattr(lib, name, function)
