"""Files damaged or for something else, and models that write nothing of use: one clear line, and no endless loop."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import robustness_counts
from click.testing import CliRunner
from llamas import random_lora
from robust_runs import Place, begin, check_one_line, check_sound, count, ended, prepare, random_model, rows_of, tuned

from selfguide_lite.cli import main
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.gguf.adapter import write_adapter
from selfguide_lite.gguf.reader import GgufFile
from selfguide_lite.llm import EngineOptions, open_engine

pytestmark = pytest.mark.slow

Damage = Callable[[bytes, GgufFile], bytes]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A task without evaluation rows."""
    return prepare(tmp_path_factory.mktemp("models"), evaluated=0, rounds=2)


# model files


def put(data: bytes, at: int, kind: str, value: int) -> bytes:
    raw = struct.pack(f"<{kind}", value)
    return data[:at] + raw + data[at + len(raw) :]


def end_of_name(data: bytes, name: str) -> int:
    return data.index(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name)


def field(key: str, value: int) -> Damage:
    """Change a 32-bit field of the metadata."""
    return lambda data, gguf: put(data, end_of_name(data, key) + 4, "I", value)


def tensor(name: str, byte: int, kind: str, value: int) -> Damage:
    """Change the description of a tensor: dimensions at 0, rows at 12, type at 20, offset at 24."""
    return lambda data, gguf: put(data, end_of_name(data, name) + byte, kind, value)


def flipped(data: bytes, gguf: GgufFile) -> bytes:
    """Turn every bit of sixteen bytes in the middle of the header's vocabulary."""
    at = sum(gguf.spans["tokenizer.ggml.tokens"]) // 2
    return data[:at] + bytes(255 - byte for byte in data[at : at + 16]) + data[at + 16 :]


def at_count_of_words(data: bytes) -> int:
    return end_of_name(data, "tokenizer.ggml.tokens") + 8


