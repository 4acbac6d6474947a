"""Steps are done in their order, with all output in a log; one that fails says why and ends the set-up."""

import sys
from pathlib import Path

import pytest

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.setup.carry_out import carry_out
from selfguide_lite.setup.lock import Pin
from selfguide_lite.setup.plan import Command, Plan, Step


def python(code: str, **environment: str) -> Command:
    return Command((sys.executable, "-S", "-c", code), environment)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SELFGUIDE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_steps_run_in_order_and_one_of_the_ways_is_enough(tmp_path: Path, cache: Path) -> None:
    out, needs = tmp_path / "out", tmp_path / "needs.txt"
    write = f"import os; open({str(out)!r}, 'a').write(os.environ['WORD'] + os.environ['PATH'][-3:])"
    pin = Pin("a", "1", ("base",), hashes=("sha256:0",))
    first = Step("first", "the first", (python(write, WORD="one ", PATH="$PATH:/x "),), files={str(needs): (pin,)})
    ways = (python("raise SystemExit(1)"), python(write, WORD="two "), python(write, WORD="three "))
    said: list[str] = []
    carry_out(Plan((first, Step("second", "the second", either=ways))), said.append)
    assert said == ["the first", "the second"] and out.read_text().startswith("one /x two ")
    assert "three" not in out.read_text() and needs.read_text() == pin.requirement() + "\n"


def test_a_step_that_fails_says_why_and_ends_it(tmp_path: Path, cache: Path) -> None:
    failing = python("print('ERROR: \\x1b[31mno such package'); raise SystemExit(3)")
    later = tmp_path / "later"
    steps = (Step("one", "doing it", (failing,)), Step("two", "more", (python(f"open({str(later)!r}, 'w')"),)))
    with pytest.raises(SelfguideError, match=r"this step failed: doing it: .*no such package") as failed:
        carry_out(Plan(steps), lambda line: None)
    assert not later.exists() and "\x1b" not in str(failed.value)
    log = cache / "setup" / "setup.log"
    assert str(log) in str(failed.value) and "no such package" in log.read_text()


def test_one_set_up_at_a_time(cache: Path) -> None:
    inner: list[str] = []

    def begin_another(line: str) -> None:
        with pytest.raises(SelfguideError, match="another set-up is running"):
            carry_out(Plan(), inner.append)
        inner.append("refused")

    carry_out(Plan((Step("one", "doing it"),)), begin_another)
    assert inner == ["refused"]
