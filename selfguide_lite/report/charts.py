"""The report's charts, made with plotly, each with a caption and its numbers as a table. Knows nothing of HTML."""

import html
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.text import neutral
from selfguide_lite.methods.names import is_finetuned
from selfguide_lite.report.facts import Facts, Lengths
from selfguide_lite.report.funnel import funnel_stages, outcome, parts

# Middle tones with enough contrast on white and on near-black.
KEPT, DROPPED, SEED, PLAIN = "#1f8a7d", "#cf6a12", "#3b7ddd", "#7d8590"


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure.

    :param name: an id in the page
    :param caption: what it shows, with its main numbers: the text alternative
    :param figure: plotly's JSON
    :param columns: headings of the table of its numbers
    """

    name: str
    title: str
    caption: str
    figure: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def charts(facts: Facts) -> list[Chart]:
    """Return the charts for which there is data.

    :raises SelfguideError: where plotly is not installed
    """
    try:
        import plotly.graph_objects
    except ImportError as error:
        raise SelfguideError("the report needs plotly: pip install 'selfguide-lite[report]'") from error
    go = plotly.graph_objects
    made = [_scores(go, facts), _funnel(go, facts)]
    made += [_lengths(go, lengths) for lengths in facts.lengths]
    made += [_votes(go, facts), _labels(go, facts), _loss(go, facts)]
    return [chart for chart in made if chart is not None]


def label_text(text: str, longest: int = 40) -> str:
    """Return a text as a chart may show it: plotly reads its labels as HTML."""
    shown = neutral(text)
    return html.escape(shown if len(shown) <= longest else shown[: longest - 1] + "…")


def _figure(go: Any, traces: Sequence[Any], titles: tuple[str, str], height: int, layout: Mapping[str, Any]) -> str:
    """Return a figure as JSON.

    :param titles: of the x axis and the y axis
    :param height: in pixels
    :param layout: what differs from the layout that all figures have
    """
    axis = {"automargin": True, "zeroline": False}
    x_axis = {**axis, "title": {"text": titles[0]}, **layout.get("xaxis", {})}
    y_axis = {**axis, "title": {"text": titles[1]}, **layout.get("yaxis", {})}
    base: dict[str, Any] = {
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "traceorder": "normal", "y": 1.02, "yanchor": "bottom", "x": 0},
        "bargap": 0.25,
        "template": None,
        **layout,
        "xaxis": x_axis,
        "yaxis": y_axis,
    }
    # NaN would be no JSON, and angle brackets could end the script element that holds this.
    text = json.dumps(json.loads(go.Figure(list(traces), base).to_json()), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _scores(go: Any, facts: Facts) -> Chart | None:
    latest = facts.evaluations
    if not latest:
        return None
    names = [label_text(row.method) for row in latest]
    bars = go.Bar(
        x=[100 * row.mean for row in latest],
        y=names,
        orientation="h",
        marker={"color": [KEPT if is_finetuned(row.method) else PLAIN for row in latest]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [100 * (row.high - row.mean) for row in latest],
            "arrayminus": [100 * (row.mean - row.low) for row in latest],
        },
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )
    told = "; ".join(f"{row.method} {_percent(row.mean)}" for row in latest)
    return Chart(
        "scores",
        "Scores by method",
        f"Mean {latest[-1].metric} with 95 % intervals: {told}.",
        _figure(
            go,
            [bars],
            (f"{latest[-1].metric}, %", ""),
            90 + 45 * len(latest),
            {"xaxis": {"range": [0, 102]}, "yaxis": {"autorange": "reversed"}},
        ),
        ("method", "metric", "examples", "mean", "95 % interval", *(["macro-F1"] if facts.macro_f1 else [])),
        tuple(
            (
                row.method,
                row.metric,
                str(len(row.scores)),
                _percent(row.mean),
                f"{_percent(row.low)} to {_percent(row.high)}",
                *([f"{100 * facts.macro_f1[row.method]:.1f}"] if facts.macro_f1 else []),
            )
            for row in latest
        ),
    )


def _funnel(go: Any, facts: Facts) -> Chart | None:
    stages = [stage for stage in funnel_stages(facts.funnel) if stage.entered]
    if not stages:
        return None
    names = [stage.name for stage in stages]
    shares = {
        "kept": [stage.kept for stage in stages],
        "dropped": [sum(n for _, n in stage.dropped) for stage in stages],
        "unanswered": [stage.waiting for stage in stages],
    }
    why = [[f"{label_text(outcome(reason))} {n:,}" for reason, n in stage.dropped] for stage in stages]
    traces = [
        go.Bar(
            name=name,
            x=[100 * n / stage.entered for n, stage in zip(counts, stages, strict=True)],
            y=names,
            orientation="h",
            marker={"color": colour},
            hovertext=["<br>".join(lost) for lost in why]
            if name == "dropped"
            else [f"{name} {n:,} of {stage.entered:,}" for n, stage in zip(counts, stages, strict=True)],
            hoverinfo="text",
        )
        for (name, counts), colour in zip(shares.items(), (KEPT, DROPPED, PLAIN), strict=True)
        if any(counts)
    ]
    told = "; ".join(f"{stage.name}: {', '.join(parts(stage))}" for stage in stages)
    rows = [
        (stage.name, outcome(reason), f"{n:,}", _percent(n / stage.entered))
        for stage in stages
        for reason, n in (("kept", stage.kept), *stage.dropped, ("unanswered", stage.waiting))
        if n
    ]
    return Chart(
        "funnel",
        "From prompts sent to pairs kept",
        f"{told}.",
        _figure(
            go,
            traces,
            ("share of what entered the stage, %", ""),
            110 + 45 * len(stages),
            {"barmode": "stack", "xaxis": {"range": [0, 100]}, "yaxis": {"autorange": "reversed"}},
        ),
        ("stage", "what became of them", "texts", "share of what entered"),
        tuple(rows),
    )


def _lengths(go: Any, lengths: Lengths) -> Chart | None:
    everything = lengths.kept + lengths.dropped
    if not everything:
        return None
    bound = lengths.bound
    top = max(*everything, *lengths.seed, round(bound.high) if bound else 0)
    shown = _at(everything, int(0.99 * (everything.total() - 1)))  # a few endless texts would flatten the rest
    reach = min(top, max(shown, *lengths.seed, round(bound.high) if bound else 0)) * 1.05 + 1
    width = max(1, round(reach / 40))
    bins = {"start": 0, "end": reach + width, "size": width}
    traces = [
        go.Histogram(
            x=sorted(values),
            y=[values[length] for length in sorted(values)],
            histfunc="sum",
            name=name,
            xbins=bins,
            marker={"color": colour},
            opacity=0.9,
        )
        for name, values, colour in (("kept", lengths.kept, KEPT), ("dropped", lengths.dropped, DROPPED))
    ]
    traces.append(
        go.Scatter(
            x=lengths.seed,
            y=[0] * len(lengths.seed),
            mode="markers",
            name="seed examples",
            marker={"color": SEED, "size": 13, "symbol": "diamond"},
            cliponaxis=False,
        )
    )
    shapes = []
    in_force = "The length filter is off."
    if bound is not None and bound.enabled:
        in_force = f"Kept are lengths between {max(0.0, bound.low):.1f} and {bound.high:.1f} (the dashed lines)."
        shapes = [
            {
                "type": "line",
                "x0": x,
                "x1": x,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"dash": "dash", "color": SEED},
            }
            for x in (max(0.0, bound.low), bound.high)
        ]
    rows = []
    for name, values in (
        ("seed examples", Counter(lengths.seed)),
        ("kept", lengths.kept),
        ("dropped", lengths.dropped),
    ):
        if n := values.total():
            rows.append((name, f"{n:,}", str(min(values)), str(_at(values, n // 2)), str(max(values))))
    return Chart(
        f"lengths-{lengths.part}",
        f"Lengths of the {lengths.part}s",
        f"{lengths.kept.total():,} {lengths.part}s kept and {lengths.dropped.total():,} dropped, by length in "
        f"characters. {in_force} Seed examples: {', '.join(map(str, lengths.seed[:12]))}.",
        _figure(
            go,
            traces,
            ("characters", "texts"),
            320,
            {
                "barmode": "stack",
                "shapes": shapes,
                "xaxis": {"range": [0, reach]},
                "yaxis": {"rangemode": "tozero"},
                "bargap": 0.05,
            },
        ),
        ("texts", "number", "shortest", "median", "longest"),
        tuple(rows),
    )


def _at(counts: Counter[int], place: int) -> int:
    """Return the value at a place, from 0, where all values stand in order, each as often as it occurs."""
    ordered = sorted(counts)
    return ordered[bisect_right(list(accumulate(counts[value] for value in ordered)), place)]


def _votes(go: Any, facts: Facts) -> Chart | None:
    shares = facts.shares
    if not shares.n:
        return None
    bins = {"start": 0, "end": 100, "size": 5}
    trace = go.Histogram(
        x=[5 * step + 2.5 for step in range(len(shares.steps))],
        y=shares.steps,
        histfunc="sum",
        xbins=bins,
        marker={"color": KEPT},
        name="inputs",
    )
    line = {"dash": "dash", "color": SEED}
    x = 100 * facts.min_vote_share
    counts = [sum(shares.steps[first : first + 4]) for first in range(0, 20, 4)]
    return Chart(
        "votes",
        "How sure the answers are",
        f"Share of the votes (calibrated where that is on) that each input's answer has: over 90 % for "
        f"{shares.sure:,} of {shares.n:,} inputs; "
        f"{shares.under:,} stay under the least share of {facts.min_vote_share:.0%} (the dashed line).",
        _figure(
            go,
            [trace],
            ("share of the votes, %", "inputs"),
            300,
            {
                "xaxis": {"range": [0, 102]},
                "bargap": 0.05,
                "shapes": [{"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}],
            },
        ),
        ("share of the votes", "inputs"),
        tuple((f"{low} to {low + 20} %", f"{n:,}") for low, n in zip(range(0, 100, 20), counts, strict=True)),
    )


def _labels(go: Any, facts: Facts) -> Chart | None:
    labels = facts.labels
    if labels is None:
        return None
    names = [label_text(name) for name in labels.names]
    kinds = (
        ("asked for", labels.asked, PLAIN),
        ("answered", labels.voted, SEED),
        ("in the dataset", labels.dataset, KEPT),
    )
    traces = [go.Bar(name=name, x=names, y=values, marker={"color": colour}) for name, values, colour in kinds]
    told = ", ".join(f"{neutral(name)} {n:,}" for name, n in zip(labels.names, labels.dataset, strict=True))
    return Chart(
        "labels",
        "Balance of the labels",
        f"Pairs in the dataset: {told}. A label is asked for while inputs are written; the answer decides, "
        "and where agreement is asked for, inputs with another answer are dropped.",
        _figure(go, traces, ("", "inputs"), 320, {"barmode": "group", "xaxis": {"type": "category"}}),
        ("label", "asked for", "answered", "in the dataset"),
        tuple(
            (name, f"{a:,}", f"{v:,}", f"{d:,}")
            for name, a, v, d in zip(labels.names, labels.asked, labels.voted, labels.dataset, strict=True)
        ),
    )


def _loss(go: Any, facts: Facts) -> Chart | None:
    steps = [step for step in facts.steps if step.loss == step.loss]
    if not steps:
        return None
    trace = go.Scatter(
        x=[step.step for step in steps],
        y=[step.loss for step in steps],
        mode="lines" if len(steps) > 60 else "lines+markers",
        line={"color": KEPT},
        name="loss",
    )
    every = max(1, len(steps) // 10)
    told = [*steps[:-1:every], steps[-1]]
    return Chart(
        "loss",
        "Loss of the finetune",
        f"Mean cross-entropy of the answers' tokens over {len(steps):,} steps: from {steps[0].loss:.3f} to "
        f"{steps[-1].loss:.3f}.",
        _figure(go, [trace], ("step", "loss"), 300, {"yaxis": {"rangemode": "tozero"}}),
        ("step", "epoch", "loss", "learning rate", "tokens per second"),
        tuple(
            (str(s.step), f"{s.epoch:.2f}", f"{s.loss:.4f}", f"{s.learning_rate:.2e}", f"{s.tokens_per_second:,.0f}")
            for s in told
        ),
    )
