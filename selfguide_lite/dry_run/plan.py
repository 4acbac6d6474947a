"""Shows what a dry run worked out."""

from textwrap import indent

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from selfguide_lite.core.text import duration, neutral, size
from selfguide_lite.dry_run import DryRun


def plan_view(plan: DryRun) -> Group:
    """Return the prompts in full, then the table of what a run would cost."""
    parts: list[RenderableType] = []
    for stage in plan.stages:
        for title, messages, tokens in stage.prompts:
            parts.append(Text(f"{stage.stage}, {title}: {tokens} tokens", style="bold"))
            for message in messages:
                parts.append(Text(f"  {message.role}:", style="cyan"))
                parts.append(Text(indent(neutral(message.content, keep_lines=True), "    ")))
            parts.append(Text(""))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stage")
    for heading in ("requests", "answers each", "time", "disk"):
        table.add_column(heading, justify="right")
    for stage in plan.stages:
        took = "" if stage.seconds is None else f"about {duration(stage.seconds)}"
        requests, samples = (f"{stage.requests:,}", f"{stage.samples:,}") if stage.stage != "train" else ("", "")
        table.add_row(stage.stage, requests, samples, took, size(stage.bytes))
    table.add_row("all", "", "", f"about {duration(plan.seconds)}", size(plan.bytes), style="bold")
    parts.append(table)
    parts.append(Text(""))
    parts.append(Text(neutral(f"Model: {plan.model}, {plan.n_ctx} tokens of context"), style="dim"))
    if plan.untrainable is not None:
        parts.append(Text(neutral(f"This model cannot be finetuned: {plan.untrainable}"), style="red"))
        parts.append(Text("Only the data can be made with it: run --no-train.", style="red"))
    parts += [Text(note[:1].upper() + note[1:] + ".", style="dim") for note in plan.notes]
    parts.append(Text("Nothing was written.", style="dim"))
    return Group(*parts)
