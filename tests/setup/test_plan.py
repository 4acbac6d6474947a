"""What a set-up would do on several machines, decided without being on them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from data.constraints import dry_run
from selfguide_lite.llm.build_check import Build
from selfguide_lite.setup import toolkit
from selfguide_lite.setup.lock import Pin, of_sets, read, unmet
from selfguide_lite.setup.machine import Installed, Machine, driver_cuda
from selfguide_lite.setup.plan import Places, Plan, Step, Wanted, build_flags, make_plan

PLACES = Places(Path("/cache/setup"), Path("/cache/setup/tools-3.11"), "/usr/local/cuda/bin")
LAPTOP = Machine("/env/bin/python", "abc", compiler="c++ 12", knows_amx=True, pip=True, ensurepip=True, cores=4)
CARD = replace(LAPTOP, card=True, driver=(13, 1), nvcc="nvcc 13.0")
EMPTY = Installed(versions={"click": "8.5.1"})
VERSIONS = {pin.name: pin.version for pin in read()}
WHOLE = Installed(Build(), VERSIONS, model=True, tools=True)


def plan_for(machine: Machine, installed: Installed = EMPTY, **wanted: object) -> Plan:
    return make_plan(machine, installed, Wanted(**wanted), PLACES)  # type: ignore[arg-type]


def steps_of(plan: Plan) -> dict[str, Step]:
    assert not plan.refusal, plan.refusal
    return {step.name: step for step in plan.steps}


def shown(step: Step) -> list[str]:
    return [str(command) for command in (*step.commands, *step.either)]


def test_an_empty_environment_on_a_processor() -> None:
    steps = steps_of(plan_for(LAPTOP))
    assert list(steps) == ["tools", "llama", "training", "torch", "starts", "model"]
    build, needs, install, check = shown(steps["llama"])
    assert "-mno-amx-int8" in build and "GGML_CUDA" not in build and "CMAKE_BUILD_PARALLEL_LEVEL=4" in build
    assert "--no-build-isolation" in build and "--require-hashes" in build and "--no-cache-dir" in build
    assert "llama-needs" in needs and "--no-index" in install and "build_check --require" in check
    packages = {pin.name for pins in steps["training"].files.values() for pin in pins}
    assert {"unsloth", "trl", "transformers", "pandas"} <= packages
    assert not packages & {"torch", "triton", "xformers", "bitsandbytes"} and not any("nvidia" in p for p in packages)
    first, last = shown(steps["torch"])
    assert f"torch=={VERSIONS['torch']}+cpu" in first and "--no-deps" in first
    assert last.endswith(f"torch=={VERSIONS['torch']}")
    assert all("--require-hashes" in command for command in shown(steps["training"]))


def test_without_amx_to_turn_off() -> None:
    """An ARM processor's compiler, or an old one."""
    assert "amx" not in build_flags(replace(LAPTOP, knows_amx=False), Wanted())


@pytest.mark.parametrize("driver", [(13, 1), (12, 8), None], ids=str)
def test_an_nvidia_card(driver: tuple[int, int] | None) -> None:
    steps = steps_of(plan_for(replace(CARD, driver=driver, uv="/bin/uv")))
    assert "-DGGML_CUDA=on" in shown(steps["llama"])[0] and "/usr/local/cuda/bin" in shown(steps["llama"])[0]
    packages = {pin.name for pins in steps["training"].files.values() for pin in pins}
    assert "bitsandbytes" in packages
    ways = shown(steps["torch"])
    if driver == (12, 8):
        assert "xformers" not in packages and not any("nvidia" in name for name in packages)
        assert [way.rsplit("+", 1)[1] for way in ways[:-1]] == ["cu128", "cu126"]
        assert "--torch-backend auto" in ways[-1] and all("--no-deps" not in way for way in ways)
    else:
        assert "nvidia-cudnn-cu13" in packages and {"triton", "torchvision"} <= packages
        assert len(ways) == 1 and "+" not in ways[0].rsplit("/", 1)[1] and "--no-deps" in ways[0]


def test_a_card_with_an_old_driver_and_no_way_to_a_fitting_torch_is_refused() -> None:
    old = replace(CARD, driver=(12, 4))
    refusal = plan_for(old).refusal
    assert "12.4" in refusal and "13.0" in refusal and "--device cpu" in refusal
    assert plan_for(old, torch_index="file:///builds").steps and plan_for(old, train=False).steps


