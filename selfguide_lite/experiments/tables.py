"""Results as plain text for a terminal and as Markdown for a README. Texts from models are made harmless here."""

from collections.abc import Mapping, Sequence

from selfguide_lite.core.text import neutral
from selfguide_lite.evaluate.battery import Measurement
from selfguide_lite.evaluate.by_field import scores_by_method
from selfguide_lite.evaluate.evaluation import Change, Evaluation, form_share, macro_f1_of, recall_of
from selfguide_lite.evaluate.statistics import Gain
from selfguide_lite.evaluate.verdict import MIN_ROWS, Verdict
from selfguide_lite.experiments.compared import Compared, Comparison
from selfguide_lite.experiments.iterations import Rounds
from selfguide_lite.experiments.search import Found
from selfguide_lite.methods.names import FINETUNED, parts

_LONGEST = 100
_WORST = 2  # fields whose wrong values are shown


def percent(share: float) -> str:
    """Return a share of 1 as a percentage: 47.3 %."""
    return f"{100 * share:.1f} %"


def points(gain: Gain) -> str:
    """Return a gain with its 95 % interval in percentage points: +4.7 (+1.0 to +8.3)."""
    return f"{100 * gain.gain:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def scores(evaluation: Evaluation) -> str:
    """Return a mean with its 95 % interval: 47.3 % (41.7 to 53.0)."""
    return f"{percent(evaluation.mean)} ({100 * evaluation.low:.1f} to {100 * evaluation.high:.1f})"


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in columns; the first is flush left, the others flush right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), "  ".join("-" * width for width in widths), *map(line, rows)])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def methods_text(measured: Measurement) -> str:
    """Return all methods of a measurement as a table, and below it the result of the comparison."""
    task = measured.task
    lines = []
    if measured.evaluations:
        one = next(iter(measured.evaluations.values()))
        head = ["method", one.metric, "95 % interval"]
        if task.rules.labelled:
            head += ["macro-F1", "in form"]
        by_field = scores_by_method(task, list(measured.evaluations.values()))
        if by_field:
            head += ["micro-F1", "exact", "valid"]
        rows = []
        for name, evaluation in measured.evaluations.items():
            row = [name, percent(evaluation.mean), f"{100 * evaluation.low:.1f} to {100 * evaluation.high:.1f}"]
            if task.rules.labelled:
                # Scores give a label by themselves; in free text that must be learnt.
                form = percent(form_share(task, evaluation)) if parts(name)[1] == "free" else ""
                row += [f"{100 * macro_f1_of(task, evaluation):.1f}", form]
            if by_field:
                scores_ = by_field[name]
                row += [f"{100 * scores_.micro:.1f}", percent(scores_.exact), percent(scores_.valid)]
            rows.append(row)
        lines += [f"{neutral(task.name)}: {len(one.scores)} evaluation rows", "", text_table(head, rows), ""]
    lines.append(measured.verdict.sentence)
    return "\n".join(lines)


def recalls_text(measured: Measurement) -> str:
    """Return for every method how many of each label's rows it finds."""
    names = measured.evaluations
    found = {name: recall_of(measured.task, evaluation) for name, evaluation in names.items()}
    labels = [label for label in measured.task.labels if any(label in recalls for recalls in found.values())]
    rows = [
        [name, *(percent(recalls[label]) if label in recalls else "" for label in labels)]
        for name, recalls in found.items()
    ]
    return text_table(["recall by label", *map(neutral, labels)], rows)


def fields_text(measured: Measurement) -> str:
    """Return for every method the F1 of each field, and what goes wrong in the last method's worst fields."""
    by_field = scores_by_method(measured.task, list(measured.evaluations.values()))
    names = [one.name for one in next(iter(by_field.values())).fields]
    rows = [[method, *(f"{100 * one.count.f1:.1f}" for one in scores_.fields)] for method, scores_ in by_field.items()]
    lines = [text_table(["F1 by field", *map(neutral, names)], rows)]
    method, last = list(by_field.items())[-1]
    for one in last.worst[:_WORST]:
        lines.append(f"\n{neutral(one.name)}, {method}: F1 {100 * one.count.f1:.1f}")
        lines += [
            f"  {_short(miss.given) or 'nothing'} where {_short(miss.wanted)} is right: {_short(miss.input)}"
            for miss in one.misses
        ]
    return "\n".join(lines)


def untested_advice(verdict: Verdict, task_file: str) -> str | None:
    """Return what would test a finetuned model that was not tested; None where it was.

    :param task_file: as it was given on the command line
    """
    if verdict.tested:
        return None
    how = f"name a file of {MIN_ROWS} rows or more as `eval:` in the task file"
    return f"To test it: {how}, then `selfguide evaluate {task_file}`"


def comparison_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of a comparison's table."""
    head = ["method", "pairs", comparison.lines[0].evaluation.metric, "95 % interval"]
    labels = any(line.macro_f1 is not None for line in comparison.lines)
    head += ["macro-F1"] if labels else []
    head.append(f"gain over {comparison.over}")
    rows = []
    for line in comparison.lines:
        evaluation = line.evaluation
        gain = points(line.gain) if line.gain else "best prompting" if line.method == comparison.over else ""
        if line.same_as:
            gain += f" (same pairs as {line.same_as})"
        interval = f"{100 * evaluation.low:.1f} to {100 * evaluation.high:.1f}"
        pairs = "" if line.pairs is None else str(line.pairs)
        macro = [f"{100 * line.macro_f1:.1f}" if line.macro_f1 is not None else ""] if labels else []
        rows.append([line.method, pairs, percent(evaluation.mean), interval, *macro, gain])
    return head, rows


