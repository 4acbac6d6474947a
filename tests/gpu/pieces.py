"""The pieces of check.sh: each is tried within its time, and what came of it is written before the next begins."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("OUT", "out/gpu")).absolute()
FILES = ROOT / "out" / "gpu-files"  # what unpack.py joined
RECORDS = ROOT / "data" / "results" / "runs"  # made on a processor
PACKAGES = ("torch", "transformers", "accelerate", "peft", "trl", "unsloth", "unsloth_zoo", "bitsandbytes", "triton")
PACKAGES += ("xformers", "datasets", "llama_cpp_python", "numpy", "sqlite_utils")
_LARGEST = 16 * 2**20
_BUILD = """
import json
from dataclasses import asdict
from selfguide_lite.llm.build_check import installed_build
print(json.dumps(asdict(installed_build())))
"""
_TAIL = 1500


class NotCarriedError(Exception):
    """The kit has not brought what a piece needs."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece.

    :param minutes: at most
    :param card: whether there is nothing to do without a card
    """

    name: str
    title: str
    minutes: float
    card: bool
    work: Callable[[float], dict[str, Any]]


@dataclass(slots=True)
class Result:
    """What came of a piece: `done`, `failed`, `no card`, `not carried` or `no time`."""

    name: str
    title: str
    status: str = "no time"
    seconds: float = 0.0
    found: dict[str, Any] = field(default_factory=dict)


def machine(seconds: float) -> dict[str, Any]:
    """What is on the machine."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "missing"
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    query = "name,compute_cap,memory.total,driver_version"
    return {
        "card": output("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader") or "none",
        "nvcc": output("nvcc", "--version").splitlines()[-1:],
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "packages": versions,
        "kit": sorted(path.name for path in FILES.glob("*")) if FILES.is_dir() else "none",
    }


