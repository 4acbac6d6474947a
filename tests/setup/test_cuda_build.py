"""What `make cuda-build-check` asks of CMake, and how it reads ninja's log. The build itself takes hours."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from data.cuda.build import Check, compile_times, kernels_in, look_at
from data.cuda.wheel import pack, repack
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.setup import toolkit

LOG = """# ninja log v7
10\t2510\t1764000000\tggml-cuda/scale.cu.o\tabc
2510\t4000\t1764000001\tggml-cuda/mmq.cu.o\tdef
4000\t4100\t1764000002\tbin/libggml-cuda.so\t012
5000\t8000\t1764000003\tggml-cuda/scale.cu.o\tabd
"""


def test_it_is_set_up_s_build_for_a_named_architecture(tmp_path: Path) -> None:
    options = Check(tmp_path, "75-real", "off").configuration()
    assert {"-DGGML_CUDA=on", toolkit.WITHOUT_DRIVER, "-DCMAKE_CUDA_ARCHITECTURES=75-real"} <= set(options)
    assert "-DGGML_CUDA_FA=off" in options
    assert not any("_FA" in option for option in Check(tmp_path, "90", "default").configuration())
    compiler = next(option for option in options if "CUDA_COMPILER" in option)
    assert compiler.endswith(f"={tmp_path}/toolkit/nvidia/cu13/bin/nvcc")


def test_the_time_of_a_file_is_that_of_its_last_compilation() -> None:
    assert compile_times(LOG) == {"ggml-cuda/scale.cu.o": 3.0, "ggml-cuda/mmq.cu.o": 1.49}


def test_kernels_are_read_out_of_symbols() -> None:
    """Three symbols of clamp.cu, compiled by nvcc 13.0.88: two kernels from one template."""
    symbols = """
0000000000000000 b _ZGVZL52__device_stub__Z15op_clamp_kernelIfEvPKT_PS0_S0_S0_iPKfPfffiE5__tmp
0000000000000000 b _ZZL52__device_stub__Z15op_clamp_kernelIfEvPKT_PS0_S0_S0_iPKfPfffiE8__handle
0000000000000018 b _ZGVZL58__device_stub__Z15op_clamp_kernelI6__halfEvPKT_PS1_S1_S1_iPK6__halfPS_RS0_S3_iE5__tmp
0000000000000290 T _Z18ggml_cuda_op_clampR25ggml_backend_cuda_contextP11ggml_tensor
"""
    assert kernels_in(symbols) == (
        "void op_clamp_kernel<__half>(__half const*, __half*, __half, __half, int)",
        "void op_clamp_kernel<float>(float const*, float*, float, float, int)",
    )


def test_a_library_without_kernels_is_told_apart(tmp_path: Path) -> None:
    """A library of this machine that is none of CUDA's."""
    import math

    check = Check(tmp_path, "90", "off")
    (check.build / "bin").mkdir(parents=True)
    (check.build / "bin" / "libggml-cuda.so").symlink_to(Path(math.__file__))
    with pytest.raises(SelfguideError, match="no CUDA kernels"):
        look_at(check)


@pytest.mark.slow
def test_a_packed_wheel_computes_and_holds_each_library_once(tmp_path: Path) -> None:
    """Made of the installed llama.cpp, packed twice, installed into an empty folder."""
    llama_cpp = pytest.importorskip("llama_cpp")
    pytest.importorskip("pip")
    package = Path(llama_cpp.__file__).parent
    wheel = pack(package, package / "lib", "0.0.1", tmp_path / "a")
    again = repack(wheel, tmp_path / "b")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
        names = [Path(name).name for name in one.namelist() if "/lib/" in name]
        assert one.read("llama_cpp/lib/libllama.so") == other.read("llama_cpp/lib/libllama.so")
    assert (
        "libllama.so" in names and "libggml-base.so.0" in names and not [name for name in names if name.count(".") > 2]
    )
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", tmp_path / "c", again]
    subprocess.run(pip, check=True)
    script = "import llama_cpp; from selfguide_lite.llm.build_check import installed_build as b; print(llama_cpp, b())"
    path = os.pathsep.join(map(str, (tmp_path / "c", Path.cwd())))
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path, "SELFGUIDE_CACHE": str(tmp_path / "cache")},
    )
    assert str(tmp_path / "c") in done.stdout and "problem=''" in done.stdout