def test_a_card_without_the_toolkit() -> None:
    plan = plan_for(replace(CARD, nvcc=""))
    assert "GGML_CUDA" not in shown(steps_of(plan)["llama"])[0] and "no nvcc" in plan.notes[0]
    assert "--cuda-packages" in plan.notes[0]


def test_nvidias_compiler_from_its_packages() -> None:
    bare = replace(CARD, nvcc="")
    plan = plan_for(bare, cuda_packages=True)
    steps = steps_of(plan)
    assert list(steps)[:3] == ["tools", "toolkit", "llama"] and not plan.notes
    (pins,) = steps["toolkit"].files.values()
    of_one_release = {
        pin.version.rsplit(".", 1)[0] for pin in pins if pin.name.startswith(("nvidia-cuda-", "nvidia-nvvm"))
    }
    # nvcc asks for no version of the first two, and pip alone takes those of a later release
    assert of_one_release == {"13.0"} and {"nvidia-cuda-crt", "nvidia-nvvm", "nvidia-cublas"} <= {
        pin.name for pin in pins
    }
    build = shown(steps["llama"])[0]
    place = "/cache/setup/cuda-toolkit/nvidia/cu13"
    assert "-DGGML_CUDA=on -DGGML_CUDA_NO_VMM=on" in build and f"{place}/bin:" in build
    assert f"LDFLAGS=-Wl,-rpath,{place}/lib " in build
    # the machine's own toolkit comes first, and without a card none is fetched
    assert "toolkit" not in steps_of(plan_for(CARD, cuda_packages=True)) | steps_of(
        plan_for(LAPTOP, cuda_packages=True)
    )
    assert "12.8" in plan_for(replace(bare, driver=(12, 8), uv="/bin/uv"), cuda_packages=True).refusal
    assert "no nvcc" in plan_for(replace(bare, driver=(12, 8), uv="/bin/uv")).notes[0]
    built = replace(WHOLE, build=Build(gpu=True))
    assert plan_for(bare, built) == Plan() and "toolkit" in steps_of(plan_for(bare, WHOLE, cuda_packages=True))
    again = replace(built, build=None, wheels=frozenset({build.split("/cache/setup/llama-cpp/")[1].split()[0]}))
    assert list(steps_of(plan_for(bare, again, cuda_packages=True))) == ["llama"]


def test_a_toolkit_of_packages_is_made_whole(tmp_path: Path) -> None:
    lib = toolkit.root(tmp_path) / "lib"
    lib.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="libcudart"):
        toolkit.complete(tmp_path)
    for name in ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13"):
        (lib / name).write_bytes(name.encode())
    for _ in range(2):
        toolkit.complete(tmp_path)
    assert (lib.parent / "lib64" / "libcublas.so").read_bytes() == b"libcublas.so.13"


def test_no_pip_in_the_environment() -> None:
    by_python = shown(steps_of(plan_for(replace(LAPTOP, pip=False)))["tools"])
    assert "--without-pip" in by_python[0] and "-m ensurepip" in by_python[1] and "--require-hashes" in by_python[2]
    only_uv = replace(LAPTOP, pip=False, ensurepip=False, uv="/bin/uv")
    steps = steps_of(plan_for(only_uv))
    assert shown(steps["tools"])[1].startswith("/bin/uv pip install --python /cache/setup/tools-3.11/bin/python ")
    assert "--torch-backend cpu" in shown(steps["torch"])[1]
    assert "needs pip" in plan_for(replace(only_uv, uv="")).refusal
    # whatever brought pip, it installs into the user's environment
    assert all("--python /env/bin/python" in command for command in shown(steps["training"]))


def test_what_is_there_is_not_done_again() -> None:
    assert plan_for(LAPTOP, WHOLE) == Plan()
    assert list(steps_of(plan_for(LAPTOP, replace(WHOLE, model=False)))) == ["model"]
    assert list(steps_of(plan_for(LAPTOP, replace(EMPTY, tools=True, model=True), train=False))) == ["llama"]
    stale = replace(WHOLE, versions={**VERSIONS, "trl": "1.0.0"})
    step = steps_of(plan_for(LAPTOP, stale))["training"]
    assert [pin.name for pins in step.files.values() for pin in pins] == ["trl"] and "trl" in step.what
    cpu = replace(WHOLE, build=Build(gpu=True), versions={**VERSIONS, "torch": f"{VERSIONS['torch']}+cpu"})
    assert plan_for(LAPTOP, cpu) == Plan() and "--force-reinstall" in shown(steps_of(plan_for(CARD, cpu))["torch"])[0]