def comparisons_markdown(comparisons: Sequence[Comparison]) -> str:
    """Return several tasks' comparisons as one Markdown table: a line for each method, a column for each task.

    A cell is the score and the gain over the task's best prompting in percentage points, bold where the 95 % interval
    of the paired gain leaves out zero; `=` marks the very same pairs as SELF-GUIDE's own, or as those of the method
    named.
    """
    methods = list(dict.fromkeys(line.method for comparison in comparisons for line in comparison.lines))
    rows = []
    for method in methods:
        cells = [method]
        for comparison in comparisons:
            try:
                cells.append(_cell(comparison.line(method)))
            except KeyError:
                cells.append("")
        rows.append(cells)
    return markdown_table(["method", *(neutral(comparison.task) for comparison in comparisons)], rows)


def _cell(line: Compared) -> str:
    score = f"{100 * line.evaluation.mean:.1f}"
    if line.gain is None:
        return score
    gain = f"{100 * line.gain.gain:+.1f}"
    clear = line.gain.low > 0 or line.gain.high < 0
    same = {None: "", FINETUNED: " ="}.get(line.same_as, f" = {line.same_as}")
    return f"{score} ({f'**{gain}**' if clear else gain}){same}"


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as a table with what was left out below it."""
    n = len(comparison.lines[0].evaluation.scores)
    title = f"{neutral(comparison.task)}: {n} evaluation rows, seed {comparison.seed}"
    left_out = [f"left out: {method}: {neutral(reason)}" for method, reason in comparison.skipped]
    lines = [title, "", text_table(*comparison_rows(comparison)), *left_out]
    if comparison.verdict:
        lines += ["", comparison.verdict.sentence]
        if comparison.verdict.gain:
            lines.append("(The verdict is cross-fitted; a line's gain is its plain difference to the best prompting.)")
    return "\n".join(lines)


def _found_rows(found: Found) -> tuple[list[list[str]], list[list[str]]]:
    """Return the trials, the best first, and the chosen setting's scores."""
    trials = [
        [str(trial.candidate), "failed" if trial.failures else f"{100 * trial.worst:+.1f}", neutral(trial.worst_task)]
        for trial in sorted(found.trials, key=lambda trial: -trial.worst)
    ]
    scored = [
        [neutral(name), gain.metric, str(gain.n), gain.over, percent(gain.before), percent(gain.after), points(gain)]
        for name, gain in found.scores.items()
    ]
    return trials, scored


_TRIALS = ("setting, tried on the validation rows", "worst gain", "on task")
_SCORED = ("task", "metric", "rows", "over", "best prompting", "finetuned", "gain")


def _chosen(found: Found) -> str:
    tried = f"{len(found.trials)} tried of {found.grid}"
    return f"Chosen ({tried}): {found.best.candidate}. On the rows that did not choose:"


def found_text(found: Found) -> str:
    """Return a search as a table of its trials, the best first, and the chosen setting's scores."""
    trials, scored = _found_rows(found)
    return "\n\n".join([text_table(_TRIALS, trials), _chosen(found), text_table(_SCORED, scored)])


def found_markdown(found: Found) -> str:
    """Return a search as two Markdown tables."""
    trials, scored = _found_rows(found)
    return "\n\n".join([markdown_table(_TRIALS, trials), _chosen(found), markdown_table(_SCORED, scored)])


def rounds_text(done: Rounds) -> str:
    """Return the rounds as a table, and the best one's gain and files."""
    rows = [
        [str(one.number), str(one.pairs), percent(one.rise.after), points(one.rise), "best" if one is done.best else ""]
        for one in done.rounds
    ]
    scored = [[name, percent(mean)] for name, mean in done.means.items()]
    return "\n".join(
        [
            text_table(["round", "pairs", "validation", "rise", ""], rows),
            "",
            text_table([f"round {done.best.number} on the {done.verdict.n} other rows", done.verdict.metric], scored),
            "",
            done.verdict.sentence,
            f"model    {done.best.model}",
            f"adapter  {done.best.adapter}",
        ]
    )


def confusion_text(counts: Mapping[tuple[str, str | None], int], labels: Sequence[str]) -> str:
    """Return a confusion matrix: a line for each right label, a column for each answer."""
    right = list(dict.fromkeys([*labels, *(label for label, _ in counts)]))
    answered: list[str | None] = list(labels)
    if any(label is None for _, label in counts):
        answered.append(None)
    head = ["right \\ answered", *(neutral(label) if label is not None else "(no label)" for label in answered)]
    rows = [[neutral(label), *(str(counts.get((label, answer), 0)) for answer in answered)] for label in right]
    return text_table(head, rows)


def change_lines(change: Change) -> list[str]:
    """Return one changed example as indented lines."""
    return [
        f"  input:  {_short(change.input)}",
        f"  right:  {_short(change.references[0])}",
        f"  before: {_short(change.before)}  ({change.score_before:.2f})",
        f"  after:  {_short(change.after)}  ({change.score_after:.2f})",
    ]


def _short(text: str) -> str:
    shown = neutral(text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
