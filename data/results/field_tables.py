"""The tables of docs/fields.md from the records of runs. Nothing here runs a model."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data.results.fields import DIRECTIONS, KEPT, MODELS, SMOLLM2, TASKS
from data.results.gains import gain_text
from data.results.record import Record
from data.results.table import over_one_text, pooled, records
from selfguide_lite.evaluate.statistics import Interval, bootstrap, paired_gain, wilson
from selfguide_lite.experiments.tables import markdown_table

_NONE = "No run has been recorded yet; `python -m data.results.fields` makes the tables."
_METHODS = ("zero-shot constrained", "few-shot", "few-shot constrained", "finetuned constrained")
_TITLES = ("zero-shot, constrained", "few-shot, free text", "few-shot, constrained", "finetuned, constrained")


def tables(kept: Path = KEPT) -> str:
    """Return all tables of the page, in Markdown."""
    done = [one for one in records(kept) if "pairs" in one]
    if not done:
        return _NONE
    dates = sorted(one["date"] for one in done)
    settings = sorted({one["defaults_sha256"][:16] for one in done})
    models = {one["model"]: one["model_sha256"][:16] for one in done}
    lines = [
        f"Runs from {dates[0]} to {dates[-1]}, two CPU cores, other programs beside them. Settings and prompts: "
        f"{', '.join(f'`{one}…`' for one in settings)}.",
        f"Models: {', '.join(f'{name} `{digest}…`' for name, digest in models.items())}.",
        "",
        _pairs(done),
    ]
    scored = [one for one in done if "methods" in one]
    if scored:
        lines += ["", _scores(scored), "", _by_field(scored)]
    if both := _directions(scored):
        lines += ["", both]
    return "\n".join(lines)


def _grouped(done: Sequence[Record]) -> Iterator[tuple[str, str, str, list[Record]]]:
    """Yield the runs of several seeds together, with task, model and direction."""
    for task in TASKS:
        for model in MODELS.values():
            for direction in DIRECTIONS:
                key = (task, model, direction)
                if mine := [one for one in done if (one["task"], one["model"], one["direction"]) == key]:
                    yield (*key, mine)


def _seeds(runs: Sequence[Record]) -> str:
    return ", ".join(str(one["seed"]) for one in runs)


def _interval(found: Interval) -> str:
    return f"{100 * found.mean:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _pairs(done: Sequence[Record]) -> str:
    """Return what was kept of the written data, and how much of it is right as far as a program can tell."""
    rows = []
    for task, model, direction, runs in _grouped(done):
        pairs, right = (sum(one[name] for one in runs) for name in ("pairs", "right_pairs"))
        written = sum(one["inputs"] for one in runs)
        given, found = (sum(sum(one[name].values()) for one in runs) for name in ("given_values", "found_values"))
        rows.append(
            [
                task,
                model,
                direction,
                _seeds(runs),
                f"{written / len(runs):.0f}",
                f"{100 * np.mean([one['kept_share'] for one in runs]):.0f} %",
                f"{pairs / len(runs):.0f}",
                f"{right / len(runs):.0f}",
                f"{100 * right / max(1, written):.0f}",
                _interval(wilson(right, pairs)) if pairs else "",
                f"{given / max(1, pairs):.1f}",
                f"{100 * found / max(1, given):.1f}",
                f"{np.mean([one['seconds'] for one in runs]) / 60:.0f}",
            ]
        )
    head = (
        "task", "model", "direction", "seeds", "inputs", "kept", "pairs", "right pairs", "of 100 inputs",
        "of the pairs, %", "judged values a pair", "of them in the text, %", "minutes",
    )  # fmt: skip
    return markdown_table(head, rows)


def _rows(runs: Sequence[Record], method: str) -> list[float]:
    """Return each row's mean score over the seeds."""
    found = [one["methods"][method] for one in runs if method in one["methods"]]
    return np.mean([scores[: min(map(len, found))] for scores in found], axis=0).tolist() if found else []


def _scores(done: Sequence[Record]) -> str:
    """Return the field F1 of all methods, with the gain."""
    rows = []
    for task, _, direction, runs in _grouped(done):
        cells = []
        for method in _METHODS:
            scores = _rows(runs, method)
            exact = [one["fields"][method]["exact"] for one in runs if method in one["fields"]]
            cells.append(f"{_interval(bootstrap(scores))}, {100 * np.mean(exact):.0f}" if scores else "")
        held = [each["valid"] for one in runs for name, each in one["fields"].items() if name.endswith("constrained")]
        valid = f"{100 * min(held):.0f} %"
        rows.append(
            [task, direction, _seeds(runs), valid, *cells, gain_text(pooled(runs)), over_one_text(runs)],
        )
    head = ("task", "direction", "seeds", "valid", *_TITLES, "gain", "over one prompting")
    return markdown_table(head, rows)


def _by_field(done: Sequence[Record]) -> str:
    """Return the F1 of each field, of the best prompting by the means and of the finetuned model."""
    rows = []
    for task, _, direction, runs in _grouped(done):
        cells = []
        for name in runs[0]["fields"][_METHODS[-1]]["f1"]:
            before, after = (
                100 * np.mean([one["fields"][method]["f1"][name] for one in runs])
                for method in ("few-shot constrained", "finetuned constrained")
            )
            cells.append(f"{name} {before:.0f} → {after:.0f}")
        rows.append([task, direction, ", ".join(cells)])
    return markdown_table(("task", "direction", "F1 by field: few-shot constrained → finetuned"), rows)


def _directions(done: Sequence[Record]) -> str:
    """Return how the finetuned models of the two directions compare, on the seeds that both have."""
    rows = []
    for task in TASKS:
        mine = [one for one in done if one["task"] == task and one["model"] == SMOLLM2]
        seeds = set.intersection(*({one["seed"] for one in mine if one["direction"] == name} for name in DIRECTIONS))
        if not seeds:
            continue
        before, after = (
            _rows([one for one in mine if one["direction"] == name and one["seed"] in seeds], _METHODS[-1])
            for name in DIRECTIONS
        )
        n = min(len(before), len(after))
        gain = paired_gain(before[:n], after[:n])
        shown = ", ".join(map(str, sorted(seeds)))
        rows.append([task, shown, f"{100 * gain.before:.1f}", f"{100 * gain.after:.1f}", gain_text(gain)])
    head = ("task", "seeds", *DIRECTIONS, "difference")
    return markdown_table(head, rows) if rows else ""
