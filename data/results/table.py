"""docs/results.md from the records of runs. Nothing here runs a model."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.results import draws, stability, uneven
from data.results.gains import gain_text, paired
from data.results.plan import ANSWERS, BARE, DEFAULT, VARIANTS
from data.results.record import Record, read, scores
from selfguide_lite.evaluate.statistics import Gain, bootstrap, paired_gain
from selfguide_lite.evaluate.verdict import best_of
from selfguide_lite.experiments.tables import markdown_table
from selfguide_lite.methods.names import is_finetuned

_HALVINGS = 50
_BY_EYE = Path(__file__).parent / "by_eye.md"  # judgements that a person made
EARLIER_RUNS = Path(__file__).parent / "runs_q8_0"
_EARLIER = """### The same in Q8_0, until 2026-11-30

Default settings, tasks and seeds are those above. They hang on more than the settings: the program of that time, with
three passes on tweets, seed 1, had a gain of +13.3 (+9.3 to +17.3) over few-shot calibrated, and +4.7 (+1.0 to +8.7)
when it ran again on the machine of the table above ([eight bits](performance.md#eight-bits))."""
_CLASSIFICATION = (
    ("zero-shot scored", "zero-shot, scored"),
    ("zero-shot calibrated", "calibrated"),
    ("few-shot", "few-shot, free text"),
    ("few-shot scored", "scored"),
    ("few-shot calibrated", "calibrated"),
    ("finetuned", "finetuned, free text"),
    ("finetuned scored", "scored"),
    ("finetuned calibrated", "calibrated"),
)
_GENERATION = (("zero-shot", "zero-shot"), ("few-shot", "few-shot"), ("finetuned", "finetuned"))


def records(folder: Path) -> list[Record]:
    """Return all records, by file name."""
    return [read(path) for path in sorted(folder.glob("*.json"))]


def differences(done: Record) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return each row's score by prompting and by the finetuned model, both chosen on the other half of the rows.

    Which methods are chosen hangs on how the rows are halved, so a row's score is its mean over many halvings.
    """
    every = {name: scores(done, name) for name in done["methods"]}
    prompting = {name: values for name, values in every.items() if not is_finetuned(name)}
    finetuned = {name: values for name, values in every.items() if is_finetuned(name)}
    n = len(next(iter(every.values())))
    rng = np.random.default_rng(done["seed"])
    before, after = np.zeros(n), np.zeros(n)
    for _ in range(_HALVINGS):
        first = np.zeros(n, dtype=bool)
        first[rng.permutation(n)[: n // 2]] = True
        for half in (first, ~first):
            before[half] += np.asarray(prompting[best_of(prompting, ~half)])[half] / _HALVINGS
            after[half] += np.asarray(finetuned[best_of(finetuned, ~half)])[half] / _HALVINGS
    return before, after


def pooled(runs: Sequence[Record]) -> Gain:
    """Return the gain of several seeds' runs on the same rows: a row's difference is its mean over the seeds.

    So the interval says how far other rows could change the mean over these seeds; rows of several seeds are not
    counted as if they were different rows.
    """
    parts = [differences(done) for done in runs]
    return paired([before for before, _ in parts], [after for _, after in parts])


def over_one_prompting(runs: Sequence[Record]) -> tuple[str, Gain]:
    """Return the prompting with the highest mean over all rows and seeds, and the gain over it alone.

    It is chosen on the very rows, which favours prompting. Where several promptings are about as good, choosing on
    half the rows often takes another one than this, and the gain over what was chosen is larger than over this one.
    """
    names = [name for name in runs[0]["methods"] if all(name in one["methods"] for one in runs)]
    prompting = [name for name in names if not is_finetuned(name)]
    best = max(prompting, key=lambda name: np.mean([np.mean(scores(one, name)) for one in runs]))
    befores = [np.asarray(scores(one, best)) for one in runs]
    return best, paired(befores, [differences(one)[1] for one in runs])


def page(done: Iterable[Record], earlier: Iterable[Record] = ()) -> str:
    """Return docs/results.md.

    :param earlier: default runs on the shared tasks that were computed in weights of another type
    """
    runs = [one for one in done if "methods" in one]
    failed = [one for one in done if "error" in one]
    default = [one for one in runs if one["variant"] == DEFAULT and not one["told"]]
    dates = sorted(one["date"] for one in runs)
    lines = [
        "# Results",
        "",
        "Made by `make results`; every number comes from the records in `data/results/runs`. Do not edit by hand.",
        "",
    ]
    if not runs:
        return "\n".join([*lines, "No run has been recorded yet.", ""])
    lines += [
        f"- Model: SmolLM2-135M-Instruct, SHA-256 `{runs[0]['model_sha256'][:16]}…`. Two CPU cores, no GPU.",
        f"- Default settings and prompts: `{runs[0]['defaults_sha256'][:16]}…`, the same for all tasks.",
        f"- Runs from {dates[0]} to {dates[-1]}.",
        "- The order and rate of training and the size of rounds were chosen on sms-spam, the number of passes on sst2",
        "  and subj, on these rows and seeds, and confirmed on tweets and sms-spam. The recipe under them (chat turns,",
        "  calibration, agreement) had been tried on all four data sets before, with other seeds. No choice was",
        "  made on a benchmark task.",
        "- Weights: the type of the model's working copy that a run was computed with. Runs of before 2026-11-30, and",
        "  some of that day, are in Q8_0, whose kernels round to [eight bits](performance.md#eight-bits).",
        "- Minutes: in Q8_0 these databases were also trained and evaluated with three passes before, and other",
        "  programs ran beside many runs. Both count, so that a single run takes less than they say.",
        '  "-": it waited for other work.',
        "- Scores in percent: exact match for classification, ROUGE-L for generation.",
        "- Gain: of the finetuned model over the best prompting, both chosen on the other half of the rows, in points",
        "  with the 95 % interval of the paired difference, over 50 ways of halving. The verdict is the run's own,",
        "  with one way of halving. Several seeds: a row's difference is the mean over them.",
        "- Over one prompting: the same finetuned answers against the one prompting whose mean over all these rows and",
        "  seeds is highest. It is chosen on the rows it is scored on, which favours prompting: the stricter number.",
        "- One label for all: what the commonest label would have, answered to every row. Labels are taken to be",
        "  equally frequent; a prompting that answers one label throughout gains where the rows have more of it.",
        "- Extraction has [tables of its own](fields.md#measured).",
        "",
    ]
    for group, kind, title in (
        ("shared", "classification", "Classification: four data sets that people wrote"),
        ("benchmark", "classification", "Classification: Super-NaturalInstructions"),
        ("benchmark", "generation", "Generation: Super-NaturalInstructions"),
    ):
        chosen = [one for one in default if one["group"] == group and one["kind"] == kind]
        if chosen:
            lines += [f"## {title}", "", _summary(chosen, kind), "", _each(chosen), ""]
        if group == "shared" and (before := list(earlier)):
            lines += [_EARLIER, "", _summary(before, kind), "", _each(before), ""]
    lines += _answers_drawn(runs)
    lines += _ablations(runs)
    lines += draws.section(runs)
    lines += _bare(runs)
    lines += uneven.section(runs)
    lines += stability.section()
    lines += [_BY_EYE.read_text(encoding="utf-8")]
    if failed:
        lines += ["## Runs that ended without a model", ""]
        lines += [f"- {one['task']}, seed {one['seed']}, {one['variant']}: {one['error']}" for one in failed] + [""]
    return "\n".join(lines)


def headline(done: Iterable[Record]) -> str:
    """Return the few lines that the README shows: the default run on text that people wrote, all seeds together."""
    runs = [one for one in done if one.get("group") == "shared" and one["variant"] == DEFAULT and "methods" in one]
    runs = [one for one in runs if not one["told"]]
    if not runs:
        return "No run has been recorded yet; `make results` makes the table."
    rows = []
    for task in dict.fromkeys(one["task"] for one in runs):
        mine = [one for one in runs if one["task"] == task]
        gain = pooled(mine)
        before, after = f"{100 * gain.before:.1f}", f"{100 * gain.after:.1f}"
        seeds = ", ".join(str(one["seed"]) for one in mine)
        rows.append([task, seeds, before, after, gain_text(gain), over_one_text(mine)])
    head = ["task", "seeds", "best prompting", "finetuned", "gain, 95 % interval", "over one prompting"]
    table = markdown_table(head, rows)
    n = max(len(one["rights"]) for one in runs)
    return (
        f"SmolLM2-135M-Instruct on two CPU cores, four data sets that people wrote, {n} rows each, one default\n"
        "setting for all, exact match in percent. The best prompting is chosen among five, on other rows than it is\n"
        "scored on; the last column is over the one that is best on these very rows. Bold: the interval is off zero.\n"
        "The number of passes was chosen on sst2 and subj.\n"
        f"\n{table}"
    )


def _summary(runs: Sequence[Record], kind: str) -> str:
    columns = _CLASSIFICATION if kind == "classification" else _GENERATION
    rows = []
    for task in dict.fromkeys(one["task"] for one in runs):
        mine = [one for one in runs if one["task"] == task]
        means = [_mean(mine, name) for name, _ in columns]
        seeds = ", ".join(str(one["seed"]) for one in mine)
        kept = f"{100 * np.mean([one['kept_share'] for one in mine]):.0f} %"
        pairs = f"{np.mean([one['pairs'] for one in mine]):.0f}"
        cells = [task, seeds, kept, pairs]
        if kind == "classification":
            rights = mine[0]["rights"]
            cells.append(f"{100 * Counter(rights).most_common(1)[0][1] / len(rights):.1f}")
        rows.append([*cells, *means, gain_text(pooled(mine)), over_one_text(mine)])
    constant = ["one label for all"] if kind == "classification" else []
    head = ["task", "seeds", "kept", "pairs", *constant, *(title for _, title in columns), "gain", "over one prompting"]
    return markdown_table(head, rows)


def over_one_text(runs: Sequence[Record]) -> str:
    """Return the gain over the one prompting that is best on all rows, and its name, as a table has it."""
    best, gain = over_one_prompting(runs)
    return f"{gain_text(gain)}, {best}"


def _mean(runs: Sequence[Record], method: str) -> str:
    found = [float(np.mean(scores(one, method))) for one in runs if method in one["methods"]]
    return f"{100 * np.mean(found):.1f}" if found else ""


def _each(runs: Sequence[Record]) -> str:
    rows = []
    for one in runs:
        agreement = one["agreement"]
        agreed = f"{100 * agreement['observed']:.0f} ({100 * agreement['expected']:.0f})" if agreement else ""
        best = max((name for name in one["methods"] if is_finetuned(name)), key=lambda name: np.mean(scores(one, name)))
        interval = bootstrap(scores(one, best))
        # Unknown where the run did not have the machine for itself.
        minutes = "-" if one["seconds"] is None else f"{one['seconds'] / 60:.0f}"
        rows.append(
            [
                one["task"],
                str(one["seed"]),
                str(one["pairs"]),
                agreed,
                f"{best}: {100 * interval.mean:.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})",
                one["verdict"],
                minutes,
                one.get("computed_in", "Q8_0"),
            ]
        )
    head = ["task", "seed", "pairs", "agreement, % (by chance)", "best finetuned", "verdict", "minutes", "weights"]
    return markdown_table(head, rows)


def _answers_drawn(runs: Sequence[Record]) -> list[str]:
    drawn = [one for one in runs if one["group"] == "answers"]
    rows = []
    for one in drawn:
        same = [o for o in runs if o["group"] == "benchmark" and (o["task"], o["seed"]) == (one["task"], one["seed"])]
        greedy = [o for o in same if o["variant"] == DEFAULT]
        if greedy and one["variant"] in ANSWERS:
            gain = paired_gain(scores(greedy[0], "finetuned"), scores(one, "finetuned"))
            before, after = f"{100 * gain.before:.1f}", f"{100 * gain.after:.1f}"
            pairs = f"{greedy[0]['pairs']}, {one['pairs']}"
            rows.append([one["task"], one["variant"], pairs, before, after, gain_text(gain)])
    if not rows:
        return []
    head = ["task", "way", "pairs", "greedy answers", "this way", "difference"]
    settings = "; ".join(f"{name}: `{dict(values)}`" for name, values in ANSWERS.items())
    return [
        "## Generation: answers that were drawn, in place of greedy ones",
        "",
        "ROUGE-L of the finetuned model, seed 1, on the same inputs, with the paired 95 % interval. Ten answers were",
        f"drawn for each input. {settings}.",
        "",
        markdown_table(head, rows),
        "",
    ]


def _ablations(runs: Sequence[Record]) -> list[str]:
    changed = [one for one in runs if one["group"] == "ablation" and one["seed"] == 1]
    if not changed:
        return []
    tasks = list(dict.fromkeys(one["task"] for one in changed))
    same = [one for one in runs if one["group"] == "shared" and one["seed"] == 1 and not one["told"]]
    rows = []
    for variant in VARIANTS:
        cells = [variant]
        for task in tasks:
            mine = [one for one in [*same, *changed] if one["task"] == task and one["variant"] == variant]
            cells.append(f"{gain_text(pooled(mine))}, {mine[0]['pairs']} pairs" if mine else "")
        rows.append(cells)
    return [
        "## Without its parts",
        "",
        "Gain over the best prompting, seed 1.",
        "",
        markdown_table(["", *tasks], rows),
        "",
    ]


def _bare(runs: Sequence[Record]) -> list[str]:
    rows = []
    changed = [one for one in runs if one["variant"] in BARE]
    for name, variant in dict.fromkeys((one["task"], one["variant"]) for one in changed):
        mine = {one["seed"]: one for one in changed if (one["task"], one["variant"]) == (name, variant)}
        full = {
            one["seed"]: one
            for one in runs
            if (one["group"], one["task"], one["variant"]) == ("shared", name, DEFAULT) and not one["told"]
        }
        seeds = sorted(mine.keys() & full.keys())
        cells = [name, variant, ", ".join(map(str, seeds))]
        for method in ("finetuned scored", "finetuned calibrated"):
            if seeds and all(method in one[seed]["methods"] for one in (mine, full) for seed in seeds):
                gain = paired(*([np.asarray(scores(one[seed], method)) for seed in seeds] for one in (full, mine)))
                cells += [f"{100 * gain.before:.1f}", f"{100 * gain.after:.1f}", gain_text(gain)]
            else:  # too few inputs to calibrate by
                cells += ["", "", ""]
        cells.append(gain_text(pooled([mine[seed] for seed in seeds])) if seeds else "")
        rows.append(cells)
    if not rows:
        return []
    head = ["task", "prompt", "seeds", "scored: full", "bare", "difference"]
    head += ["calibrated: full", "bare", "difference", "bare's gain over the best prompting"]
    return [
        "## Bare prompts",
        "",
        "The finetuned model with the bare prompt against the one with the full prompt: the same inputs, exact match,",
        "with the paired 95 % interval; several seeds: a row's score is the mean over them. The bare prompt",
        "(`answer_style=bare`) is the instruction and the input, the bare system prompt (`answer_style=system`) the",
        "instruction as the system message and the input. As is usual, the model",
        "with the full prompt is the teacher: it answers all kept inputs, and the one with the bare prompt learns",
        "these, and with them the task's examples, each eight times an epoch. Without a teacher it learns the same",
        "pairs as the other model. The examples were tried on sms-spam first.",
        "",
        markdown_table(head, rows),
        "",
    ]
