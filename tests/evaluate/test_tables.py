"""Results as text: readable, and harmless whatever a model or a task's name holds."""

from pathlib import Path

from selfguide_lite.core.resources import resource
from selfguide_lite.evaluate import Evaluation, Gain, Measurement, Verdict
from selfguide_lite.evaluate.evaluation import Change
from selfguide_lite.experiments.comparison import Compared, Comparison
from selfguide_lite.experiments.iterations import Iteration, Rounds
from selfguide_lite.experiments.search import Candidate, Found, Trial
from selfguide_lite.experiments.tables import (
    change_lines,
    comparison_text,
    comparisons_markdown,
    confusion_text,
    found_markdown,
    found_text,
    methods_text,
    recalls_text,
    rounds_text,
    text_table,
    untested_advice,
)
from selfguide_lite.store import Prediction
from selfguide_lite.task import load_task


def evaluation(method, mean):
    return Evaluation(1, method, "exact match", [mean] * 300, mean, mean - 0.05, mean + 0.05, ())


def gain(before, after, half):
    return Gain("exact match", 300, "few-shot calibrated", before, after, after - before - half, after - before + half)


COMPARISON = Comparison(
    "mo\x1b[31mod",
    Path("run.db"),
    42,
    (
        Compared("few-shot", None, evaluation("few-shot", 0.3), None, macro_f1=0.2),
        Compared("few-shot calibrated", None, evaluation("few-shot calibrated", 0.5), None, macro_f1=0.4),
        Compared("finetuned", 280, evaluation("finetuned", 0.75), gain(0.5, 0.75, 0.05), macro_f1=0.7),
        Compared("no noise filter", 280, evaluation("no noise filter", 0.75), gain(0.5, 0.75, 0.05), "finetuned"),
        Compared("sampled answers", 90, evaluation("sampled answers", 0.6), gain(0.5, 0.6, 0.05)),
        Compared("no self-consistency", 90, evaluation("x", 0.6), gain(0.5, 0.6, 0.05), "sampled answers"),
        Compared("random labels", 280, evaluation("random labels", 0.48), gain(0.5, 0.48, 0.05)),
    ),
    (("self-icl", "no room"),),
    "few-shot calibrated",
    Verdict("exact match", 300, "Better than every prompting tried: +24.0 points", gain(0.5, 0.74, 0.05), "finetuned"),
)


def test_comparison():
    text = comparison_text(COMPARISON)
    assert "\x1b" not in text
    assert "left out: self-icl: no room" in text.splitlines()
    assert text.splitlines()[-2] == "Better than every prompting tried: +24.0 points"
    columns = text.splitlines()[2:11]
    assert len({len(line) for line in [*columns[:2], *columns[3:]]}) == 1
    assert columns[0].endswith("gain over few-shot calibrated") and columns[3].endswith("best prompting")
    told = "finetuned 280 75.0 % 70.0 to 80.0 70.0 +25.0 (+20.0 to +30.0)"
    assert " ".join(columns[4].split()) == told
    assert "+25.0 (+20.0 to +30.0) (same pairs as finetuned)" in columns[5]


def test_methods_side_by_side():
    task = load_task(resource("tests/tiny_tasks/cheer-or-grumble.yaml")).model_copy(update={"name": "mo\x1b[31mod"})
    rights = [task.labels[place % 2] for place in range(4)]
    texts = {"few-shot": [f"It is {rights[0]}.", rights[0], "?", rights[0]], "few-shot scored": rights}
    made = {}
    for method, answers in texts.items():
        kept = tuple(
            Prediction(place, f"row {place}", (right,), text, float(right in text))
            for place, (right, text) in enumerate(zip(rights, answers, strict=True))
        )
        scores = [one.score for one in kept]
        mean = sum(scores) / 4
        made[method] = Evaluation(1, method, "exact match", scores, mean, mean - 0.1, mean + 0.1, kept)
    verdict = Verdict("exact match", 4, "Not measured: 4 evaluation rows cannot tell", None, "few-shot scored")
    text = methods_text(Measurement(task, made, verdict))
    assert "\x1b" not in text and text.splitlines()[-1].startswith("Not measured")
    lines = [line.split() for line in text.splitlines()]
    # The first label's F1 is 2/5, the other's 0; two of the four free answers are a label and nothing else.
    assert lines[4] == ["few-shot", "25.0", "%", "15.0", "to", "35.0", "20.0", "50.0", "%"]
    assert lines[5] == ["few-shot", "scored", "100.0", "%", "90.0", "to", "110.0", "100.0"]
    assert "recall by label" in recalls_text(Measurement(task, made, verdict))
    assert "selfguide evaluate t.yaml" in (untested_advice(verdict, "t.yaml") or "")


