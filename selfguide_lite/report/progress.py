"""Shows a running job: a live display in a terminal, plain lines in a pipe or CI, nothing with --quiet.

Everything goes to standard error, so standard output stays free for what a command answers.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from rich.cells import set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.text import Text

from selfguide_lite.core.battery import BatteryGuard
from selfguide_lite.core.progress import FunnelRow, Listener, NullListener, Stage, TrainStep
from selfguide_lite.core.text import duration, neutral
from selfguide_lite.report.funnel import funnel_stages, parts
from selfguide_lite.report.pausing import Pausing
from selfguide_lite.report.state import JobState, StageState

RUN_STAGES: tuple[Stage, ...] = ("generate", "annotate", "train", "export", "evaluate")
_NAME_WIDTH = 9
_INDENT = 2 + _NAME_WIDTH + 1
_FUNNEL_BAR = 10
_NARROW = 60  # below this many columns details go on lines of their own
_WIDEST = 100  # a wider terminal gets no wider lines: they would be hard to read
_SPARKS = "▁▂▃▄▅▆▇█"
_SPARKS_ASCII = "_.-=+*#@"


def _say(line: str) -> None:
    """Write a line in one piece: where a signal ends the job after its text, `print` has not ended it yet."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@contextmanager
def listener_for(quiet: bool, stages: Sequence[Stage] = ()) -> Iterator[Listener]:
    """Give the listener that fits where standard error goes, for the time of a job; it pauses where the battery is low.

    :param quiet: say nothing, but that the work pauses
    :param stages: those that will come, to be shown as ahead; others appear when they start
    """
    if quiet:
        yield Pausing(NullListener(), BatteryGuard(_say))
        return
    console = Console(stderr=True, highlight=False)
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        lines = PlainLines(stages)
        yield Pausing(lines, BatteryGuard(lines.note))
        return
    with LiveDisplay(console, stages) as display:
        yield Pausing(display, BatteryGuard(display.note))


class LiveDisplay(JobState):
    """One live display of a whole job; a context manager and a listener."""

    def __init__(
        self, console: Console, stages: Sequence[Stage] = RUN_STAGES, clock: Callable[[], float] = time.monotonic
    ):
        super().__init__(stages, clock)
        self._console = console
        self._lock = threading.RLock()
        self._live = Live(
            get_renderable=lambda: self,
            console=console,
            refresh_per_second=8,
            redirect_stdout=sys.stdout.isatty(),  # a pipe's reader gets standard output untouched
            vertical_overflow="ellipsis",
        )

    def __enter__(self) -> "LiveDisplay":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        with self._lock:
            super().start(stage, total, done)

    def advance(
        self, stage: Stage, done: int, tokens: int = 0, kept: int | None = None, text: str | None = None
    ) -> None:
        with self._lock:
            super().advance(stage, done, tokens, kept, text)

    def step(self, step: TrainStep) -> None:
        with self._lock:
            super().step(step)

    def funnel(self, rows: Sequence[FunnelRow]) -> None:
        with self._lock:
            super().funnel(rows)

    def done(self, stage: Stage, summary: str) -> None:
        with self._lock:
            super().done(stage, summary)

    def note(self, message: str) -> None:
        self._console.print(Text(neutral(message), style="dim"))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            width = min(options.max_width, _WIDEST)
            ascii_only = options.ascii_only
            lines: list[RenderableType] = []
            for state in self.stages.values():
                lines += _stage_lines(state, self.clock(), console, width, ascii_only)
            if self.rows:
                lines += [Text(""), *_funnel_lines(self.rows, width, ascii_only)]
        yield from console.render(Group(*lines), options.update(width=width, no_wrap=True, overflow="ellipsis"))


