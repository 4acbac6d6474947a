"""Does the llama.cpp that is installed compute on this processor: tried once for a build, in a process of its own.

A build for another processor ends with a signal at the first decode, which no exception handler sees. The child decodes
with small models of random weights, in several types of weights, since each has its own kernels.
"""

import hashlib
import importlib.util
import json
import platform
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from selfguide_lite.core.cache import read_json, write_json
from selfguide_lite.core.errors import LLAMA_MISSING, SelfguideError
from selfguide_lite.core.hashing import file_sha256
from selfguide_lite.core.resources import child_environment

_MODULE = "selfguide_lite.llm.build_check"  # not __name__: this module is also run as a program
_CACHE = "builds.json"
_SECONDS = 180
_SHOWN = 160
_CRASHES = (signal.SIGILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE)
_BATCH = 64  # tokens at once: kernels for several rows are others than those for one


@dataclass(frozen=True, slots=True)
class Build:
    """What the trial of a build showed.

    :param problem: why it cannot be used here, empty where it can
    :param gpu: whether it can compute on a GPU
    """

    problem: str = ""
    gpu: bool = False


def installed_build() -> Build | None:
    """Return what the trial of the installed build shows, from the cache where it was tried before on this processor.

    :return: None where llama.cpp is not installed
    """
    spec = importlib.util.find_spec("llama_cpp")
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        return None
    key = _key(Path(folders[0]))
    kept = read_json(_CACHE)
    known = kept.get(key)
    if isinstance(known, dict) and isinstance(known.get("problem"), str):
        return Build(known["problem"], bool(known.get("gpu")))
    build, lasting = _tried()
    if lasting:
        write_json(_CACHE, kept | {key: asdict(build)})
    return build


def require_build() -> None:
    """Refuse where the installed llama.cpp cannot be used.

    :raises SelfguideError: where it is missing or crashes, with the command that mends it
    """
    build = installed_build()
    if build is None:
        raise SelfguideError(LLAMA_MISSING)
    if build.problem:
        raise SelfguideError(f"{build.problem}: run `selfguide setup`, which builds it for this machine")


def _key(package: Path) -> str:
    """Return a hash of a build's libraries and of the processor."""
    digest = hashlib.sha256()
    for library in sorted((package / "lib").glob("*.so*")):
        if not library.is_symlink():
            digest.update(f"{library.name} {file_sha256(library)}\n".encode())
    return f"{digest.hexdigest()} {processor()}"


def processor() -> str:
    """Return a short hash of what kind of processor this is and which instructions it has."""
    told = platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    # the first processor's: all have the same
    for field in ("model name", "flags", "Features"):
        told += next((line for line in lines if line.startswith(field)), "")
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _tried() -> tuple[Build, bool]:
    """Try the build; return what was found, and whether it would be found again."""
    command = [sys.executable, "-P", "-m", _MODULE]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False, env=child_environment()
        )
    except subprocess.TimeoutExpired:  # a busy machine is no proof that the build is bad
        return Build(), False
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    gpu = bool(told and told[0].get("gpu"))
    if done.returncode == 0:
        return Build(gpu=gpu), True
    if -done.returncode in _CRASHES:
        how = signal.Signals(-done.returncode).name
        return Build(f"this build of llama.cpp crashes on this machine ({how})", gpu), True
    if done.returncode < 0 or told:  # memory or disk was too small: the work itself will say it
        return Build(gpu=gpu), False
    why = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "")
    return Build(f"llama.cpp cannot be loaded ({why[:_SHOWN]})"), False


def _try() -> None:
    """Load llama.cpp, tell what it is, decode."""
    import llama_cpp

    print(json.dumps({"gpu": bool(llama_cpp.llama_supports_gpu_offload())}), flush=True)
    from selfguide_lite.gguf.quantize import quantize
    from selfguide_lite.gguf.random_model import Geometry, RandomWeights, write_random_llama

    shape = Geometry(width=256, layers=1, heads=4, kv_heads=4, feed_forward=256, context=2 * _BATCH)
    with tempfile.TemporaryDirectory(prefix="selfguide-build-") as folder:
        full = write_random_llama(Path(folder, "f16.gguf"), shape, RandomWeights("f16"), vocabulary="bpe")
        for kind in ("f16", "q8_0", "q4_0", "q4_k_m"):
            path = Path(folder, f"{kind}.gguf")
            if path != full:
                quantize(full, path, kind)
            _decode(path)


def _decode(path: Path) -> None:
    """Compute a batch of tokens, then one."""
    from selfguide_lite.llm.context_options import ContextOptions
    from selfguide_lite.llm.native import Context, Model

    model = Model(path)
    context = Context(model, ContextOptions(cells=2 * _BATCH, batch=_BATCH, sequences=1, threads=1))
    for start, count in ((0, _BATCH), (_BATCH, 1)):
        context.token[:count] = range(3, 3 + count)
        context.pos[:count] = range(start, start + count)
        context.output[:count] = 1
        context.decode(count)
    context.synchronize()
    context.close()
    model.close()


if __name__ == "__main__":
    if "--require" in sys.argv[1:]:
        try:
            require_build()
        except SelfguideError as problem:
            sys.exit(f"ERROR: {problem}")
    else:
        _try()
