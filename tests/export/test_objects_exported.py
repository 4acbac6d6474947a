"""Exports of a task with a schema: the files hold other programs to its objects, in the form that predict writes."""

import ctypes
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import llama_cpp
import pytest
from click.testing import CliRunner
from finetuned_models import TINY, add_training
from random_schemas import problem, random_schema

from selfguide_lite.cli import main
from selfguide_lite.export import replay
from selfguide_lite.export.grammar import object_grammar
from selfguide_lite.fields import read_schema, sized
from selfguide_lite.llm.base import Request
from selfguide_lite.llm.llama import LlamaEngine, Tuning
from selfguide_lite.store import NewInput, NewOutput, Store
from selfguide_lite.task import Task

pytestmark = pytest.mark.slow

TASK = Task.model_validate(
    {
        "name": "city flats",
        "kind": "extraction",
        "instruction": "Read the advert.",
        "schema": {
            "kind": {"type": "enum", "values": ["flat", "house"]},
            "rooms": "integer, optional",
            "free": "date, optional",
            "extras": {"type": "list of string", "max_length": 6, "max_items": 2},
        },
        "examples": [
            {"input": "A flat of 2 rooms, 'new'", "output": {"kind": "flat", "rooms": 2, "extras": []}},
            {"input": "A house by the sea", "output": {"kind": "house", "extras": ["sea"]}},
        ],
        "settings": {"output_max_tokens": 160, "input_length_filter": False, "noise_filter": False},
    }
)


