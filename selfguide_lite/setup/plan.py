"""What a set-up does on a machine, decided from what was seen there. Runs nothing and looks at nothing itself."""

import hashlib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from selfguide_lite.models import DEFAULT, KNOWN
from selfguide_lite.setup import toolkit
from selfguide_lite.setup.lock import TORCH, Pin, of_sets, unmet, version_of
from selfguide_lite.setup.machine import NO_AMX, Cuda, Installed, Machine

LLAMA = "llama-cpp-python"
_CUDA_12_BUILDS: tuple[Cuda, ...] = ((12, 9), (12, 8), (12, 6))
_STARTS = (
    "from selfguide_lite.finetune.trainers.unsloth import prepare_environment; prepare_environment(); "
    "import unsloth, trl, peft"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user chose.

    :param train: whether finetuning is set up
    :param torch_index: address of one more package index for torch; empty: none
    :param jobs: compilers that run at once; 0: one a core
    :param cuda_packages: whether a machine with a card and without the CUDA toolkit gets NVIDIA's packages, to build
        llama.cpp for the card
    """

    train: bool = True
    torch_index: str = ""
    jobs: int = 0
    cuda_packages: bool = False


@dataclass(frozen=True, slots=True)
class Places:
    """Where a set-up puts what it makes.

    :param tools: the environment with pip and what builds llama.cpp
    :param nvcc: the folder of nvcc; empty: none
    """

    folder: Path
    tools: Path
    nvcc: str = ""

    @property
    def python(self) -> str:
        """The interpreter of the environment with pip."""
        return str(self.tools / "bin" / "python")

    @property
    def toolkit(self) -> Path:
        """The folder of NVIDIA's packages. It stays: a llama.cpp that was built with them loads its libraries."""
        return self.folder / "cuda-toolkit"

    def wheels(self, key: str) -> Path:
        """Return the folder of a built llama.cpp."""
        return self.folder / "llama-cpp" / key

    def requirements(self, name: str) -> str:
        """Return the path of a step's requirements file."""
        return str(self.folder / f"{name}.txt")


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run, with what its environment has besides."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        given = (f"{name}={shlex.quote(value)}" for name, value in self.environment.items())
        return " ".join((*given, shlex.join(self.words)))


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a set-up.

    :param what: what it does, for people
    :param commands: one after the other
    :param either: further commands, of which the first one that succeeds is enough
    :param files: requirements files that the commands read, by path
    """

    name: str
    what: str
    commands: tuple[Command, ...] = ()
    either: tuple[Command, ...] = ()
    files: Mapping[str, tuple[Pin, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    :param steps: none where everything is there
    :param notes: what the user should know
    :param refusal: why it cannot be done, and what to do; empty where it can
    """

    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str = ""


def make_plan(machine: Machine, installed: Installed, wanted: Wanted, places: Places) -> Plan:
    """Return what a set-up has to do: the llama.cpp build, the packages for finetuning, the default model."""
    steps: list[Step] = []
    notes: list[str] = []
    if wanted.cuda_packages and machine.card and not machine.nvcc and (too_old := _too_old(machine)):
        return Plan(refusal=too_old)
    if reason := _llama_reason(machine, installed, wanted):
        if not machine.compiler and _key(machine, wanted) not in installed.wheels:
            return Plan(refusal="needs a C and C++ compiler to build llama.cpp: install one, such as Debian's package "
                        "build-essential")  # fmt: skip
        if _by_packages(machine, wanted) and not _is_kept(machine, installed, wanted):
            steps.append(_toolkit(machine, places))
        steps.append(_llama(machine, installed, wanted, places, reason))
    if machine.card and not _cuda(machine, wanted) and not (installed.build and installed.build.gpu):
        notes.append(
            "there is an NVIDIA card but no nvcc (the CUDA toolkit): llama.cpp is built for the CPU; after the toolkit "
            "is installed, the same command builds it for the card; --cuda-packages builds it with NVIDIA's compiler "
            "from pip's package index (about 1 GB)"
        )
    if wanted.train:
        if (old := _old_driver(machine, wanted)) and _torch_missing(machine, installed):
            return Plan(refusal=old)
        steps += _training(machine, installed, wanted, places)
    if not installed.model:
        known = KNOWN[DEFAULT]
        pull = (machine.python, "-P", "-m", "selfguide_lite", "models", "pull", DEFAULT)
        steps.append(Step("model", f"getting the default model, {known.title} ({known.size})", (Command(pull),)))
    if steps and not installed.tools:
        tools = _tools(machine, places)
        if tools is None:
            return Plan(refusal="needs pip, which this environment lacks: install pip or uv, or Python's ensurepip "
                        "(Debian's package python3-venv)")  # fmt: skip
        steps.insert(0, tools)
    return Plan(tuple(steps), tuple(notes))


def _pip(machine: Machine, places: Places, *words: str) -> Command:
    """Install into the environment that is set up, by the pip of the other."""
    quiet = ("--disable-pip-version-check", "--no-input")
    return Command((places.python, "-m", "pip", "--python", machine.python, "install", *quiet, *words))


def _locked(places: Places, name: str) -> tuple[str, ...]:
    return ("--no-deps", "--require-hashes", "--requirement", places.requirements(name))


def _tools(machine: Machine, places: Places) -> Step | None:
    """Make the environment with pip and what builds llama.cpp; None where there is no way to get pip."""
    made = Command((machine.python, "-m", "venv", "--clear", "--without-pip", str(places.tools)))
    locked = _locked(places, "build")
    ways: tuple[Command, ...]
    if machine.pip:
        ways = (Command((machine.python, "-m", "pip", "--python", places.python, "install", *locked)),)
    elif machine.uv:
        ways = (Command((machine.uv, "pip", "install", "--python", places.python, *locked)),)
    elif machine.ensurepip:
        ways = (
            Command((places.python, "-m", "ensurepip")),
            Command((places.python, "-m", "pip", "install", *locked)),
        )
    else:
        return None
    source = "its pip" if machine.pip else "uv" if machine.uv else "Python's ensurepip"
    what = f"making an environment with pip and the tools that build llama.cpp, by {source}"
    return Step("tools", what, (made, *ways), files={places.requirements("build"): of_sets("build")})


def _cuda(machine: Machine, wanted: Wanted) -> str:
    """Return the CUDA compiler with which llama.cpp is built, as its version line; empty: it is built for the CPU."""
    if not machine.card:
        return ""
    return machine.nvcc or (f"{toolkit.NVCC} {version_of(toolkit.NVCC)}" if wanted.cuda_packages else "")


def _by_packages(machine: Machine, wanted: Wanted) -> bool:
    """Whether that compiler comes from NVIDIA's packages."""
    return bool(_cuda(machine, wanted)) and not machine.nvcc


def _too_old(machine: Machine) -> str:
    """Return why NVIDIA's packages are of no use for the card's driver; empty where they are, or it is not known."""
    if machine.driver is None or machine.driver >= toolkit.release():
        return ""
    return (
        f"--cuda-packages: NVIDIA's packages make programs for CUDA {_dotted(toolkit.release())} and the driver runs "
        f"{_dotted(machine.driver)} at most: update the driver, or install a CUDA toolkit that fits it"
    )


def _toolkit(machine: Machine, places: Places) -> Step:
    """Install NVIDIA's packages into a folder of their own and make the links that they leave out."""
    folder, locked = str(places.toolkit), _locked(places, "cuda-toolkit")
    return Step(
        "toolkit",
        f"getting NVIDIA's compiler, {toolkit.NVCC} {version_of(toolkit.NVCC)}, with what it needs (about 1 GB)",
        (
            Command((places.python, "-m", "pip", "install", "--target", folder, "--upgrade", *locked)),
            Command((machine.python, "-P", "-m", "selfguide_lite.setup.toolkit", folder)),
        ),
        files={places.requirements("cuda-toolkit"): toolkit.pins()},
    )


def _llama_reason(machine: Machine, installed: Installed, wanted: Wanted) -> str:
    """Return why llama.cpp has to be installed; empty where it has not."""
    build, version = installed.build, installed.versions.get(LLAMA)
    if build is None or version is None:
        return "it is not installed"
    if build.problem:
        return build.problem
    if version != version_of(LLAMA):
        return f"version {version} is installed"
    if _cuda(machine, wanted) and not build.gpu:
        return "the installed build does not use the NVIDIA card"
    return ""


def build_flags(machine: Machine, wanted: Wanted) -> str:
    """Return CMake's options for llama.cpp on a machine, as one line of shell words.

    AMX is off where the compiler knows it, because llama.cpp's AMX code crashes on quantized models. With an NVIDIA
    card and a CUDA compiler it is built for the card too; for which architecture, CMake asks the card.
    """
    flags = ["-DLLAVA_BUILD=OFF"]
    if machine.knows_amx:
        flags += [f"-DCMAKE_C_FLAGS={NO_AMX}", f"-DCMAKE_CXX_FLAGS={NO_AMX}"]
    if _cuda(machine, wanted):
        flags.append("-DGGML_CUDA=on")
    if _by_packages(machine, wanted):
        flags.append(toolkit.WITHOUT_DRIVER)
    return shlex.join(flags)


def _key(machine: Machine, wanted: Wanted) -> str:
    """Return the name of a build: the same where nothing that it depends on is different."""
    flags, compilers = build_flags(machine, wanted), (machine.compiler, _cuda(machine, wanted))
    told = (version_of(LLAMA), flags, machine.processor, machine.tag, *compilers)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _is_kept(machine: Machine, installed: Installed, wanted: Wanted) -> bool:
    """Whether this build was kept. One that crashes may be the one that was: then it is built again."""
    return _key(machine, wanted) in installed.wheels and not (installed.build and installed.build.problem)


def _llama(machine: Machine, installed: Installed, wanted: Wanted, places: Places, reason: str) -> Step:
    """Build llama.cpp, or take what was built before, install it, and try it."""
    wheels, version = places.wheels(_key(machine, wanted)), version_of(LLAMA)
    own = tuple(pin for pin in of_sets("llama") if pin.name == LLAMA)
    missing = unmet((pin for pin in of_sets("llama") if pin.name != LLAMA), installed.versions.get)
    files: dict[str, tuple[Pin, ...]] = {}
    commands: list[Command] = []
    kept = _is_kept(machine, installed, wanted)
    if not kept:
        by_packages = _by_packages(machine, wanted)
        nvcc = str(toolkit.root(places.toolkit) / "bin") if by_packages else places.nvcc
        path = ":".join(filter(None, (str(places.tools / "bin"), nvcc, "$PATH")))
        jobs = str(wanted.jobs or machine.cores)
        environment = {"CMAKE_ARGS": build_flags(machine, wanted), "CMAKE_BUILD_PARALLEL_LEVEL": jobs, "PATH": path}
        if by_packages:
            environment |= toolkit.environment(places.toolkit)
        # pip's own cache may hold a wheel that was built with other options, so it is not asked.
        building = ("--no-build-isolation", "--no-binary", LLAMA, "--no-cache-dir", "--wheel-dir", str(wheels))
        words = (places.python, "-m", "pip", "wheel", *building, *_locked(places, "llama"))
        commands.append(Command(words, environment))
        files[places.requirements("llama")] = own
    if missing:
        commands.append(_pip(machine, places, *_locked(places, "llama-needs")))
        files[places.requirements("llama-needs")] = missing
    there = ("--no-index", "--find-links", str(wheels), "--no-deps", "--force-reinstall", "--no-cache-dir")
    commands.append(_pip(machine, places, *there, f"{LLAMA}=={version}"))
    commands.append(Command((machine.python, "-P", "-m", "selfguide_lite.llm.build_check", "--require")))
    compiling = "compiling llama.cpp (about five minutes on two cores)"
    how = "installing llama.cpp as it was built here before" if kept else compiling
    return Step("llama", f"{how}: {reason}", tuple(commands), files=files)


def _old_driver(machine: Machine, wanted: Wanted) -> str:
    """Return what to do where the card's driver is too old for torch's usual build; empty where there is a way."""
    if not _for_cuda_12(machine) or machine.uv or wanted.torch_index:
        return ""
    assert machine.driver is not None
    return (
        f"the NVIDIA driver runs CUDA {_dotted(machine.driver)} at most and torch's usual build needs "
        f"{_dotted(_torch_cuda())}: update the driver, or install uv, which finds a build for this driver, or name a "
        "package index that has one with --torch-index; --device cpu finetunes on the processor"
    )


def _training(machine: Machine, installed: Installed, wanted: Wanted, places: Places) -> list[Step]:
    """Install the packages for finetuning, then torch, then see whether they start."""
    sets = ["train"]
    if machine.card:
        sets += ["cuda"] if _for_cuda_12(machine) else ["cuda", "cuda13"]
    missing = unmet(of_sets(*sets), installed.versions.get)
    steps: list[Step] = []
    device = "the card" if machine.card else "the processor"
    if missing:
        what = f"installing {len(missing)} packages, Unsloth among them, to finetune on {device}"
        if not any(pin.name == "unsloth" for pin in missing):
            what = f"installing what finetuning on {device} needs: {_listed(missing)}"
        files = {places.requirements("train"): missing}
        steps.append(Step("training", what, (_pip(machine, places, *_locked(places, "train")),), files=files))
    if _torch_missing(machine, installed):
        either = tuple(_torch_ways(machine, wanted, places))
        steps.append(Step("torch", f"installing torch {version_of(TORCH)} for {device}", either=either))
    if steps:
        starts = Command((machine.python, "-P", "-c", _STARTS))
        steps.append(Step("starts", "checking that torch and Unsloth start here", (starts,)))
    return steps


def _torch_missing(machine: Machine, installed: Installed) -> bool:
    public, _, local = installed.versions.get(TORCH, "").partition("+")
    return public != version_of(TORCH) or (machine.card and local == "cpu")


def _torch_ways(machine: Machine, wanted: Wanted, places: Places) -> Iterable[Command]:
    """Yield the ways to the build of torch for this machine, the best first.

    A build is told by the local part of its version, such as 2.13.0+cpu. Which index has which is known to uv alone.
    """
    torch = f"{TORCH}=={version_of(TORCH)}"
    index = ("--extra-index-url", wanted.torch_index) if wanted.torch_index else ()
    again = ("--force-reinstall",) if machine.card else ()
    by_uv = (machine.uv, "pip", "install", "--python", machine.python)
    if not machine.card:
        yield _pip(machine, places, "--no-deps", *index, f"{torch}+cpu")
        if machine.uv:
            yield Command((*by_uv, "--no-deps", "--torch-backend", "cpu", torch))
        yield _pip(machine, places, *index, torch)  # with the CUDA that the usual build needs even here
    elif _for_cuda_12(machine):
        # Such a build needs the CUDA libraries of its own kind, which constraints.txt does not have.
        for build in _CUDA_12_BUILDS:
            if machine.driver is not None and build <= machine.driver:
                yield _pip(machine, places, *again, *index, f"{torch}+cu{build[0]}{build[1]}")
        if machine.uv:
            yield Command((*by_uv, "--reinstall-package", TORCH, "--torch-backend", "auto", torch))
    else:
        yield _pip(machine, places, "--no-deps", *again, *index, torch)


def _torch_cuda() -> Cuda:
    """Return the CUDA that torch's usual build, the one that constraints.txt fits, is built with."""
    major, minor = version_of("cuda-toolkit").split(".")[:2]
    return int(major), int(minor)


def _for_cuda_12(machine: Machine) -> bool:
    """Whether the card's driver is older than torch's usual build."""
    return machine.card and machine.driver is not None and machine.driver < _torch_cuda()


def _dotted(version: Cuda) -> str:
    return ".".join(map(str, version))


def _listed(pins: Iterable[Pin]) -> str:
    return ", ".join(f"{pin.name} {pin.version}" for pin in pins)
