"""Is this machine fit for the job: one check after another, each with what to do where something is wrong.

llama.cpp decodes in a child process, so that a build that crashes on this machine is distinguished from a bad file.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.resources import child_environment
from selfguide_lite.core.text import size
from selfguide_lite.core.version import __version__

Status = Literal["green", "yellow", "red"]
_SETUP = "run `selfguide setup`"
_REBUILD = f"this build of llama.cpp crashes on this machine: {_SETUP}, which builds it for this machine"
_CHILD_SECONDS = 180
_TEST_MODEL = "tiny-vicuna"  # as its file names itself
_ROW_TOKENS = 512  # of a training row, for the estimate of memory
_MINIMUM_SQLITE = (3, 35, 0)  # materialized common table expressions
_EXTRAS = {"plotly": "report", "datasette": "browse", "openai": "server", "pyarrow": "parquet"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    :param status: green is fine, yellow works with a drawback, red does not work
    :param value: what was found
    :param advice: what to do, empty where nothing
    """

    name: str
    status: Status
    value: str
    advice: str = ""


def examine(model: Path | None = None) -> Iterator[Check]:
    """Yield every check as it is made.

    :param model: the GGUF file to decode with; None: `$SELFGUIDE_MODEL`, else the default model
    """
    yield Check("selfguide-lite", "green", __version__)
    yield _python()
    yield _sqlite()
    path: Path | None = None
    try:
        from selfguide_lite.llm import model_path

        path = model_path(model)
    except (SelfguideError, ImportError) as error:
        yield Check("model", "red", str(error), f"{_SETUP}, or name a GGUF file with -m")
    yield from _llama(path)
    yield from _finetunable(path)
    yield from _memory(path)
    yield _disk(path)
    yield _compiler()
    yield from _training()
    yield from _extras()
    yield from _caches()
    yield _terminal()


def _python() -> Check:
    value = f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} processors"
    return Check("Python", "green", value)


def _sqlite() -> Check:
    from selfguide_lite.store.sqlite_features import missing_features

    lacks = missing_features()
    if lacks or sqlite3.sqlite_version_info < _MINIMUM_SQLITE:
        return Check(
            "SQLite",
            "red",
            f"{sqlite3.sqlite_version}" + (f", without {', '.join(lacks)}" if lacks else ""),
            "use a Python with SQLite 3.35 or later",
        )
    return Check("SQLite", "green", sqlite3.sqlite_version)


def _llama(path: Path | None) -> Iterator[Check]:
    version = _version("llama-cpp-python")
    if version is None:
        yield Check("llama.cpp", "red", "llama-cpp-python is not installed", _SETUP)
        return
    told, ended = _child("llama", *([str(path)] if path else []))
    if "system" not in told:
        yield Check("llama.cpp", "red", f"llama-cpp-python {version} cannot be imported ({ended})", _SETUP)
        return
    yield Check("llama.cpp", "green", f"llama-cpp-python {version}")
    amx = "AMX_INT8 = 1" in told["system"]
    yield Check(
        "CPU features",
        "yellow" if amx else "green",
        ", ".join(re.findall(r"(\w+) = 1", told["system"])) or "none beyond the basic ones",
        "this build uses AMX, which crashes in some versions; if the decode below is red, `selfguide setup` helps"
        if amx
        else "",
    )
    yield _cards(bool(told.get("gpu")))
    if path is None:
        return
    if told.get("decoded"):
        fixture = told["name"] == _TEST_MODEL
        yield Check(
            "model",
            "yellow" if fixture else "green",
            f"{path.name}: {told['model']}, {told['decoded']} tokens decoded",
            "it is the model of the tests and knows a made-up language alone; name another with -m" if fixture else "",
        )
        yield Check("engine", "green", told["tuning"])
    elif "error" in told:
        yield Check("model", "red", told["error"], "the file is damaged or no model; get it again")
    elif "model" not in told:
        yield Check("model", "red", f"{path.name}: llama.cpp {ended} while it loaded the file", "get the file again")
    else:
        yield Check("model", "red", f"{path.name}: loaded, but llama.cpp {ended} at the first decode", _REBUILD)


