"""The part of docs/results.md on shared draws: prompts that show the same inputs, against draws of their own."""

from collections.abc import Sequence

import numpy as np

from data.results.gains import gain_text, paired
from data.results.plan import DEFAULT, OWN_DRAWS
from data.results.record import VARIED, Record, scores
from selfguide_lite.experiments.tables import markdown_table

_METHOD = "finetuned scored"


def section(runs: Sequence[Record]) -> list[str]:
    """Return the lines of the results' page; none where no run had draws of its own."""
    rows = []
    for task in dict.fromkeys(one["task"] for one in runs if one["variant"] == OWN_DRAWS):
        mine = [one for one in runs if one["task"] == task and one["group"] in ("shared", "ablation")]
        own = {one["seed"]: one for one in mine if one["variant"] == OWN_DRAWS}
        shared = {one["seed"]: one for one in mine if one["variant"] == DEFAULT}
        seeds = sorted(own.keys() & shared.keys())
        if not seeds:
            continue
        both = [[found[seed] for seed in seeds] for found in (shared, own)]
        befores, afters = ([np.asarray(scores(one, _METHOD)) for one in part] for part in reversed(both))
        gain = paired(befores, afters)
        cells = [task, ", ".join(map(str, seeds))]
        cells += [_both(both, "pairs", "{:.0f}", 1)]
        cells += [_both(both, name, "{:.0f} %", 100) for name in ("kept_share", "duplicates", "distinct_2")]
        rows.append([*cells, f"{100 * gain.after:.1f}, {100 * gain.before:.1f}", gain_text(gain)])
    if not rows:
        return []
    return [
        "## Shared draws",
        "",
        "Twenty prompts show the same inputs in the same order, so that the engine reads them once (the default);",
        "beside it runs in which every prompt draws its own (`prompts_per_draw=1`). First the default, then the other.",
        f"Distinct pairs: the share of distinct ones among the pairs of neighbouring words in the first {VARIED} kept",
        "inputs (distinct-2, [arXiv 1510.03055](https://arxiv.org/abs/1510.03055)). Finetuned: exact match by label",
        "scores; the difference is what shared draws gain, with the paired 95 % interval over rows. Where there is one",
        "seed it tells two models apart, not yet two ways of drawing.",
        "",
        markdown_table(
            ["task", "seeds", "pairs", "kept", "duplicates", "distinct pairs", "finetuned", "difference"], rows
        ),
        "",
    ]


def _both(parts: Sequence[Sequence[Record]], name: str, form: str, times: int) -> str:
    """Return a number's means over the seeds in both ways of drawing."""
    told = []
    for runs in parts:
        values = [one.get(name) for one in runs]
        known = [float(value) for value in values if value is not None]
        told.append(form.format(times * np.mean(known)) if len(known) == len(values) else "?")
    return ", ".join(told)