def llama(seconds: float) -> dict[str, Any]:
    """Load llama.cpp as it is installed, the kit's wheel too; with a card that it does not use, build the sources."""
    find_cuda()
    try:
        found = tried_llama()
    except RuntimeError as error:  # a carried wheel was built for another processor
        found = {"installed": "does not compute", "problem": str(error)[-_TAIL:]}
    if found.get("gpu") or ("gpu" in found and not has_card()):
        return found
    if not has_card():
        raise NotCarriedError(f"llama.cpp, and without a card it is not built here ({found})")
    sources = next(iter(FILES.glob("llama_cpp_python-*.tar.xz")), None)
    if sources is None:
        raise NotCarriedError(f"llama.cpp's sources (what is installed: {found})")
    from data.cuda.wheel import repack
    from selfguide_lite.setup import toolkit
    from selfguide_lite.setup.machine import look
    from selfguide_lite.setup.plan import Wanted, build_flags

    begun = time.monotonic()
    built = OUT.parent / "gpu-wheel"
    links, more = cublas_of_torch(OUT.parent / "gpu-cublas")
    options = " ".join((build_flags(look("cuda"), Wanted()), toolkit.WITHOUT_DRIVER, links))
    flags = more | {"CMAKE_ARGS": options, "CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count())}
    gz = repacked(sources)
    words = ("-m", "pip", "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built), gz)
    python(words, seconds, flags)
    (whole,) = built.glob("*.whl")
    wheel = repack(whole, built / "packed")
    python(("-m", "pip", "install", "--no-index", "--no-deps", "--force-reinstall", str(wheel)), 60, {})
    return tried_llama() | {
        "before": found,
        "build_seconds": round(time.monotonic() - begun),
        "wheel_mb": megabytes(wheel),
        "parts": split(wheel),
    }


def tried_llama() -> dict[str, Any]:
    """Compute with the installed llama.cpp in a process of its own, as set-up does."""
    if importlib.util.find_spec("llama_cpp") is None:
        return {"installed": "missing"}
    words = ("-c", _BUILD)
    found: dict[str, Any] = json.loads(python(words, 180, {}).splitlines()[-1])
    if found["problem"]:
        raise RuntimeError(found["problem"])
    return found | {"installed": importlib.metadata.version("llama_cpp_python")}


def training(seconds: float) -> dict[str, Any]:
    """Train a LoRA on a 7B model of random weights: peak memory and tokens a second, by bits and by a card's memory.

    Beside plain PEFT, and beside what multiplying two matrices reaches on the card.
    """
    found: dict[str, Any] = {"peak_tflops_bf16": float(python(("train_card.py", "peak"), 120, {}))}
    deadline = time.monotonic() + seconds
    every = [(4, 0, ()), (4, 0, ("plain",)), (16, 0, ()), (16, 0, ("plain",)), (4, 12, ()), (4, 16, ()), (4, 24, ())]
    for bits, gigabytes, more in [*every, (16, 24, ())]:
        key = " ".join((f"{bits} bits, {gigabytes or 'all'} GB", *more))
        words = ("train_card.py", "7b", str(bits), str(gigabytes), *more)
        try:
            found[key] = json.loads(python(words, max(deadline - time.monotonic(), 1), {}).splitlines()[-1])
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            found[key] = str(error)[-_TAIL:]
    return found | {"ratios": ratios(found)}


def ratios(found: dict[str, Any]) -> dict[str, Any]:
    """Return our training over plain PEFT, and over the card's measured peak."""
    told: dict[str, Any] = {}
    for bits in (4, 16):
        ours, plain = found.get(f"{bits} bits, all GB"), found.get(f"{bits} bits, all GB plain")
        if not isinstance(ours, dict):
            continue
        told[f"{bits} bits, of the peak"] = round(ours["tflops"] / found["peak_tflops_bf16"], 3)
        if isinstance(plain, dict):
            told[f"{bits} bits, speed over plain"] = round(ours["tokens_per_second"] / plain["tokens_per_second"], 2)
            told[f"{bits} bits, memory over plain"] = round(ours["peak_gb"] / plain["peak_gb"], 2)
            apart = max(abs(a / b - 1) for a, b in zip(ours["losses"], plain["losses"], strict=True))
            told[f"{bits} bits, losses apart"] = round(apart, 4)
    return told


def synthesis(seconds: float) -> dict[str, Any]:
    """Measure the engine on random 1B and 7B models, against the loop and llama.cpp's server; then the KV caches."""
    found: dict[str, Any] = {}
    deadline = time.monotonic() + seconds
    tiny = str(ROOT / "data" / "tiny_vicuna" / "tiny-vicuna.gguf")
    for size in ("1b", "7b"):
        words = ("-m", "selfguide_lite", "bench", "--json", "--random", size, "-m", tiny, "--only", "annotate")
        more = ("--only", "tree", "--only", "score", "--only", "generate") if size == "1b" else ()
        told = python((*words, *more), max(deadline - time.monotonic(), 1), {})
        found[size] = json.loads(told.splitlines()[-1])
    for size in ("7b", "1b"):
        try:
            found[f"{size}, caches"] = caches(size, max(deadline - time.monotonic(), 1))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            found[f"{size}, caches"] = str(error)[-_TAIL:]
    return found


def caches(size: str, seconds: float) -> dict[str, Any]:
    """Measure the types of the KV cache, with sequences until the memory is full."""
    from selfguide_lite.bench.run import random_model

    words = ("-m", "selfguide_lite.bench.contenders", "caches", str(random_model(size)))
    found: dict[str, Any] = json.loads(python(words, seconds, {}).splitlines()[-1])
    return found


def job(seconds: float) -> dict[str, Any]:
    """The whole job on the default model; its gain is to be that of a processor within its interval."""
    carried = next(iter(FILES.glob("*.gguf")), None)
    from selfguide_lite.models import DEFAULT, KNOWN

    model = carried or KNOWN[DEFAULT].path
    if model is None:
        raise NotCarriedError("the default model")
    db = OUT.parent / "gpu-job.db"
    db.unlink(missing_ok=True)
    task = "junk-offers"
    words = ("-m", "selfguide_lite", "run", f"data/tasks/{task}.yaml", "--db", str(db), "-m", str(model), "--json")
    told: dict[str, Any] = json.loads(python(words, seconds, {}).splitlines()[-1])
    return told | {"processor": beside_records(task, told.get("gain"))}


def beside_records(task: str, gain: dict[str, Any] | None, folder: Path = RECORDS) -> dict[str, Any]:
    """Say whether a gain is that of a processor: whether its interval meets those of the recorded runs of the task."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob(f"{task}-*-default.json"))]
    known = [record["gain"] for record in records if record["task"] == task and record.get("gain")]
    if not known:
        return {"status": "no record"}
    if gain is None:
        return {"status": "no gain here", "records": len(known)}
    met = sum(one["low"] <= gain["high"] and gain["low"] <= one["high"] for one in known)
    return {"status": "the same" if met == len(known) else "another", "records": len(known), "met": met}


def tests(seconds: float) -> dict[str, Any]:
    """The tests of this folder; with a card the engine's too."""
    if importlib.util.find_spec("pytest") is None:
        raise NotCarriedError("pytest")
    folders = ["tests/gpu", *(["tests/llm"] if has_card() else [])]
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not proof and not model", *folders)
    return {"told": python(words, seconds, {}).strip().splitlines()[-1]}


PIECES = (
    Piece("a", "what is on the machine", 1, False, machine),
    # 106 minutes of one core: a build takes most of a call, and the next call carries its wheel
    Piece("b", "llama.cpp, built for the card or loaded", 9, False, llama),
    Piece("d", "LoRA on a random 7B in 4 and 16 bits", 8, True, training),
    Piece("c", "synthesis on random 1B and 7B", 7, True, synthesis),
    Piece("e", "the whole job on the default model", 5, True, job),
    Piece("f", "the tests", 9, False, tests),
)


def has_card() -> bool:
    """Whether there is an NVIDIA card whose driver works."""
    return "GPU" in output("nvidia-smi", "-L")


def output(*words: str) -> str:
    """What a program prints; nothing where there is none or it fails."""
    if shutil.which(words[0]) is None:
        return ""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else ""


def python(words: tuple[str, ...], seconds: float, more: dict[str, str]) -> str:
    """Run Python and return what it printed; a script of this folder may be named alone.

    :raises RuntimeError: where it fails, with its last lines
    :raises subprocess.TimeoutExpired: where the time is over
    """
    first, *rest = words
    script = (str(Path(__file__).with_name(first)),) if first.endswith(".py") else (first,)
    done = subprocess.run(
        [sys.executable, *script, *rest], capture_output=True, text=True, cwd=ROOT, timeout=max(seconds, 1),
        check=False, env=os.environ | more,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError((done.stderr.strip() or done.stdout.strip())[-_TAIL:] or f"status {done.returncode}")
    return done.stdout


def find_cuda() -> None:
    """Let what is started from here on find the CUDA libraries that torch brings: a carried wheel has none."""
    folders = [str(place / "nvidia" / "cu13" / "lib") for place in map(Path, sys.path)]
    before = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    found = [folder for folder in folders if Path(folder).is_dir() and folder not in before]
    if found:
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join([*found, *filter(None, before)])


def cublas_of_torch(folder: Path) -> tuple[str, dict[str, str]]:
    """Make the cuBLAS that torch brings fit for a toolkit without one: names without a version, headers, where it lies.

    :return: CMake's option and what the environment needs, empty where torch brings none
    """
    for place in map(Path, sys.path):
        lib = place / "nvidia" / "cu13" / "lib"
        if (lib / "libcublas.so.13").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("libcublas.so", "libcublasLt.so"):
                (folder / name).unlink(missing_ok=True)
                (folder / name).symlink_to(lib / f"{name}.13")
            more = {"CPATH": str(lib.parent / "include"), "LDFLAGS": f"-Wl,-rpath,{lib}"}
            return f"-DCMAKE_LIBRARY_PATH={folder.absolute()}", more
    return "", {}


def repacked(sources: Path) -> str:
    """Unpack the kit's sources and return their folder."""
    import tarfile

    folder = OUT.parent / "gpu-source"
    with tarfile.open(sources) as opened:
        opened.extractall(folder, filter="data")
    (inner,) = folder.iterdir()
    return str(inner)


def split(wheel: Path) -> list[str]:
    """Leave the built wheel in pieces that come back, so that the next kit carries it in place of the sources."""
    data = wheel.read_bytes()
    names = []
    for number, start in enumerate(range(0, len(data), _LARGEST)):
        part = OUT / f"{wheel.name}.{number:03}"
        part.write_bytes(data[start : start + _LARGEST])
        names.append(part.name)
    return names


def megabytes(path: Path) -> float:
    """The size of a file."""
    return round(path.stat().st_size / 1e6, 1)


def do(piece: Piece, seconds: float, card: bool) -> Result:
    """Try a piece, and never raise."""
    result, begun = Result(piece.name, piece.title), time.monotonic()
    if piece.card and not card:
        result.status = "no card"
        return result
    try:
        result.found, result.status = piece.work(min(seconds, piece.minutes * 60)), "done"
    except NotCarriedError as error:
        result.status, result.found = "not carried", {"what": str(error)}
    except subprocess.TimeoutExpired as error:
        result.status, result.found = "no time", {"what": str(error)[-_TAIL:]}
    except Exception as error:
        result.status, result.found = "failed", {"what": f"{type(error).__name__}: {error}"[-_TAIL:]}
    result.seconds = round(time.monotonic() - begun, 1)
    return result


def write(results: list[Result], card: bool) -> None:
    """Write check.json and check.md."""
    told = {"date": time.strftime("%Y-%m-%d"), "card": card, "pieces": [asdict(result) for result in results]}
    (OUT / "check.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    lines = [f"# Check on {'a card' if card else 'a machine without a card'}, {told['date']}", ""]
    lines += ["| piece | what | status | seconds |", "| --- | --- | --- | --- |"]
    lines += [f"| {one.name} | {one.title} | {one.status} | {one.seconds:g} |" for one in results]
    for one in results:
        if one.found:
            lines += ["", f"## {one.name}: {one.title}", "", "```json", json.dumps(one.found, indent=1), "```"]
    (OUT / "check.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Do the pieces that were asked for, in order, while there is time; exit status 1 where one failed."""
    OUT.mkdir(parents=True, exist_ok=True)
    wanted = os.environ.get("PIECES", "").split() or [piece.name for piece in PIECES]
    deadline = time.monotonic() + 60 * float(os.environ.get("MINUTES", "9"))
    card, results = has_card(), []
    for piece in PIECES:
        if piece.name not in wanted:
            continue
        left = deadline - time.monotonic()
        results.append(do(piece, left, card) if left > 5 else Result(piece.name, piece.title))
        write(results, card)
        print(f"check: {piece.name}: {results[-1].title}: {results[-1].status}", flush=True)
    sys.exit(any(result.status == "failed" for result in results))


if __name__ == "__main__":
    main()
