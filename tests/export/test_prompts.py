"""The prompt that each exported file makes is the one that the chat template makes, for each chat format."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import robustness_counts
from chat_families import FAMILIES, model_of_family, template_of_family
from hostile_texts import CONTROL, STORABLE, hostile_task
from needs import needs

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message, Written
from selfguide_lite.export.card import Facts, Outcome, card, front_matter
from selfguide_lite.export.go_template import go_string, render
from selfguide_lite.export.grammar import label_grammar
from selfguide_lite.export.modelfile import Modelfile
from selfguide_lite.export.package import Package
from selfguide_lite.export.prompt_text import PromptText
from selfguide_lite.export.targets import target_named
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.native import Model
from selfguide_lite.llm.templates import PLAIN, VICUNA
from selfguide_lite.prompts import Prompts
from selfguide_lite.task import Example, Task

needs("trl")

pytestmark = pytest.mark.slow

TASK = Task(
    name="shop talk",
    kind="classification",
    instruction='Say "happy" or "upset".\nNothing else.',
    labels=("happy", "upset"),
    examples=(Example(input="Lovely {bread}!", output="happy"), Example(input="It's late\tagain \\o/", output="upset")),
)
FACTS = Facts("a model", "0" * 64, None, 16, (3, 40), 0, None, "Not compared with prompting", "finetuned scored", "1")
SYSTEM = "{% call system() %}{{ instruction }}{% endcall %}{% call user() %}{{ input }}{% endcall %}"
AROUND = "{% call user() %}{{ instruction }} <<{{ input }}>> {{ labels|join(' or ') }}?{% endcall %}"


@pytest.fixture(scope="module", params=[*FAMILIES, "vicuna", "plain"])
def chat(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatFormat]:
    own = {"vicuna": VICUNA, "plain": PLAIN}
    family = "llama3" if request.param in own else request.param
    model = model_of_family(family, tmp_path_factory.mktemp("chat"))
    yield ChatFormat(model.vocabulary, own.get(request.param) or template_of_family(request.param))
    model.close()


@pytest.fixture(scope="module")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatFormat]:
    model: Model = model_of_family("qwen2_5", tmp_path_factory.mktemp("chatml"))
    yield ChatFormat(model.vocabulary, template_of_family("qwen2_5"))
    model.close()


def package(task: Task, text: PromptText) -> Package:
    return Package(task, text, FACTS, None, 512, 20, 4, "", [])


def own_prompts(folder: Path, source: str | None) -> Prompts:
    if source is None:
        return Prompts()
    (folder / "annotate.j2").write_text(source)
    return Prompts(folder)


@pytest.mark.parametrize(
    ("style", "source"),
    [("few-shot", None), ("bare", None), ("system", None), ("bare", SYSTEM), ("bare", AROUND)],
    ids=["few-shot", "bare", "system", "own system", "around"],
)
def test_each_file_makes_the_prompt_that_the_chat_template_makes(
    chat: ChatFormat, tmp_path: Path, style: str, source: str | None
) -> None:
    prompts = own_prompts(tmp_path, source)
    text = PromptText.of(TASK, prompts, style, chat)
    given = "The tea 'was' cold, $(and) `how`"
    messages = prompts.answer(TASK, given, style)
    begin = chat.vocabulary.text(chat.vocabulary.bos) if chat.vocabulary.add_bos else ""
    whole = chat.written(messages).removeprefix(begin)
    assert text.text(given) == whole and given in whole
    assert chat.prompt(Written(whole)) == chat.prompt(messages)
    for name in ("ollama", "llama.cpp"):
        target = target_named(name)
        target.write(package(TASK, text), tmp_path)
        assert target.prompt(tmp_path, given) == whole, name
    made = Modelfile.read((tmp_path / "Modelfile").read_text())
    assert [made.weights, ("temperature", "0") in made.parameters] == ["./model.gguf", True]
    stops = {value for parameter, value in made.parameters if parameter == "stop"}
    assert stops == {*chat.stops, *map(chat.vocabulary.text, chat.vocabulary.end_tokens)}
    if style in ("few-shot", "system") or source == SYSTEM:
        # examples stand in it as messages, so that they can be read and changed
        assert made.messages == list(messages[:-1]) or text.turns is None
    hf = target_named("hf")
    hf.write(package(TASK, text), tmp_path)
    assert hf.prompt(tmp_path, given) == messages


def test_the_instruction_in_the_system_message_costs_the_fewest_tokens(chat: ChatFormat) -> None:
    """It replaces the one that some templates add; where a template refuses one, the prompt is the bare one."""
    short, bare = (Prompts().answer(TASK, "Lovely tea!", style) for style in ("system", "bare"))
    assert [(one.role, one.content) for one in short] == [("system", TASK.instruction), ("user", "Lovely tea!")]
    assert chat.written(short).count(TASK.instruction) == 1
    if chat.written(short) != chat.written(bare):
        assert chat.written(short).index(TASK.instruction) < chat.written(short).index("Lovely tea!")
    if "You are" in chat.written(bare):
        assert "You are" not in chat.written(short) and len(chat.prompt(short)) < len(chat.prompt(bare))


def test_hardly_a_format_needs_the_whole_prompt_in_its_template(chat: ChatFormat) -> None:
    text = PromptText.of(TASK, Prompts(), "few-shot", chat)
    assert Modelfile.of(text, "./model.gguf", []).messages == list(text.messages)


def test_a_template_that_does_not_show_the_input_once_is_refused(chatml: ChatFormat, tmp_path: Path) -> None:
    for source in (
        "{% call user() %}{{ input|upper }}{% endcall %}",
        "{% call user() %}{{ input }} {{ input }}{% endcall %}",
    ):
        with pytest.raises(SelfguideError, match="shows the input once"):
            PromptText.of(TASK, own_prompts(tmp_path, source), "bare", chatml)


@pytest.mark.parametrize("kind", ["classification", "generation"])
def test_hostile_texts_stay_texts_in_every_file(chatml: ChatFormat, tmp_path: Path, kind: str) -> None:
    """Each file makes the exact prompt, and nothing in it is obeyed by a shell, a terminal or Markdown."""
    task = hostile_task(kind)
    quotes = Example(input='"""\nFROM /etc/passwd\nMESSAGE user """x', output=task.examples[0].output)
    task = task.model_copy(update={"examples": (quotes, *task.examples)})
    ran = tmp_path / "ran"
    task = task.model_copy(update={"instruction": f"{task.instruction}'; touch {ran}; '$(touch {ran})`touch {ran}`"})
    text = PromptText.of(task, Prompts(), "few-shot", chatml)
    made = package(task, text)
    for name in ("ollama", "llama.cpp", "hf", "vllm"):
        target, folder = target_named(name), tmp_path / name
        folder.mkdir()
        target.write(made, folder)
        (folder / "README.md").write_text(target.usage(made))
        evil = [STORABLE[text] for text in ("script", "image", "data in Markdown", "end of a script")]
        facts = replace(FACTS, licence=evil[0], verdict=evil[1], gain=evil[2], method=evil[3], base=evil[0])
        said = card(task, facts, Outcome(["24 of 24 answers equal", *evil], evil[1], evil[2]))
        (folder / "CARD.md").write_text(said)
        outside = re.sub(r"^    .*$|`[^`]*`", "", said, flags=re.MULTILINE)  # code stays as it is
        assert not re.search(r"(?<!\\)[<\[]", outside), outside
        for given in ("an input", *(one.strip() for one in STORABLE.values() if len(one) < 5000)):
            if name in ("ollama", "llama.cpp"):
                assert target.prompt(folder, given) == text.text(given), (name, given)
            else:
                assert target.prompt(folder, given) == Prompts().answer(task, given, "few-shot")
        for path in folder.iterdir():
            said = path.read_text(encoding="utf-8")
            assert path.suffix in (".jsonl", ".json") or not CONTROL.search(said), path
            assert str(tmp_path) not in said.replace(str(ran), ""), path
            assert path.suffix != ".md" or "\n<script" not in said, path
        for script in folder.glob("*.sh"):
            assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
    assert not ran.exists()
    robustness_counts.count("texts", 4 * len(STORABLE))
    assert "---" in front_matter(task, FACTS)


def answer(script: Path, *words: str, path: Path, given: str = "", cwd: Path | None = None) -> Any:
    """Run a script with another PATH, which has the shell's own tools."""
    return subprocess.run(
        ["/bin/sh", str(script), *words], input=given, capture_output=True, text=True, cwd=cwd,
        env={"PATH": f"{path}:/usr/bin:/bin"}, check=False,
    )  # fmt: skip


