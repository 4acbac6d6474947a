"""Results as text: readable, and harmless whatever a model or a task's name holds."""

from pathlib import Path

from selfguide_lite.evaluate import Evaluation, Gain
from selfguide_lite.evaluate.again import Round, Rounds
from selfguide_lite.evaluate.comparison import Compared, Comparison
from selfguide_lite.evaluate.evaluation import Change
from selfguide_lite.evaluate.search import Candidate, Found, Trial
from selfguide_lite.evaluate.tables import (
    change_lines,
    comparison_text,
    comparisons_markdown,
    confusion_text,
    found_markdown,
    found_text,
    rounds_text,
    text_table,
)


def evaluation(method, mean):
    return Evaluation(1, method, "exact match", [mean] * 300, mean, mean - 0.05, mean + 0.05, ())


def gain(before, after, half):
    return Gain("exact match", 300, before, after, after - before - half, after - before + half)


COMPARISON = Comparison(
    "mo\x1b[31mod",
    Path("run.db"),
    42,
    (
        Compared("few-shot", None, evaluation("few-shot", 0.5), None),
        Compared("selfguide", 280, evaluation("selfguide", 0.75), gain(0.5, 0.75, 0.05)),
        Compared("no noise filter", 280, evaluation("no noise filter", 0.75), gain(0.5, 0.75, 0.05), "selfguide"),
        Compared("sampled answers", 90, evaluation("sampled answers", 0.6), gain(0.5, 0.6, 0.05)),
        Compared("no self-consistency", 90, evaluation("x", 0.6), gain(0.5, 0.6, 0.05), "sampled answers"),
        Compared("random labels", 280, evaluation("random labels", 0.48), gain(0.5, 0.48, 0.05)),
    ),
    (("self-icl", "no room"),),
)


def test_comparison():
    text = comparison_text(COMPARISON)
    assert "\x1b" not in text
    assert text.splitlines()[-1] == "left out: self-icl: no room"
    columns = text.splitlines()[2:10]
    assert len({len(line) for line in columns}) == 1 and columns[3].split()[:4] == ["selfguide", "280", "75.0", "%"]
    assert "+25.0 (+20.0 to +30.0) (same pairs as selfguide)" in columns[4] and columns[2].endswith("baseline")


def test_markdown_of_several_tasks():
    fewer = Comparison("a|b", Path("x.db"), 42, COMPARISON.lines[:2])
    lines = comparisons_markdown([COMPARISON, fewer]).splitlines()
    assert lines[0].endswith("| a\\|b |") and "\x1b" not in lines[0]
    assert lines[2:] == [
        "| few-shot | 50.0 | 50.0 |",
        "| selfguide | 75.0 (**+25.0**) | 75.0 (**+25.0**) |",
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

    rounds = [Round(n, Path("d"), Path("m"), Path("a"), 280, gain(0.5, 0.5 + n / 10, 0.1)) for n in (1, 2)]
    shown = rounds_text(Rounds("t", tuple(rounds), rounds[1], gain(0.5, 0.7, 0.1)))
    assert "Round 2 on the 300 other rows" in shown and "better" in shown


def test_an_empty_table():
    assert text_table(["a", "bb"], []) == "a  bb\n-  --"