def test_a_build_that_does_not_fit_is_replaced() -> None:
    for build, reason in (
        (None, "not installed"),
        (Build("it crashes (SIGILL)"), "SIGILL"),
        (Build(gpu=False), "NVIDIA card"),
    ):
        assert reason in steps_of(plan_for(CARD, replace(WHOLE, build=build)))["llama"].what
    old = replace(WHOLE, versions={**VERSIONS, "llama-cpp-python": "0.3.1"})
    assert "0.3.1" in steps_of(plan_for(LAPTOP, old))["llama"].what
    refusal = plan_for(replace(LAPTOP, compiler=""), replace(WHOLE, build=None)).refusal
    assert "compiler" in refusal and "build-essential" in refusal


def test_a_kept_build_is_installed_unless_it_crashes() -> None:
    bare = replace(WHOLE, build=None)
    words = shown(steps_of(plan_for(LAPTOP, bare))["llama"])
    key = words[0].split("/cache/setup/llama-cpp/")[1].split()[0]
    kept = replace(bare, wheels=frozenset({key}))
    assert "CMAKE_ARGS" not in "".join(shown(steps_of(plan_for(replace(LAPTOP, compiler="c++ 12"), kept))["llama"]))
    for other in (replace(LAPTOP, processor="def"), replace(LAPTOP, compiler="c++ 13"), CARD):
        assert "CMAKE_ARGS" in "".join(shown(steps_of(plan_for(other, kept))["llama"]))
    crashed = replace(kept, build=Build("it crashes"))
    assert "CMAKE_ARGS" in "".join(shown(steps_of(plan_for(LAPTOP, crashed))["llama"]))


def test_what_nvidia_smi_says_of_cuda() -> None:
    assert driver_cuda("| Driver Version: 570.86.10   CUDA Version: 12.8     |") == (12, 8)
    assert driver_cuda("CUDA UMD Version: 13.1") == (13, 1)
    assert driver_cuda("CUDA Version: N/A") is None


def test_the_pins_resolved_for_each_python_and_driver() -> None:
    """As recorded by `python -m data.constraints.dry_run`, which asks the package index."""
    record = json.loads(dry_run.RECORD.read_text(encoding="utf-8"))
    assert record["pins_sha256"] == dry_run.pins_sha256(), "the pins changed: python -m data.constraints.dry_run"
    assert [(row["driver"], row["python"], row["added"]) for row in record["resolved"]] == [
        (driver, python, []) for driver in (12, 13) for python in ("3.11", "3.12", "3.13")
    ]
    pins = of_sets("train", "cuda")
    told = "".join(f"{pin.name}=={pin.version}\n" for pin in pins) + f"torch=={VERSIONS['torch']}\n"
    assert dry_run.added(told, pins) == []
    assert dry_run.added(told.replace(f"trl=={VERSIONS['trl']}", "trl==1.0.0") + "new==1\n", pins) == [
        "new==1", "trl==1.0.0",
    ]  # fmt: skip


def test_constraints_have_hashes_and_all_that_is_asked_for() -> None:
    """All but torch, and every dependency that pyproject.toml names, in the set in which it is installed."""
    assert [pin.name for pin in read() if not pin.hashes] == ["torch"] and len(read()) > 150
    names = {name: {pin.name for pin in of_sets(name)} for name in ("base", "llama", "train", "build", "dev")}
    assert {"click", "numpy", "pyyaml", "gguf"} <= names["base"] and "llama-cpp-python" not in names["base"]
    assert {"llama-cpp-python", "diskcache"} <= names["llama"] and {"pip", "cmake", "ninja"} <= names["build"]
    assert {"unsloth", "unsloth-zoo", "trl", "peft", "sympy"} <= names["train"]
    assert {"pytest", "ruff", "datasette", "hatchling"} <= names["dev"]
    pin = Pin("a", "1", ("base",), "x86_64", ("sha256:0", "sha256:1"))
    assert pin.requirement() == "a==1 ; platform_machine == 'x86_64' \\\n    --hash=sha256:0 \\\n    --hash=sha256:1"
    assert unmet((pin,), {"a": "2"}.get) == (pin,) and not unmet((pin,), {"a": "1"}.get)