DAYS = [
    ("2024-02-29", True), ("2000-02-29", True), ("2026-12-31", True), ("2023-02-29", False), ("1900-02-29", False),
    ("2026-02-30", False), ("2026-04-31", False), ("2026-13-01", False), ("2026-00-10", False), ("0999-01-01", False),
]  # fmt: skip


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with four pairs and an adapter."""
    path = tmp_path_factory.mktemp("objects") / "flats.db"
    with Store.open(path) as store:
        task_id = store.add_task(TASK)
        run = store.start_run(task_id, "generate", None, TASK.settings, 0, None)
        for rooms in range(4):
            added = store.add_input(NewInput(task_id, run, 0, rooms, f"To let: {'flat ' * rooms}with {rooms} rooms"))
            text = f'{{"kind":"flat","rooms":{rooms},"free":null,"extras":[]}}'
            store.add_outputs([NewOutput(added, run, 0, text)])
        assert len(store.pairs(task_id)) == 4
    add_training(path, "first")
    return path


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    with LlamaEngine(TINY, tuning=Tuning(parallel=4, exact=True)) as opened:
        yield opened


def exported(db: Path, target: str, out: Path) -> dict[str, Any]:
    command = ["export", "-d", str(db), "--rows", "2", "--to", target, "-o", str(out), "--json"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    schema = json.loads((out / "schema.json").read_text())
    assert list(schema["properties"]) == ["kind", "rooms", "free", "extras"]
    assert schema["properties"]["extras"]["maxItems"] == 2
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_llama_cpp_is_held_to_the_objects_that_predict_writes(db: Path, tmp_path: Path) -> None:
    made = exported(db, "llama.cpp", tmp_path / "out")
    # of a model that is hardly trained many tokens are equally likely, and predict computes with other roundings
    assert (made["rows"], made["equal"]) == (2, 2) and made["objects_other_than_predict"] in range(3)
    assert made["labels_other_than_predict"] is None
    assert '--grammar-file "$here/object.gbnf"' in (tmp_path / "out" / "answer.sh").read_text()
    assert "--serve --port 8080 --grammar-file object.gbnf" in (tmp_path / "out" / "README.md").read_text()
    card = (tmp_path / "out" / "CARD.md").read_text()
    assert "Fields: `kind`, `rooms`, `free`, `extras`" in card and "of 2 rows the object in that text is" in card


def shown(folder: Path, language: str) -> str:
    """The last block of code of a language in an export's README."""
    return re.findall(rf"```{language}\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[-1]


def test_what_the_readme_of_ollama_shows_sends_the_schema(db: Path, tmp_path: Path) -> None:
    """The command is run by a shell, with a program in curl's place that keeps what it is given."""
    assert exported(db, "ollama", tmp_path / "out")["merged"] == "q8_0"
    curl = tmp_path / "curl"
    curl.write_text("#!/bin/sh\ncat\n")
    curl.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["sh", "-c", shown(tmp_path / "out", "sh")]
    done = subprocess.run(command, cwd=tmp_path / "out", env=env, capture_output=True, check=True)
    asked = json.loads(done.stdout)
    assert asked["format"] == json.loads((tmp_path / "out" / "schema.json").read_text())
    assert asked["model"] == "city-flats" and asked["messages"] == [{"role": "user", "content": "an input"}]


def test_what_the_readme_of_vllm_shows_sends_the_schema(
    db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is run, with a client that prints what it would send."""
    monkeypatch.setattr(replay, "find_spec", lambda name: None)  # without a start of torch
    assert exported(db, "vllm", tmp_path / "out")["equal"] is None
    exported(db, "hf", tmp_path / "hf")
    assert "`schema.json` is the JSON Schema of the answers" in (tmp_path / "hf" / "README.md").read_text()
    client = """
import json, sys
from types import SimpleNamespace as Of

def create(**asked):
    json.dump(asked, sys.stderr)
    return Of(choices=[Of(message=Of(content=""))])
def OpenAI(**_):
    return Of(chat=Of(completions=Of(create=create)))
"""
    (tmp_path / "openai.py").write_text(client)
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    program = shown(tmp_path / "out", "py")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "out", env=env, capture_output=True, check=True
    )
    asked = json.loads(done.stderr)
    schema = json.loads((tmp_path / "out" / "schema.json").read_text())
    assert asked["response_format"] == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    assert asked["messages"][-1] == {"role": "user", "content": "an input"} and asked["max_tokens"] == 160


def test_a_grammar_lets_the_engines_objects_stand_and_gives_nothing_else(engine: LlamaEngine) -> None:
    """Random schemas of all types: hot objects of the engine are accepted to their end, and none that is changed."""
    random = Random(5)
    wide = {"a": {"type": "string", "max_length": 5000}, "b": {"type": "list of date", "max_items": 1000}}
    schemas = [*(random_schema(random) for _ in range(4)), sized(read_schema(wide), [])]
    asked = [
        Request(str(number), "x", n=3, temperature=5.0, max_tokens=400, seed=1, schema=schema)
        for number, schema in enumerate(schemas)
    ]
    for done in engine.complete(asked):
        grammar = object_grammar(schemas[int(done.key)])
        assert accepted(engine, grammar, done.text), (grammar, done.text)
        for wrong in (done.text[:-1], done.text + "}", done.text.replace(":", ": ", 1), done.text.replace("{", "[", 1)):
            assert not accepted(engine, grammar, wrong), (grammar, wrong)
    for number, schema in enumerate(schemas[:2]):
        (text,) = engine.constrained([f"Number {number}:"], object_grammar(schema), 300)
        assert not text.endswith("}") or problem(schema, text) is None, (schema, text)


@pytest.mark.parametrize(("day", "there"), DAYS)
def test_dates_of_a_grammar_are_days(engine: LlamaEngine, day: str, there: bool) -> None:
    grammar = object_grammar(sized(read_schema({"free": "date"}), []))
    assert accepted(engine, grammar, f'{{"free":"{day}"}}') is there


def accepted(engine: LlamaEngine, grammar: str, text: str) -> bool:
    """Whether llama.cpp lets a text stand under a grammar, from its first token to its end."""
    model = engine._model
    sampler = llama_cpp.llama_sampler_init_grammar(
        llama_cpp.llama_model_get_vocab(model.handle), grammar.encode(), b"root"
    )
    assert sampler
    try:
        for token in [*engine.chat.continued(text), next(iter(model.vocabulary.end_tokens))]:
            data = (llama_cpp.llama_token_data * 1)(llama_cpp.llama_token_data(token, 1.0, 0.0))
            array = llama_cpp.llama_token_data_array(data=data, size=1, selected=-1, sorted=False)
            llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
            if data[0].logit == -math.inf:
                return False
            llama_cpp.llama_sampler_accept(sampler, token)
        return True
    finally:
        llama_cpp.llama_sampler_free(sampler)