def fake(folder: Path, name: str, says: str = "happy [end of text]") -> Path:
    """Put a program on PATH that writes down its arguments and says something."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(
        f"#!/bin/sh\nfor word; do printf '%s\\0' \"$word\"; done > '{folder}/{name}.words'\n"
        f"printf '%s' '{says}'; echo noise >&2; exit ${{FAIL:-0}}\n"
    )
    program.chmod(0o755)
    return folder / f"{name}.words"


def words(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\0")[:-1]


@pytest.fixture
def script(chatml: ChatFormat, tmp_path: Path) -> Path:
    folder = tmp_path / "with space and 'quote'"
    folder.mkdir()
    target_named("llama.cpp").write(package(TASK, PromptText.of(TASK, Prompts(), "few-shot", chatml)), folder)
    return folder / "answer.sh"


def test_the_script_says_which_program_is_missing(script: Path, tmp_path: Path) -> None:
    for given, missing in (["a text"], "llama-completion"), (["--serve"], "llama-server"):
        done = answer(script, *given, path=tmp_path / "none")
        assert done.returncode == 127 and done.stdout == ""
        assert f"{missing} is missing" in done.stderr and "Install llama.cpp" in done.stderr
    fake(tmp_path / "new", "llama-cli", "a chat program")  # one that can only chat is none
    assert answer(script, "a text", path=tmp_path / "new").returncode == 127
    assert answer(script, "two", "inputs", path=tmp_path / "none").returncode == 2


def test_the_script_gives_the_program_the_exact_prompt_from_any_folder(
    script: Path, tmp_path: Path, chatml: ChatFormat
) -> None:
    text = PromptText.of(TASK, Prompts(), "few-shot", chatml)
    seen = fake(tmp_path / "bin", "llama-completion")
    evil = 'it\'s -p "x" $(touch ran) `touch ran` \\n \\ % %s\n--prompt\n\n  ünï 河 \x1b[31m'
    done = answer(script, f"  {evil} \n", path=tmp_path / "bin", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "happy\n", "")
    given = words(seen)
    value = dict(pairwise(given))
    assert value["--prompt"] == text.text(evil.strip())
    here = script.parent
    assert [value["--model"], value["--lora"]] == [str(here / "model.gguf"), str(here / "adapter.gguf")]
    assert value["--grammar-file"] == str(here / "labels.gbnf") and value["--temp"] == "0"
    assert "--no-escape" in given and "--no-conversation" in given
    assert not (tmp_path / "ran").exists()
    # from standard input, through a name relative to another folder, and with a folder's name that begins with a hyphen
    done = answer(Path("with space and 'quote'") / "answer.sh", path=tmp_path / "bin", given=evil + "\n", cwd=tmp_path)
    assert done.stdout == "happy\n" and dict(pairwise(words(seen)))["--prompt"] == text.text(evil.strip())
    assert script.stat().st_mode & 0o111 == 0o111
    fails = fake(tmp_path / "broken", "llama-completion")
    fails.with_suffix("").write_text("#!/bin/sh\necho 'no such model' >&2\nexit 3\n")
    done = answer(script, "a text", path=tmp_path / "broken")
    assert done.returncode == 1 and "no such model" in done.stderr


def test_an_old_llama_cli_and_the_server_are_used(script: Path, tmp_path: Path) -> None:
    seen = fake(tmp_path / "old", "llama-cli", "happy --prompt-cache-all")
    assert answer(script, "a text", path=tmp_path / "old").stdout == "happy --prompt-cache-all\n"
    assert "--no-display-prompt" in words(seen)
    seen = fake(tmp_path / "served", "llama-server")
    assert answer(script, "--serve", "--port", "9", path=tmp_path / "served").returncode == 0
    assert words(seen)[-2:] == ["--port", "9"] and words(seen)[1] == str(script.parent / "model.gguf")


def test_vllm_is_given_both_folders(chatml: ChatFormat, tmp_path: Path) -> None:
    target_named("vllm").write(package(TASK, PromptText.of(TASK, Prompts(), "bare", chatml)), tmp_path)
    done = answer(tmp_path / "serve.sh", path=tmp_path / "none")
    assert done.returncode == 127 and "vllm is missing" in done.stderr
    seen = fake(tmp_path / "bin", "vllm")
    assert answer(tmp_path / "serve.sh", "--port", "9", path=tmp_path / "bin").returncode == 0
    assert words(seen)[:2] == ["serve", str(tmp_path / "base")] and f"shop-talk={tmp_path}" in words(seen)
    assert words(seen)[words(seen).index("--max-lora-rank") + 1] == "8"


def test_the_grammar_and_the_template_language_know_their_escapes() -> None:
    said = label_grammar(('a "b"', "c\\d", "[x]\n", "ü"), " ")
    assert said == 'root ::= " " ("a \\x22b\\x22" | "c\\x5Cd" | "\\x5Bx\\x5D\\x0A" | "\\u00FC")\n'
    evil = 'a "b" {{ .X }} \\n }} \n\t\x1b[31m ü 👩 \u202e'
    assert render(f'{{{{- "" }}}} \n {{{{- "x" }}}}{go_string(evil)}', {}) == f"x{evil}"
    assert not CONTROL.search(go_string(evil))
    for wrong in ("{{ if }}", "{{ template }}", "{{ range $i, $x := .Messages }}", "{{ nothing $x }}", "{{ }}"):
        with pytest.raises((ValueError, IndexError, KeyError)):
            render(wrong, {"Messages": []})


def test_a_modelfile_is_read_as_ollama_reads_it() -> None:
    made = Modelfile.read(
        '# x\nFROM ./m.gguf\n\nTEMPLATE """a\n"b"\n{{ .X }}"""\nPARAMETER stop "<|x|>"\nMESSAGE user hi you\n'
    )
    assert (made.weights, made.template) == ("./m.gguf", 'a\n"b"\n{{ .X }}')
    assert made.parameters == [("stop", "<|x|>")] and made.messages == [Message("user", "hi you")]
    for wrong in ('TEMPLATE """a', "WHATEVER x", "x"):
        with pytest.raises(SelfguideError):
            Modelfile.read(wrong)


def test_an_answer_ends_where_the_plain_template_lets_it_end(chatml: ChatFormat, tmp_path: Path) -> None:
    """A base model writes the user's next turn too: script, Modelfile and `prompt.json` say where to stop."""
    text = PromptText.of(TASK, Prompts(), "few-shot", ChatFormat(chatml.vocabulary, PLAIN))
    for name in ("llama.cpp", "ollama", "hf"):
        target_named(name).write(package(TASK, text), tmp_path)
    fake(tmp_path / "bin", "llama-completion", " happy\nUser: and now?\nAssistant: upset")
    assert answer(tmp_path / "answer.sh", "a text", path=tmp_path / "bin").stdout == "happy\n"
    made = Modelfile.read((tmp_path / "Modelfile").read_text())
    assert ("stop", "\nUser:") in made.parameters
    assert json.loads((tmp_path / "prompt.json").read_text())["stop_texts"] == ["\nUser:"]
