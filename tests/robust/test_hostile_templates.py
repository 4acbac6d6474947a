"""Chat templates made to harm: they loop, fill the memory, call themselves, look around; each is one clear line."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from robustness_counts import count

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.messages import Message
from selfguide_lite.gguf.random_model import Geometry, write_random_llama
from selfguide_lite.llm import bounded
from selfguide_lite.llm.chat import ChatFormat
from selfguide_lite.llm.native import Model, Vocabulary

pytestmark = pytest.mark.slow

PLAIN = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
SECONDS, MEMORY, DEEP = (
    "more than 1 s of the processor",
    "more than 64 MiB of memory",
    "nested too deep, or calls itself",
)
TEMPLATES = {
    "a long loop": ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
    "loops in loops": ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", SECONDS),
    "much sorting": ("{% for i in range(99999) %}{% set y = range(99999)|sort %}{% endfor %}", SECONDS),
    "much text": ("{{ lipsum(n=10**7) }}", SECONDS),
    "a long text": ("{{ 'x' * 10**10 }}", MEMORY),
    "a long list": ("{% set x = [0] * 10**10 %}", MEMORY),
    "a wide text": ("{{ 'x'|center(10**10) }}", MEMORY),
    "a wide format": ("{{ '%9999999999d'|format(1) }}", MEMORY),
    "doubling": ("{% set n = namespace(x='x') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}", MEMORY),
    "a macro that calls itself": ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", DEEP),
    "a loop that calls itself": ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", DEEP),
    "many brackets": (f"{{{{ {'(' * 5000}1{')' * 5000} }}}}", DEEP),
    "many blocks": ("{% if 1 %}" * 3000 + "{% endif %}" * 3000, DEEP),
    "classes": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "is unsafe"),
    "globals": ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "is unsafe"),
    "globals of ours": ("{{ raise_exception.__globals__['x'] }}", ""),
    "attributes in a format": ("{{ '{0.__class__.__mro__}'.format(1) }}", "is unsafe"),
    "another file": ("{% include '/etc/passwd' %}", "no loader"),
    "changing its messages": ("{{ messages.clear() }}", "is unsafe"),
    "a long complaint": ("{{ raise_exception('x' * 9999) }}", "xxx"),
}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    path = write_random_llama(
        tmp_path_factory.mktemp("model") / "m.gguf", Geometry(32, 1, 1, 1, 32), vocabulary="bpe", chat_template=PLAIN
    )
    model = Model(Path(path), vocab_only=True)
    yield model.vocabulary
    model.close()


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MOST_SECONDS", 1)
    monkeypatch.setattr(bounded, "MOST_MEMORY", 64 * 2**20)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_made_to_harm_is_refused_in_one_line(name: str, vocabulary: Vocabulary) -> None:
    source, says = TEMPLATES[name]
    began = time.process_time()
    with pytest.raises(SelfguideError) as caught:
        ChatFormat(vocabulary, PLAIN + source, "model.gguf").prompt((Message("user", "hello"),))
    said = str(caught.value)
    assert said.startswith("model.gguf: the model's chat template cannot be rendered: ") and says in said, said
    assert "\n" not in said and len(said) < 400
    assert time.process_time() - began < 1  # this process waits; the other one works
    count("inputs")


def test_a_template_of_a_file_changes_nothing_here(vocabulary: Vocabulary) -> None:
    """It is rendered as the same template is that is ours, and what it takes is given back."""
    messages = (Message("user", "hello"), Message("assistant", "\ud83d yes"), Message("user", "no"))
    theirs = ChatFormat(vocabulary, PLAIN)
    whole = "user: hello\nassistant: \ud83d yes\nuser: no\n"
    assert theirs.written(messages).endswith(whole)
    assert theirs.prompt("text") == ChatFormat(vocabulary, None).prompt("text")


def test_a_process_that_dies_is_said() -> None:
    def die() -> str:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    with pytest.raises(bounded.NotDone, match="ended by signal 9"):
        bounded.bounded(die)
    with pytest.raises(bounded.NotDone, match="MiB"):
        bounded.bounded(lambda: "x" * 70 * 2**20)
    assert bounded.bounded(lambda: "\ud83dé") == "\ud83dé"