def _cards(offload: bool) -> Check:
    """Tell whether llama.cpp uses the NVIDIA cards that there are, with the driver and the toolkit."""
    from selfguide_lite.core.machine import nvidia

    found = nvidia()
    if found.driver is None:
        if found.present:
            advice = "install NVIDIA's driver, with nvidia-smi; without it everything runs on the processor"
            return Check("GPU", "yellow", "an NVIDIA card without a working driver", advice)
        return Check("GPU", "green", "none: everything runs on the processor")
    toolkit = f"CUDA toolkit {found.toolkit}" if found.toolkit else "no CUDA toolkit"
    value = f"{'; '.join(found.cards)}, driver {found.driver}, {toolkit}"
    if offload:
        return Check("GPU", "green", f"{value}, used")
    advice = _SETUP
    if not found.toolkit:
        advice = f"install the CUDA toolkit (nvcc), then {advice}"
    return Check("GPU", "yellow", f"{value}, but this llama.cpp was built without CUDA", advice)


def _finetunable(path: Path | None) -> Iterator[Check]:
    """Tell whether the model can be finetuned, which is another matter than whether it runs."""
    from selfguide_lite.gguf.trainable import why_not_trainable

    if path is None:
        return
    if (reason := why_not_trainable(path)) is None:
        yield Check("finetuning of the model", "green", f"{path.name} can be finetuned")
    else:
        yield Check(
            "finetuning of the model",
            "yellow",
            reason,
            "data can be made with it (`selfguide run --no-train`); to finetune, take another model",
        )


def _memory(path: Path | None) -> Iterator[Check]:
    """Tell whether the free memory is enough to write data with the model, and to finetune it."""
    from selfguide_lite.core.limits import free_memory

    free = free_memory()
    if path is None:
        yield Check("memory", "green", f"{size(free)} free")
        return
    need = int(path.stat().st_size * 1.2) + 2**28
    value = f"{size(free)} free, {path.name} needs about {size(need)}"
    if need > free:
        yield Check("memory", "red", value, "take a smaller quantization (Q4_K_M, Q4_0) or a smaller model")
        return
    training = _training_need(path)
    if training is None:
        yield Check("memory", "green", value)
    elif training > free:
        yield Check(
            "memory",
            "yellow",
            f"{value}, and about {size(training)} to be finetuned on the processor",
            "close other programs, or lower --set batch_size and --set max_seq_length; or `selfguide run --no-train`",
        )
    else:
        yield Check("memory", "green", f"{value}, and about {size(training)} to be finetuned on the processor")


def _training_need(path: Path) -> int | None:
    """Return the bytes that a training with the default settings needs on a processor, rows of 512 tokens at most."""
    from selfguide_lite.core.settings import Settings
    from selfguide_lite.finetune import TrainOptions
    from selfguide_lite.finetune.memory import training_memory
    from selfguide_lite.finetune.training import shape_of
    from selfguide_lite.gguf.reader import GgufFile

    try:
        with GgufFile(path) as gguf:
            shape = shape_of(gguf)
    except SelfguideError:  # it cannot be finetuned, which another check says
        return None
    options = TrainOptions.from_settings(Settings())
    return training_memory(options, shape, _ROW_TOKENS, bits=16, gradient_checkpointing=False, cuda=False).total


def _disk(path: Path | None) -> Check:
    """Tell whether the disk has room for what a run with the model writes: here, and in the cache folder."""
    from selfguide_lite.core.cache import cache_dir

    here = shutil.disk_usage(".").free
    value = f"{size(here)} free here"
    need = 2**28
    if path is not None:
        need += 3 * path.stat().st_size  # checkpoints and adapter here; in the cache a copy in a faster type, and one
        try:  # to train from
            cached = shutil.disk_usage(cache_dir()).free
            value, here = f"{value}, {size(cached)} in the cache folder", min(here, cached)
        except (SelfguideError, OSError):  # the cache has a check of its own
            pass
        value += f", a run with {path.name} takes up to {size(need)}"
    if here < need:
        advice = "make room, choose another place with -d, or set SELFGUIDE_CACHE to a folder on another disk"
        return Check("disk", "yellow", value, advice)
    return Check("disk", "green", value)


def _compiler() -> Check:
    """Tell whether llama.cpp could be built here, and torch compile what it likes to."""
    from selfguide_lite.core.machine import compiler

    found = compiler()
    if found is None:
        return Check(
            "compiler",
            "yellow",
            "none found (cc, gcc, clang)",
            "only needed to build llama.cpp and to train on a GPU: apt install build-essential, or your system's way",
        )
    return Check("compiler", "green", found)


