"""A base model without a chat template: a plain one stands in, and an answer ends where the user's next turn begins."""

import re
from pathlib import Path

import pytest
from random_architectures import ROWS, write_model

from selfguide_lite.llm import Message, Request, templates
from selfguide_lite.llm.llama import LlamaEngine

TURNS = (Message("system", "Be short."), Message("user", "hello"), Message("assistant", "yes"), Message("user", "no"))


def test_what_it_writes_of_the_next_turn_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model writes no turns: a piece of what it does write takes the place of their mark."""
    model = write_model(tmp_path / "model.gguf", "qwen2", ROWS["qwen2"])
    asked = Request("chat", TURNS, max_tokens=24, temperature=0.0, stop=("never said",))
    with LlamaEngine(model, n_ctx=256) as engine:
        assert engine.chat.stops == ("\nUser:",)
        assert engine.chat.written(TURNS) == "<s>Be short.\n\nUser: hello\nAssistant: yes</s>\nUser: no\nAssistant:"
        (whole,) = engine.complete([asked])
        (mark,) = re.findall("[a-z]{4}", whole.text)[:1]
        monkeypatch.setitem(templates._STOPS, templates.PLAIN, (mark,))
        (stopped,) = engine.complete([asked])
        text = Request("text", engine.chat.written(TURNS), max_tokens=24, temperature=0.0)
        (plain,) = engine.complete([text])
        monkeypatch.setitem(templates._STOPS, templates.PLAIN, (plain.text[-6:],))
        assert list(engine.complete([text])) == [plain]  # a text that is no chat goes on
    assert stopped.text == whole.text[: whole.text.index(mark)] and stopped.finish_reason == "stop"
    vicuna = templates.template_note(None, "llama")
    assert vicuna is not None and "Vicuna" in vicuna and templates.template_note("{{ x }}", "llama") is None
