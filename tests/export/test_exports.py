"""Exports of a finetuned model to every target through the real command: moved, replayed, refused where wrong."""

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from finetuned_models import TINY, WARMTH, add_verdict, finetuned
from needs import needs
from plugins_for_tests import Plugins

from selfguide_lite.cli import main
from selfguide_lite.core.files import take_the_place
from selfguide_lite.core.registry import TARGETS
from selfguide_lite.export import replay
from selfguide_lite.export.replay import Rows, replay_gguf, replay_peft
from selfguide_lite.export.targets import target_named
from selfguide_lite.llm import EngineOptions, open_engine
from selfguide_lite.prompts import Prompts

EXACT = EngineOptions(tune=False, tuning={"exact": True})
GIVEN = tuple(f"a moon with the number {number}" for number in (0, 10, 20, 30))


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database whose adapter won."""
    made = finetuned(tmp_path_factory.mktemp("exports") / "warmth.db")
    add_verdict(made, 1)
    return made


def exported(db: Path, *words: object) -> Result:
    command = ["export", "-d", db, "--rows", 4, *words]
    return CliRunner().invoke(main, [str(word) for word in command])


def moved(folder: Path) -> Path:
    """Move an export to another folder, of another name."""
    place = folder.parent / "another place" / "it's here"
    place.parent.mkdir(exist_ok=True)
    return Path(shutil.move(folder, place))


def check_texts(folder: Path, *, without: Path) -> None:
    """No path of this machine stands in any file, and the card says what it should."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".gguf", ".safetensors"):
            said = path.read_text(encoding="utf-8")
            assert str(without) not in said and str(TINY.parent) not in said and str(Path.home()) + "/" not in said, (
                path
            )
    card = (folder / "CARD.md" if (folder / "CARD.md").is_file() else folder / "README.md").read_text()
    for words in (
        "`warmth`",
        "SHA-256",
        "16 pairs",
        "+20.0 points (+10.0 to +30.0) over few-shot calibrated",
        "not good for",
    ):
        assert words in card, words


def rows() -> Rows:
    return Rows(GIVEN, [Prompts().answer(WARMTH, given) for given in GIVEN], 12)


