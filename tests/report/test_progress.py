"""The progress display: what it knows, what it draws, and that texts of a model stay texts."""

import io
import math
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from stories import HOSTILE

from selfguide_lite.core.progress import FunnelRow, Listener, TrainStep
from selfguide_lite.core.text import duration, neutral, size
from selfguide_lite.report.funnel import funnel_stages
from selfguide_lite.report.progress import RUN_STAGES, LiveDisplay, PlainLines, funnel_text, sparkline
from selfguide_lite.report.state import JobState

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def job(listener: Listener, clock: Clock, texts: tuple[str, ...] = ("A river.",)) -> None:
    """Tell a listener of a run that is in the middle of its annotation."""
    listener.start("generate", 40)
    for done in range(10, 41, 10):
        clock.now += 2
        listener.advance("generate", done, tokens=300, kept=done - done // 10, text=texts[done // 10 % len(texts)])
        listener.funnel([FunnelRow("input", "kept", done), FunnelRow("input", "duplicate", done // 10)])
    listener.done("generate", "36 of 40 inputs passed the filters")
    listener.start("annotate", 36)
    clock.now += 5
    listener.advance("annotate", 18, tokens=500, text=texts[-1])


def drawn(
    width: int, texts: tuple[str, ...] = ("A river.",), after: Callable[[LiveDisplay], None] | None = None
) -> str:
    clock = Clock()
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    display = LiveDisplay(console, RUN_STAGES, clock)
    job(display, clock, texts)
    if after:
        after(display)
    with console.capture() as capture:
        console.print(display)
    return capture.get()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = drawn(width, HOSTILE).splitlines()
    assert max(map(cell_len, lines)) <= min(width, 100)
    assert len(lines) < 24


def test_stages_done_running_and_ahead() -> None:
    shown = drawn(80)
    assert re.search(r"✓ generate +36 of 40 inputs passed", shown)
    assert re.search(r"● annotate .* 18/36 +\d+:\d\d left", shown)
    assert "○ train" in shown and "○ evaluate" in shown
    assert "“A river.”" in shown
    assert re.search(r"input +━+─? 40 of 44 kept +dropped: 4 duplicate", shown)


def test_the_funnel_is_in_the_order_of_the_stages_and_says_kept_and_dropped() -> None:
    """Whatever order the rows have; a bar is the share of what entered the stage."""
    rows = [
        FunnelRow("dataset", "kept", 20),
        FunnelRow("input", "length", 60),
        FunnelRow("input", "kept", 30),
        FunnelRow("answer", "unanswered", 5),
        FunnelRow("answer", "kept", 25),
        FunnelRow("input", "label_named", 10),
    ]
    console = Console(file=io.StringIO(), width=100, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(funnel_text(rows))
    assert [line.rstrip() for line in capture.get().splitlines()] == [
        "  input     ━━━─────── 30 of 100 kept  dropped: 60 length  10 label named",
        "  answer    ━━━━━━━━── 25 of 30 kept  5 unanswered",
        "  dataset   ━━━━━━━━━━ 20 of 20 kept",
    ]
    stages = funnel_stages(rows)
    assert [(stage.entered, stage.kept, stage.waiting) for stage in stages] == [(100, 30, 0), (30, 25, 5), (20, 20, 0)]


def test_the_result_is_never_cut() -> None:
    told = "exact match 61.0 % before, 88.3 % after, gain 27.3 points, 95 % interval 22.1 to 32.5"
    shown = drawn(40, after=lambda display: display.done("evaluate", told))
    assert " ".join(shown.replace("✓ evaluate", "").split()).endswith("dropped: 4 duplicate")
    assert told.split()[-1] in shown


def test_training_shows_its_loss_as_a_curve() -> None:
    def train(display: LiveDisplay) -> None:
        display.start("train", 30)
        for step in range(1, 21):
            display.step(TrainStep(step, 30, step / 10, 2 * math.exp(-step / 5), 1e-3, 1.0, 500, 10**9))
        display.step(TrainStep(21, 30, 2.1, math.nan, 1e-3, 1.0, 500, 10**9))

    shown = drawn(80, after=train)
    assert "█" in shown and "▁" in shown and "loss 0.037" in shown and "500 tok/s" in shown
    assert "rate 1.0e-03" in shown and "gradient 1.00" in shown and "0.9 GiB" in shown


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_neutral(text: str) -> None:
    shown = drawn(80, (text,))
    assert not CONTROL.search(shown)
    if "[bold" in text:
        assert "[bold red]markup" in shown
    lines: list[str] = []
    clock = Clock()
    plain = PlainLines(write=lines.append, clock=clock)
    job(plain, clock, (text,))
    plain.note(text)
    assert not any(CONTROL.search(line) or "\n" in line for line in lines)


@given(st.text())
def test_neutral_text_has_no_control_codes(text: str) -> None:
    shown = neutral(text)
    assert not CONTROL.search(shown) and "\n" not in shown
    shown.encode()
    assert neutral(shown) == shown


@given(
    rate=st.floats(0.01, 1000),
    total=st.integers(100, 10_000),
    burst=st.integers(1, 20),
    warm_up=st.floats(0, 3),
    first=st.integers(0, 50),
)
def test_time_left_is_right_within_a_third_once_a_tenth_is_done(
    rate: float, total: int, burst: int, warm_up: float, first: int
) -> None:
    """Also with results that come in bursts and a first one that is late by up to three bursts' time."""
    burst = min(burst, total // 40)  # several bursts in the first tenth, as 40 rounds have
    clock = Clock()
    state = JobState(clock=clock)
    state.start("generate", total + first, first)
    clock.now += warm_up * burst / rate
    for done in range(burst, total, burst):
        clock.now += burst / rate
        state.advance("generate", first + done)
        if done >= total / 10:
            left = state.stages["generate"].seconds_left(clock.now)
            assert left is not None
            assert abs(left - (total - done) / rate) <= (total - done) / rate / 3 + 1e-6


def test_plain_lines_are_few_and_told_in_order() -> None:
    lines: list[str] = []
    clock = Clock()
    plain = PlainLines(write=lines.append, clock=clock)
    plain.start("generate", 1000, 100)
    for done in range(101, 1001):
        clock.now += 0.5
        plain.advance("generate", done, tokens=30, kept=done // 2)
    plain.funnel([FunnelRow("input", "kept", 500), FunnelRow("input", "noise", 500)])
    plain.done("generate", "500 inputs")
    assert lines[0] == "generate: 1000 to do, 100 of them in the store already"
    assert 9 <= len(lines) <= 25
    assert re.fullmatch(r"generate: \d+/1000, kept 50%, 6\d tok/s, about \d+:\d\d left", lines[3])
    assert lines[-2:] == ["generate: done: 500 inputs (7:30)", "  input: 500 of 1,000 kept, dropped: 500 noise"]


def test_a_pipe_gets_plain_lines_and_quiet_nothing() -> None:
    program = (
        "from selfguide_lite.report.progress import listener_for\n"
        "for quiet in (False, True):\n"
        "    with listener_for(quiet) as listener:\n"
        "        listener.start('generate', 3); listener.done('generate', str(quiet))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"FORCE_COLOR": "1"}
    )
    assert done.stdout == ""
    assert done.stderr == "generate: 3 to do\ngenerate: done: False (0:00)\n"


def test_sparkline_goes_down_with_its_values() -> None:
    assert sparkline([4, 3, 2, 1], 4) == "█▆▃▁"
    assert sparkline([1], 4) == "▁" and sparkline([], 4) == ""
    assert len(sparkline(list(range(1000)), 20)) == 20
    assert sparkline([2, 1], 4, ascii_only=True) == "@_"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (750, "12:30"), (11100, "3:05:00")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("n", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 2**30, "3.0 GiB")])
def test_sizes(n: int, text: str) -> None:
    assert size(n) == text