def _terminal() -> Check:
    """Tell whether colours and signs beyond ASCII can be shown."""
    encoding = (sys.stdout.encoding or "ascii").lower()
    colours = "NO_COLOR" not in os.environ and os.environ.get("TERM", "dumb") != "dumb"
    value = f"{encoding}, {'colours' if colours else 'no colours'}"
    if not encoding.startswith("utf"):
        advice = "texts are shown with ? in place of signs it lacks; set LANG=C.UTF-8 or PYTHONIOENCODING=utf-8"
        return Check("terminal", "yellow", value, advice)
    return Check("terminal", "green", value)


def _training() -> Iterator[Check]:
    missing = [name for name in ("torch", "unsloth", "trl", "peft", "transformers") if _version(name) is None]
    if missing:
        yield Check(
            "finetuning",
            "yellow",
            f"{', '.join(missing)} not installed: data can be made, nothing can be trained",
            _SETUP,
        )
        return
    told, ended = _child("torch")
    if "torch" not in told:
        yield Check("torch", "red", f"torch {_version('torch')} cannot be imported ({ended})", "install it again")
        return
    yield Check("torch", "green", f"{told['torch']}, {told['cuda'] or 'on the processor'}")
    versions = ", ".join(f"{name} {_version(name)}" for name in ("unsloth", "trl", "peft", "transformers"))
    yield Check("finetuning", "green", versions)


def _extras() -> Iterator[Check]:
    for package, extra in _EXTRAS.items():
        version = _version(package)
        if version is None:
            yield Check(package, "yellow", "not installed", f"pip install 'selfguide-lite[{extra}]' to get it")
        else:
            yield Check(package, "green", version)


def _caches() -> Iterator[Check]:
    from selfguide_lite.core.cache import cache_dir, read_json

    try:
        folder = cache_dir()
        held = sum(found.stat().st_size for found in folder.rglob("*") if found.is_file())
        tuned = len(read_json("tuning.json"))
        yield Check(
            "cache",
            "green",
            f"{folder}: {size(held)}, {tuned} measured model{'s' * (tuned != 1)}; may be deleted at any time",
        )
    except (SelfguideError, OSError) as error:
        yield Check("cache", "red", str(error), "set SELFGUIDE_CACHE to a folder that can be written")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _child(*task: str) -> tuple[dict[str, Any], str]:
    """Run one of `_CHILD_TASKS` in a process of its own; return what it told and, in words, how it ended."""
    command = [sys.executable, "-m", "selfguide_lite.doctor", *task]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_CHILD_SECONDS, check=False, env=child_environment()
        )
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else (error.stdout or "")
        code = None
    told: dict[str, Any] = {}
    for line in output.splitlines():
        if line.startswith("{"):
            told.update(json.loads(line))
    if code is None:
        return told, f"did not finish within {_CHILD_SECONDS} seconds"
    if code < 0:
        return told, f"crashed with {signal.Signals(-code).name}"
    return told, "ended" if code == 0 else f"failed with status {code}"


def _tell(facts: Mapping[str, Any]) -> None:
    print(json.dumps(facts), flush=True)


def _try_llama(model: str | None) -> None:
    import llama_cpp

    _tell(
        {
            "system": llama_cpp.llama_print_system_info().decode("utf-8", "replace"),
            "gpu": bool(llama_cpp.llama_supports_gpu_offload()),
        }
    )
    if model is None:
        return
    from selfguide_lite.core.messages import Message
    from selfguide_lite.llm.base import Request
    from selfguide_lite.llm.llama import LlamaEngine
    from selfguide_lite.llm.native import Model
    from selfguide_lite.llm.tuning import choose, kept
    from selfguide_lite.llm.working_copy import found_copy

    try:
        weights = found_copy(Path(model)) or Path(model)
        engine = LlamaEngine(Path(model), n_ctx=256, model=Model(weights))
    except SelfguideError as error:
        _tell({"error": str(error)})
        return
    about = f"{engine.info.architecture}, {engine.info.parameters / 1e6:,.1f}M parameters"
    _tell({"model": about, "name": engine.info.name})
    prompt = (Message("user", "Say hello."),)
    (completion,) = engine.complete([Request(key="doctor", messages=prompt, max_tokens=4)])
    found = kept(weights, engine._model)
    unmeasured = "not measured yet: the first run does that, in seconds"
    _tell({"tuning": f"{choose(found)} (measured)" if found else unmeasured})
    _tell({"decoded": completion.prompt_tokens + completion.completion_tokens})


def _try_torch() -> None:
    import torch

    cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else ""
    _tell({"torch": str(torch.__version__), "cuda": cuda})


if __name__ == "__main__":
    if sys.argv[1] == "llama":
        _try_llama(sys.argv[2] if len(sys.argv) > 2 else None)
    else:
        _try_torch()