@pytest.mark.slow
def test_llama_cpp_moved_answers_as_the_engine_does(db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = exported(db, "--to", "llama.cpp", "-o", out)
    assert done.exit_code == 0, done.output
    assert "4 of 4 answers equal: from these files through the engine (no llama.cpp program is on PATH)" in done.stdout
    assert (
        "of 4 rows the label in that text is another than the one that `predict` (finetuned scored) answers"
        in done.stdout
    )
    assert sorted(path.name for path in out.iterdir()) == [
        *("CARD.md", "README.md", "adapter.gguf", "answer.sh", "labels.gbnf", "model.gguf")
    ]
    check_texts(out, without=tmp_path)
    out = moved(out)
    target = target_named("llama.cpp")
    with open_engine(out / "model.gguf", EXACT, adapter=out / "adapter.gguf") as engine:
        again = replay_gguf(target, out, engine, rows())
        # the prompt as text becomes the very tokens of training, in a SentencePiece vocabulary too
        assert not again.differing and all(again.same_prompt)
        assert set(again.target) <= {"warm", "cold"}
        # a grammar holds it to what the model would never say
        assert replay.engine_texts(engine, rows().prompts[:1], 'root ::= "zebra" | "zoo"', 12)[0] in ("zebra", "zoo")
    assert not list(out.parent.glob(".*"))


@pytest.mark.slow
def test_ollama_takes_one_file_and_auto_the_smallest_that_answers_alike(db: Path, tmp_path: Path) -> None:
    done = exported(db, "--to", "ollama", "-o", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["rows"], said["equal"], said["merged"]) == (4, 4, "q8_0") and said["changed_by_merging"] in range(5)
    check_texts(tmp_path / "out", without=tmp_path)
    out = moved(tmp_path / "out")
    with open_engine(out / "model.gguf", EXACT) as engine:
        assert not replay_gguf(target_named("ollama"), out, engine, rows()).differing
    any_ = exported(db, "--to", "ollama", "-o", tmp_path / "any", "--merge", "auto", "--max-changed", "1")
    none = exported(db, "--to", "llama.cpp", "-o", tmp_path / "none", "--merge", "auto", "--max-changed", "0")
    assert any_.exit_code == none.exit_code == 0, any_.output + none.output
    sizes = [(tmp_path / name / "model.gguf").stat().st_size for name in ("any", "none")]
    assert sizes[0] < out.joinpath("model.gguf").stat().st_size and sizes[0] <= sizes[1]
    assert ": 0 of 4 answers changed by it" in none.stdout
    assert not (tmp_path / "none" / "adapter.gguf").exists()
    assert "--lora" not in (tmp_path / "none" / "answer.sh").read_text()


@pytest.mark.slow
def test_without_its_libraries_a_peft_folder_says_that_it_was_not_replayed(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "find_spec", lambda name: None)
    for name in ("hf", "vllm"):
        done = exported(db, "--to", name, "-o", tmp_path / name)
        assert done.exit_code == 0 and "Not replayed: torch, transformers and peft" in done.stdout, done.output
        assert "Not replayed" in (tmp_path / name / "README.md").read_text()
        check_texts(tmp_path / name, without=tmp_path)
        config = json.loads((tmp_path / name / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == "base" and (tmp_path / name / "base" / "config.json").is_file()
    assert len((tmp_path / "hf" / "dataset.jsonl").read_text().splitlines()) == 16
    assert os.access(tmp_path / "vllm" / "serve.sh", os.X_OK)


@pytest.mark.slow
def test_a_peft_folder_moved_answers_as_the_engine_does(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the program that it carries, which knows nothing of this package."""
    needs("peft")
    with monkeypatch.context() as patch:
        patch.setattr(replay, "find_spec", lambda name: None)  # one start of torch is enough
        assert exported(db, "--to", "hf", "-o", tmp_path / "out").exit_code == 0
    out = moved(tmp_path / "out")
    monkeypatch.setattr(replay, "resource", lambda name: out / "answer.py")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with open_engine(TINY, EXACT, adapter=db.parent / "warmth-files/warmth/training-first/adapter.gguf") as engine:
        again = replay_peft(out, engine, rows())
    assert again is not None and not again.differing and all(again.same_prompt)
    assert again.through == "through transformers and PEFT on the processor"


@pytest.mark.slow
def test_where_prompting_won_an_adapter_must_be_named(tmp_path: Path) -> None:
    db = finetuned(tmp_path / "warmth.db")
    add_verdict(db, 1, winner="few-shot calibrated")
    out = tmp_path / "out"
    done = exported(db, "--to", "llama.cpp", "-o", out)
    assert done.exit_code == 1 and not out.exists()
    assert "the comparison chose few-shot calibrated" in done.stderr and "--adapter 1" in done.stderr
    done = exported(db, "--to", "llama.cpp", "-o", out, "--adapter", 1)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "magic"], "there is no export target 'magic'; there are: hf, llama-cpp, ollama, vllm"),
        (["--to", "hf", "--merge", "q8_0"], "hf takes the LoRA apart from its base"),
        (["--to", "ollama", "--merge", "q99"], "there is no type 'q99'; there are: auto, f32"),
        (["--to", "ollama", "--adapter", "9"], "has no adapter 9; there are: 1"),
        (["--to", "ollama", "--adapter", "none.gguf"], "none.gguf: no such adapter file"),
        (["--to", "ollama", "-o", "."], "is there already"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(db: Path, words: list[str], says: str) -> None:
    done = exported(db, *words)
    assert done.exit_code == 1 and says in done.stderr and len(done.stderr.splitlines()) == 1


# Another package's target: a prompt in a file. One of its two classes forgets the end.
SOURCE = """
class Plain:
    summary = "a text file"
    weights = "gguf"
    merged = "may"
    end = True

    def write(self, package, folder):
        text = package.prompt
        (folder / "prompt.txt").write_text(text.before + "INPUT" + (text.after if self.end else ""))

    def prompt(self, folder, given):
        return (folder / "prompt.txt").read_text().replace("INPUT", given)

    def grammar(self, folder):
        return None

    def usage(self, package):
        return "Read prompt.txt."


class Wrong(Plain):
    end = False
"""


@pytest.mark.slow
def test_a_target_is_one_class_also_from_another_package(db: Path, tmp_path: Path, plugins: Plugins) -> None:
    group = {"selfguide_lite.export.targets": {"plain": "Plain", "wrong": "Wrong"}}
    plugins.install("own_target", SOURCE, group)
    assert TARGETS.names() == ("hf", "llama-cpp", "ollama", "vllm", "plain", "wrong")
    done = exported(db, "--to", "plain", "-o", tmp_path / "out")
    assert done.exit_code == 0 and "4 of 4 answers equal" in done.stdout, done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("CARD.md", "README.md", "adapter.gguf", "model.gguf", "prompt.txt")
    ]
    # one that asks the model otherwise than it was trained is found out, and nothing of it stays
    wrong = exported(db, "--to", "wrong", "-o", tmp_path / "wrong")
    assert wrong.exit_code == 1 and "its prompt is not the one that the model was trained on" in wrong.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "plugins") == ["out"]
    again = exported(db, "--to", "plain", "-o", tmp_path / "out", "--force", "--merge", "f16")
    assert again.exit_code == 0 and not (tmp_path / "out" / "adapter.gguf").exists(), again.output


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.gguf").write_text("old")
    with pytest.raises(FileNotFoundError):
        take_the_place(tmp_path / "gone", out)
    assert (out / "model.gguf").read_text() == "old"
    (tmp_path / "new").mkdir()
    take_the_place(tmp_path / "new", out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and list(out.iterdir()) == []