def test_markdown_of_several_tasks():
    fewer = Comparison("a|b", Path("x.db"), 42, COMPARISON.lines[:3])
    lines = comparisons_markdown([COMPARISON, fewer]).splitlines()
    assert lines[0].endswith("| a\\|b |") and "\x1b" not in lines[0]
    assert lines[2:] == [
        "| few-shot | 30.0 | 30.0 |",
        "| few-shot calibrated | 50.0 | 50.0 |",
        "| finetuned | 75.0 (**+25.0**) | 75.0 (**+25.0**) |",
        "| no noise filter | 75.0 (**+25.0**) = |  |",
        "| sampled answers | 60.0 (**+10.0**) |  |",
        "| no self-consistency | 60.0 (**+10.0**) = sampled answers |  |",
        "| random labels | 48.0 (-2.0) |  |",
    ]


def test_confusion():
    text = confusion_text({("good", "good"): 7, ("good", None): 1, ("bad", "good"): 12}, ("good", "bad"))
    assert text.splitlines() == [
        "right \\ answered  good  bad  (no label)",
        "----------------  ----  ---  ----------",
        "good                 7    0           1",
        "bad                 12    0           0",
    ]


def test_changed_examples_are_one_line_each():
    change = Change("a\nb\x1b]8;;x\x07", ("r",), "B" * 500, "after", 0.0, 1.0)
    lines = change_lines(change)
    assert len(lines) == 4 and all(line.isprintable() and len(line) < 130 for line in lines)


def test_search_and_rounds():
    candidates = [Candidate(0.8, 3, True, None), Candidate(1.0, 1, False, True)]
    trials = (Trial(candidates[0], {"t": gain(0.5, 0.6, 0.05)}, {}), Trial(candidates[1], {}, {"t": "no pairs"}))
    found = Found(trials[0], trials, {"t": gain(0.5, 0.62, 0.05)}, 42, 60)
    text = found_text(found)
    assert "temperature 0.8, epochs 3, length filters: inputs on, outputs by kind" in text
    assert "failed" in text and "+12.0 (+7.0 to +17.0)" in text
    lines = found_markdown(found).splitlines()
    assert lines[2] == f"| {candidates[0]} | +10.0 | t |" and lines[3].endswith("| failed | t |")
    assert lines[5].startswith("Chosen (2 tried of 60): temperature 0.8") and lines[-1].endswith("(+7.0 to +17.0) |")
    assert found.settings_yaml().splitlines()[-3:] == [
        "input_temperature: 0.8",
        "epochs: 3",
        "input_length_filter: true",
    ]
    assert found.as_json()["trials"][1]["worst"] is None

    rounds = [Iteration(n, Path("d"), Path("m"), Path("a"), 280, gain(0.5, 0.5 + n / 10, 0.1)) for n in (1, 2)]
    verdict = Verdict("exact match", 300, "Better than every prompting tried", gain(0.5, 0.7, 0.1), "finetuned scored")
    shown = rounds_text(Rounds("t", tuple(rounds), rounds[1], verdict, {"few-shot": 0.5, "finetuned scored": 0.7}))
    assert "round 2 on the 300 other rows" in shown and "Better than every prompting" in shown
    assert ["finetuned", "scored", "70.0", "%"] in [line.split() for line in shown.splitlines()]


def test_an_empty_table():
    assert text_table(["a", "bb"], []) == "a  bb\n-  --"
