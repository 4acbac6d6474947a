"""The whole way out with SmolLM2: every target, moved to another folder, replayed, with a line of the results table.

A finished run of `sst2` is taken from the database that SELFGUIDE_EXPORTS_RUN names, or made first.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from finetuned_models import TINY, add_verdict, finetuned
from needs import needs
from proofs import shared

from selfguide_lite.cli import main
from selfguide_lite.core.paths import files_dir
from selfguide_lite.export.programs import Job, program_texts
from selfguide_lite.export.replay import Replay, Rows, replay_gguf, replay_peft
from selfguide_lite.export.targets import target_named
from selfguide_lite.exporting import ExportOptions, export
from selfguide_lite.exporting.choice import Choice
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.store import Store

pytestmark = [pytest.mark.proof, pytest.mark.timeout(7200)]
EXACT = EngineOptions(tune=False, tuning={"exact": True})
WAYS = {
    "llama.cpp": ("llama.cpp", None),
    "llama.cpp, merged": ("llama.cpp", "q8_0"),
    "ollama": ("ollama", None),
    "ollama, auto": ("ollama", "auto"),
    "hf": ("hf", None),
    "vllm": ("vllm", None),
}


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("unsloth")
    task, place = shared("tasks") / "sst2.yaml", tmp_path_factory.mktemp("run") / "sst2.db"
    if given := os.environ.get("SELFGUIDE_EXPORTS_RUN"):
        shutil.copy(given, place)
        shutil.copytree(files_dir(Path(given)), files_dir(place))
    else:
        assert CliRunner().invoke(main, ["run", str(task), "-d", str(place)]).exit_code == 0
    return place


@pytest.mark.parametrize("way", WAYS)
def test_exports_of_smollm2_are_moved_and_answer_as_before(db: Path, tmp_path: Path, way: str) -> None:
    name, merge = WAYS[way]
    options = ExportOptions(name, merge=merge, adapter="1", out=tmp_path / "out")
    made = export(db, options)
    assert made.replay is not None
    there = Path(shutil.move(tmp_path / "out", tmp_path / "somewhere else"))
    with Store.open(db, read_only=True) as store:
        rows = Choice.of(store, options, None).rows
    few = Rows(rows.inputs[:6], rows.prompts[:6], rows.max_tokens)
    assert list(replayed(db, name, there, few).target) == list(made.replay.target)[:6]
    labels = "-" if made.labels is None else made.labels
    changed = "-" if made.changed is None else f"{made.changed} by {made.merged}"
    equal = f"{made.rows - len(made.replay.differing)} of {made.rows}"
    print(f"| {way} | {made.bytes / 2**20:.0f} | {equal} | {labels} | {changed} |", *made.replay.details(), sep="\n")
    assert len(made.replay.differing) <= (1 if target_named(name).weights == "peft" else 0)


def replayed(db: Path, name: str, folder: Path, rows: Rows) -> Replay:
    """Replay a folder where it lies now, by nothing else than what is in it."""
    target = target_named(name)
    if target.weights == "gguf":
        adapter = folder / "adapter.gguf"
        with open_engine(folder / "model.gguf", EXACT, adapter=adapter if adapter.is_file() else None) as engine:
            return replay_gguf(target, folder, engine, rows)
    with Store.open(db, read_only=True) as store:
        sources = Choice.of(store, ExportOptions(name, adapter="1"), None).sources
    with open_engine(sources.base, EXACT, adapter=sources.adapter) as engine:
        found = replay_peft(folder, engine, rows)
    assert found is not None
    return found


# llama.cpp's library behind another server, with the options and addresses of llama.cpp's own.
SERVER = """#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    --model) model=$2 ;; --lora) lora="--lora_path $2" ;; --port) port=$2 ;; --ctx-size) size=$2 ;;
  esac
  shift 2
done
exec {python} -m llama_cpp.server --model "$model" ${{lora-}} --port "$port" --n_ctx "$size" --n_threads 1
"""


def test_exports_are_answered_by_llama_server_where_it_is_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("starlette_context", "needs llama-cpp-python's server")
    db = finetuned(tmp_path / "warmth.db")
    add_verdict(db, 1)
    assert TINY.is_file()
    program = tmp_path / "bin" / "llama-server"
    program.parent.mkdir()
    program.write_text(SERVER.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    made = export(db, ExportOptions("ollama", merge="f16", out=tmp_path / "out", rows=6))
    assert made.replay is not None and made.replay.through == "through llama-server"
    assert not made.replay.differing, made.replay
    job = Job(tmp_path / "out", ["USER: a sun ASSISTANT:"], 'root ::= "warm" | "cold"', (), 512, 12)
    assert program_texts("llama-server", job)[0] in ("warm", "cold")