class PlainLines(JobState):
    """A line when something is worth a line: every tenth of a stage, and after half a minute without one."""

    def __init__(
        self,
        stages: Sequence[Stage] = (),
        write: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__(stages, clock)
        self._write_line = write or _say
        self._last = 0.0
        self._tenth = 0
        self._told: tuple[FunnelRow, ...] = ()

    def start(self, stage: Stage, total: int, done: int = 0) -> None:
        super().start(stage, total, done)
        already = f", {done} of them in the store already" if done else ""
        self._write(f"{stage}: {total} to do{already}")

    def advance(
        self, stage: Stage, done: int, tokens: int = 0, kept: int | None = None, text: str | None = None
    ) -> None:
        super().advance(stage, done, tokens, kept, text)
        self._maybe(self.stages[stage])

    def step(self, step: TrainStep) -> None:
        super().step(step)
        self._maybe(self.stages["train"])

    def done(self, stage: Stage, summary: str) -> None:
        started = stage in self.stages and self.stages[stage].status == "running"
        super().done(stage, summary)
        state = self.stages[stage]
        took = f" ({duration(state.seconds(self.clock()))})" if started else ""
        self._write(f"{stage}: done: {summary}{took}" if summary else f"{stage}: done{took}")
        if self.rows != self._told:
            self._told = self.rows
            for passed in funnel_stages(self.rows):
                self._write(f"  {passed.name}: {', '.join(parts(passed))}")

    def note(self, message: str) -> None:
        self._write(message)

    def _maybe(self, state: StageState) -> None:
        now = self.clock()
        tenth = int(state.share * 10)
        if now - self._last < 1 or (tenth == self._tenth and now - self._last < 30) or state.done >= state.total:
            return
        self._tenth = tenth
        facts = _facts(state, now)
        left = state.seconds_left(now)
        if left is not None:
            facts.append(f"about {duration(left)} left")
        self._write(f"{state.name}: {state.done}/{state.total}" + "".join(f", {fact}" for fact in facts))

    def _write(self, line: str) -> None:
        self._last = self.clock()
        self._write_line(neutral(line))


def sparkline(values: Sequence[float], width: int, ascii_only: bool = False) -> str:
    """Draw values as a small curve, one character a column, each the mean of the values that fall into it.

    :param width: columns at most
    """
    if not values or width < 1:
        return ""
    count = min(width, len(values))
    bounds = [round(i * len(values) / count) for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(bounds)]
    low, high = min(means), max(means)
    signs = _SPARKS_ASCII if ascii_only else _SPARKS
    scale = (len(signs) - 1) / (high - low) if high > low else 0.0
    return "".join(signs[round((value - low) * scale)] for value in means)


def funnel_text(rows: Sequence[FunnelRow], width: int = _WIDEST) -> Group:
    """Return the funnel as a small block of text, kept first, then the reasons from the most frequent one."""
    return Group(*_funnel_lines(rows, width, ascii_only=False))


def _funnel_lines(rows: Sequence[FunnelRow], width: int, ascii_only: bool) -> list[RenderableType]:
    """A line a stage: its name, how much was kept of what entered as a bar and in numbers, why the rest was dropped."""
    lines: list[RenderableType] = []
    for stage in funnel_stages(rows):
        line = Text(f"  {_fit(neutral(stage.name), _NAME_WIDTH)} ")
        line.append_text(_bar(stage.share, _FUNNEL_BAR, ascii_only))
        kept, *others = parts(stage)
        told = [Text(kept, style="green"), *(Text(neutral(part), style="dim") for part in others)]
        lines += _wrapped(line.append(" "), told, width)
    return lines


def _wrapped(head: Text, parts: Sequence[Text], width: int) -> list[RenderableType]:
    """Put parts after a head, breaking lines between parts only."""
    lines: list[RenderableType] = []
    line, empty = head, True
    for part in parts:
        gap = "" if empty else "  "
        if not empty and line.cell_len + len(gap) + part.cell_len > width:
            lines.append(line)
            line, gap = Text(" " * _INDENT), ""
        line.append(gap)
        line.append_text(part)
        empty = False
    for finished in (*lines, line):
        if isinstance(finished, Text):
            finished.truncate(width, overflow="ellipsis")
    return [*lines, line]


def _stage_lines(state: StageState, now: float, console: Console, width: int, ascii_only: bool) -> list[RenderableType]:
    signs = {"done": "+", "running": ">", "ahead": "."} if ascii_only else {"done": "✓", "running": "●", "ahead": "○"}
    styles = {"done": "green", "running": "bold cyan", "ahead": "dim"}
    head = Text.assemble((signs[state.status], styles[state.status]), " ")
    head.append(_fit(state.name, _NAME_WIDTH), style={"done": "", "running": "bold", "ahead": "dim"}[state.status])
    head.append(" ")
    if state.status == "ahead":
        return [head]
    if state.status == "done":
        return _done_lines(head, state, now, width, console)
    left = state.seconds_left(now)
    clock = f"{duration(left)} left" if left is not None else duration(state.seconds(now))
    counts = f"{state.done:,}/{state.total:,}" if state.total else f"{state.done:,}"
    tail = Text(f"  {counts}  {clock}" if width >= _NARROW else f" {counts}")
    bar = _bar(state.share, max(6, width - _INDENT - tail.cell_len), ascii_only)
    lines: list[RenderableType] = [Text.assemble(head, bar, tail)]
    facts = [Text(fact, style="dim") for fact in _facts(state, now)]
    if width < _NARROW:
        facts.append(Text(clock, style="dim"))
    if state.losses:
        facts.insert(0, _loss(state.losses, ascii_only))
    if facts:
        lines += _wrapped(Text(" " * _INDENT), facts, width)
    if state.text:
        lines.append(_quoted(state.text, width, ascii_only))
    return lines


def _done_lines(head: Text, state: StageState, now: float, width: int, console: Console) -> list[RenderableType]:
    """The summary is what a reader waited for: it is never cut, a narrow terminal gets further lines."""
    took = duration(state.seconds(now)) if state.seconds(now) >= 0.5 else ""
    room = max(8, width - _INDENT - (len(took) + 2 if took else 0))
    first, *rest = Text(neutral(state.summary)).wrap(console, room) or [Text()]
    if took:
        first.pad_right(room - first.cell_len)
        first.append(f"  {took}", style="dim")
    return [Text.assemble(head, first), *(Text.assemble(" " * _INDENT, line) for line in rest)]


def _facts(state: StageState, now: float) -> list[str]:
    facts = []
    if state.kept_share is not None:
        facts.append(f"kept {state.kept_share:.0%}")
    if state.last_step is not None and state.losses:
        facts.append(f"loss {state.losses[-1]:.3f}")
        facts.append(f"epoch {state.last_step.epoch:.1f}")
        facts.append(f"rate {state.last_step.learning_rate:.1e}")
        facts.append(f"gradient {state.last_step.grad_norm:.2f}")
        facts.append(f"{state.last_step.memory / 2**30:.1f} GiB")
    rate = state.tokens_per_second(now)
    if rate and rate >= 0.5:
        facts.append(f"{rate:,.0f} tok/s")
    return facts


def _loss(losses: Sequence[float], ascii_only: bool) -> Text:
    return Text(sparkline(losses, 20, ascii_only), style="cyan")


def _quoted(text: str, width: int, ascii_only: bool) -> Text:
    quotes = ('"', '"') if ascii_only else ("“", "”")
    shown = Text(neutral(text.strip()))
    shown.truncate(max(4, width - _INDENT - 2), overflow="ellipsis")
    return Text.assemble(" " * _INDENT, (quotes[0] + shown.plain + quotes[1], "italic"))


def _bar(share: float, width: int, ascii_only: bool) -> Text:
    full = round(share * width)
    signs = ("#", "-") if ascii_only else ("━", "─")
    return Text.assemble((signs[0] * full, "cyan"), (signs[1] * (width - full), "dim"))


def _fit(text: str, width: int) -> str:
    return set_cell_size(text, width) if len(text) < width else text


__all__ = ["RUN_STAGES", "LiveDisplay", "PlainLines", "funnel_text", "listener_for", "sparkline"]
