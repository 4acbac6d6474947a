"""Reviewing in a terminal: one input at a time, a key for each verdict."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.text import neutral
from selfguide_lite.review.session import Said, Session, Shown

_KEYS = "a accept · r reject · e edit answer · i edit input · s skip · u undo · n noise term · q quit"


def review_in_terminal(
    session: Session,
    queue: Sequence[int],
    order: str,
    key: Callable[[], str],
    line: Callable[[str], str],
    console: Console,
) -> int:
    """Show each input and write down what the keys say, until the end or `q`; return how many were judged.

    What was skipped was not judged.

    :param order: why these inputs are shown
    :param key: waits for one key
    :param line: asks for a line of text
    """
    place = 0
    said: list[tuple[int, int, bool]] = []
    while place < len(queue):
        shown = session.shown(queue[place])
        if shown.review is not None:  # somebody else was quicker
            place += 1
            continue
        console.print(_panel(shown, session, place, len(queue)))
        pressed = key().lower()
        if pressed in ("q", "\x03", "\x04", "\x1b"):
            break
        if pressed == "u":
            if said:
                made, place, _ = said.pop()
                session.undo(made)
            continue
        try:
            if pressed == "n":
                _noise(session, line, console)
                continue
            verdict = _said(shown, session, order, pressed, line)
            if verdict is None:
                console.print(_KEYS, style="dim", markup=False)
                continue
            given = session.say(verdict)
        except SelfguideError as error:
            console.print(neutral(str(error)), style="red", markup=False)
            continue
        if given is not None:
            said.append((given, place, verdict.verdict != "skip"))
        place += 1
    return sum(judged for *_, judged in said)


def _said(shown: Shown, session: Session, order: str, pressed: str, line: Callable[[str], str]) -> Said | None:
    """Return the verdict that a key means; None where it means none."""
    item, labels = shown.item, session.task.labels
    if pressed == "a":
        return Said(item.id, "accept", queue=order)
    if pressed == "r":
        return Said(item.id, "reject", queue=order)
    if pressed == "s":
        return Said(item.id, "skip", queue=order)
    if pressed == "e":
        return Said(item.id, "edit", answer=line("The right answer"), queue=order)
    if pressed == "i":
        text = line("The input as it should be")
        answer = item.answer or line("Its answer")
        return Said(item.id, "edit", input=text, answer=answer, queue=order)
    if pressed.isdigit() and 1 <= int(pressed) <= len(labels):
        return Said(item.id, "edit", answer=labels[int(pressed) - 1], queue=order)
    return None


def _noise(session: Session, line: Callable[[str], str], console: Console) -> None:
    term = line("Reject all texts that contain")
    found = session.would_drop(term)
    console.print(f"It would drop {found.texts:,} more texts, {found.pairs:,} of them pairs.")
    for text in found.examples:
        console.print(f"- {neutral(text)[:200]}", markup=False, highlight=False)
    if line("Add it? (y/n)").strip().lower() in ("y", "yes"):
        session.add_noise(term)


def _panel(shown: Shown, session: Session, place: int, total: int) -> Panel:
    item = shown.item
    body = Text(neutral(item.text, keep_lines=True) + "\n\n")
    why = "kept" if item.reason is None else f"dropped: {item.reason} ({neutral(item.detail or '')})"
    body.append(f"{why}{'' if item.asked is None else f'; asked for {neutral(item.asked)}'}\n", "dim")
    sure = "" if item.confidence is None else f", {item.confidence:.0%} sure"
    body.append(f"answer: {neutral(item.answer or 'none', keep_lines=True)}{sure}\n", "bold")
    if len(shown.shares) > 1:
        body.append("  ".join(f"{neutral(answer)} {share:.0%}" for answer, share in shown.shares[:9]) + "\n", "dim")
    for number, label in enumerate(session.task.labels[:9], 1):
        body.append(f"{number} {neutral(label)}  ")
    body.append(f"\n{_KEYS}", "dim")
    return Panel(body, title=f"{place + 1} of {total}, {session.done()} reviewed", title_align="right")