EMBEDDING = "token_embd.weight"
DAMAGES: dict[str, tuple[Damage, str]] = {
    "an empty file": (lambda data, gguf: b"", "not a GGUF"),
    "a wrong magic": (lambda data, gguf: b"GGML" + data[4:], "not a GGUF"),
    "another version": (lambda data, gguf: put(data, 4, "I", 99), "version 99"),
    "cut in the header": (lambda data, gguf: data[:300], "damaged or cut short"),
    "cut in the weights": (lambda data, gguf: data[: len(data) * 2 // 3], "bytes are missing at its end"),
    "a flipped header": (flipped, "damaged or cut short"),
    "too many tensors": (lambda data, gguf: put(data, 8, "Q", 2**60), "damaged or cut short"),
    "no tensors": (lambda data, gguf: put(data, 8, "Q", 0), "no token embeddings"),
    "too many fields": (lambda data, gguf: put(data, 16, "Q", 2**60), "damaged or cut short"),
    "no fields": (lambda data, gguf: put(data, 16, "Q", 0), "damaged or cut short"),
    "too many words": (lambda data, gguf: put(data, at_count_of_words(data), "Q", 2**61), "damaged or cut short"),
    "too many dimensions": (tensor(EMBEDDING, 0, "I", 2**31), "damaged or cut short"),
    "a tensor of any size": (tensor(EMBEDDING, 12, "Q", 2**62), "bytes are missing at its end"),
    "a tensor far away": (tensor(EMBEDDING, 24, "Q", 2**63), "bytes are missing at its end"),
    "an unknown type": (tensor(EMBEDDING, 20, "I", 250), "of a type that is not known here"),
    "fewer weights than words": (tensor(EMBEDDING, 12, "Q", 358), "vocabulary does not fit: 390 tokens"),
    "more weights than words": (tensor(EMBEDDING, 12, "Q", 422), "vocabulary does not fit: 390 tokens"),
    "no layers, which makes llama.cpp abort": (field("llama.block_count", 0), "claims to have 0 layers"),
    "so many layers that llama.cpp aborts": (field("llama.block_count", 2**31 - 1), "to have 2,147,483,647 layers"),
    "layers that are not there": (field("llama.block_count", 3), "it lacks tensor blk.2.attn_norm.weight"),
    "no context": (field("llama.context_length", 0), "claims a context of 0 tokens"),
    "a context below nothing": (field("llama.context_length", 2**32 - 1), "claims a context of 4,294,967,295"),
    "no width": (field("llama.embedding_length", 0), "its metadata is incomplete (a size is 0)"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_model_is_refused(place: Place, tmp_path: Path, name: str) -> None:
    damage, says = DAMAGES[name]
    bad = tmp_path / "bad.gguf"
    with GgufFile(place.model) as gguf:
        bad.write_bytes(damage(place.model.read_bytes(), gguf))
    db = tmp_path / "run.db"
    words = ["run", str(place.task), "-d", str(db), "-m", str(bad), "-q"]
    if "abort" in name:
        status, said = ended(begin(*words))
    else:
        result = CliRunner().invoke(main, words)
        assert isinstance(result.exception, SystemExit), result.exception
        status, said = result.exit_code, result.stderr
    assert status == 1
    check_one_line(said, str(bad), says)
    check_sound(db)
    robustness_counts.count("faults")


def test_after_a_damaged_model_the_run_goes_on_with_a_whole_one(place: Place, tmp_path: Path) -> None:
    bad, db = tmp_path / "bad.gguf", tmp_path / "run.db"
    bad.write_bytes(place.model.read_bytes()[:300_000])
    assert ended(begin("generate", place.task, "-d", db, "-m", bad, "-q"))[0] == 1
    bad.write_bytes(place.model.read_bytes())
    status, said = ended(begin("generate", place.task, "-d", db, "-m", bad, "-q"))
    assert status == 0, said
    assert count(db, "input") == 8


# adapters


@pytest.fixture(scope="module")
def adapters(place: Place) -> tuple[Path, Path]:
    """An adapter of the task's model, and one of a model of the same shape."""
    other = random_model(place.folder / "other.gguf", seed=1)
    made = []
    for model in (place.model, other):
        lora = random_lora(place.folder / f"lora-{model.stem}", model)
        made.append(write_adapter(lora, model, place.folder / f"{model.stem}.adapter.gguf"))
    return made[0], made[1]


@pytest.fixture(scope="module")
def begun(place: Place) -> Path:
    """A database that holds the task."""
    db = place.folder / "begun.db"
    status, said = ended(begin(*place.arguments("generate", db), "-q"))
    assert status == 0, said
    return db


@pytest.mark.parametrize("command", ["predict", "evaluate", "export --to llama.cpp", "export --to ollama"])
def test_an_adapter_of_another_model_is_refused(
    place: Place, begun: Path, adapters: tuple[Path, Path], tmp_path: Path, command: str
) -> None:
    right, wrong = adapters
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"input": "Go.", "output": "GO!"}\n', encoding="utf-8")
    more: dict[str, list[object]] = {
        "predict": ["Come in."],
        "evaluate": [place.task, "--eval", rows, "-q"],
        "export": ["-o", tmp_path / "made", "--rows", 2],
    }
    words = [*command.split(), *more[command.split()[0]], "-d", begun, "-m", place.model, "-a"]
    status, said = ended(begin(*words, wrong))
    assert status == 1
    check_one_line(said, str(wrong), "was made for the model", str(place.model))
    check_sound(begun)
    assert ended(begin(*words, right))[0] == 0
    robustness_counts.count("faults")


def test_an_engine_that_is_opened_refuses_it_as_well(place: Place, adapters: tuple[Path, Path]) -> None:
    with pytest.raises(SelfguideError, match="was made for the model"):
        open_engine(place.model, EngineOptions(tune=False), adapter=adapters[1])
    robustness_counts.count("faults")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_an_adapter_that_is_cut_short_is_refused(
    place: Place, begun: Path, adapters: tuple[Path, Path], tmp_path: Path, share: float
) -> None:
    cut, whole = tmp_path / "cut.gguf", adapters[0].read_bytes()
    cut.write_bytes(whole[: int(len(whole) * share)])
    status, said = ended(begin("predict", "Come in.", "-d", begun, "-m", place.model, "-a", cut))
    assert status == 1
    check_one_line(said, str(cut), "damaged or cut short")
    robustness_counts.count("faults")


# models that write nothing of use


def one_track(place: Place, path: Path, word: str) -> Path:
    """Write a model that says one token whatever it is asked.

    One number of the hidden state is made large and kept by all layers; the output matrix gives it to that token.
    """
    with GgufFile(place.model) as gguf:
        token = gguf.metadata["tokenizer.ggml.tokens"].index(word)
        weights = {name: gguf.tensor(name).copy() for name in gguf.tensors}
        starts = {name: info.offset for name, info in gguf.tensors.items()}
    weights[EMBEDDING][:, 0] = 100
    for name, values in weights.items():
        if name.endswith(("attn_output.weight", "ffn_down.weight")):
            values[0] = 0
    weights["output.weight"][:] = 0
    weights["output.weight"][token, 0] = 10
    data = bytearray(place.model.read_bytes())
    for name, values in weights.items():
        raw = np.ascontiguousarray(values, dtype="<f4").tobytes()
        data[starts[name] : starts[name] + len(raw)] = raw
    path.write_bytes(bytes(data))
    tuned(path)
    return path


@pytest.mark.parametrize(
    ("word", "reason", "advice"),
    [
        ("</s>", "empty", "the chat format of its GGUF file"),  # it answers nothing
        ("A", "length", "input_length_filter=false"),  # it never ends
        ("_", "noise", "noise terms"),  # it answers what the task calls noise
    ],
    ids=["nothing", "endless", "noise"],
)
def test_a_model_that_writes_nothing_of_use_is_asked_no_longer(
    place: Place, tmp_path: Path, word: str, reason: str, advice: str
) -> None:
    model = one_track(place, tmp_path / "one-track.gguf", word)
    task, db = tmp_path / "task.yaml", tmp_path / "run.db"
    task.write_text(place.task.read_text(encoding="utf-8") + "noise_terms: ['_']\n", encoding="utf-8")
    given = ["--set", "rounds=100000", "--set", "patience_rounds=3"]
    given += ["--set", "input_length_filter=true"] if reason == "length" else []
    status, said = ended(begin("run", task, "-d", db, "-m", model, *given))
    assert status == 1
    check_one_line(said.splitlines()[-1], "no pair survived the filters", f"lost to {reason}", advice)
    assert f"input: 0 of 12 kept, dropped: 12 {reason}" in said  # the funnel
    assert "the last 3 rounds added nothing" in said  # why it ended
    assert rows_of(db, "SELECT max(round) FROM input") == [(2,)]
    check_sound(db)
    # Another model does better: it is asked, and is not blamed for the rounds of the first.
    status, said = ended(begin("generate", task, "-d", db, "-m", place.model, "--set", "rounds=5"))
    assert status == 0, said
    assert rows_of(db, "SELECT count(*) FROM input WHERE round >= 3") == [(8,)]
    check_sound(db)
    robustness_counts.count("faults")


def test_advice_to_change_a_setting_can_be_followed(place: Place, tmp_path: Path) -> None:
    """The rounds that other settings wasted do not count against new ones; the same settings stay at their end."""
    model = one_track(place, tmp_path / "one-track.gguf", "</s>")
    db = tmp_path / "run.db"
    words = ["generate", place.task, "-d", db, "-m", model, "-q", "--set", "rounds=20", "--set", "patience_rounds=3"]
    for more, rounds in (([], 3), ([], 3), (["--set", "input_temperature=1.5"], 6)):
        status, said = ended(begin(*words, *more))
        assert status == 0, said
        assert rows_of(db, "SELECT count(DISTINCT round) FROM input") == [(rounds,)]
