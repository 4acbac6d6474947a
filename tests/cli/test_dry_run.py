"""run --dry-run: every prompt in full, what a run would cost, and nothing written."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from selfguide_lite.cli import main

TASK = """\
name: shop
kind: {kind}
instruction: Happy or upset? [not markup] \\x1b[31m
examples:
  - input: The bread was lovely, thank you!
    output: happy
  - input: I waited for an hour.
    output: upset
settings: {{rounds: 3, prompts_per_round: 5, input_max_tokens: 16, output_max_tokens: 8, samples: 4}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classification", "generation"])
def test_plan_for_a_program(kind: str, tmp_path: Path) -> None:
    labels = "labels: [happy, upset]\ninputs: inputs.txt\ntrain: rows.csv\n" if kind == "classification" else ""
    added, given = (3, 2) if labels else (0, 0)
    (tmp_path / "inputs.txt").write_text("One.\nTwo.\nThree.\n", encoding="utf-8")
    (tmp_path / "rows.csv").write_text("input,output\nFour.,happy\nFive.,upset\n", encoding="utf-8")
    task = TASK.format(kind=kind).replace("samples: 4", "samples: 4, given_weight: 5")
    (tmp_path / "task.yaml").write_text(task + labels, encoding="utf-8")
    short = ["--set", "answer_style=bare"]
    done = CliRunner().invoke(main, ["run", str(tmp_path / "task.yaml"), "--dry-run", "--json", *short])
    assert done.exit_code == 0, done.output
    plan = json.loads(done.output)
    assert ("a model with the full prompt is trained first" in plan["notes"]) == (kind == "classification")
    stages = {stage["stage"]: stage for stage in plan["stages"]}
    assert stages["generate"]["requests"] == 15
    assert (stages["annotate"]["requests"], stages["annotate"]["samples"]) == (15 + added, 2 if labels else 1)
    examples = 8 * 2  # which the short prompt does not show
    assert stages["train"]["requests"] == 15 + added + 5 * given + examples
    assert all(stage["seconds"] > 0 and stage["bytes"] > 0 for stage in stages.values())
    for stage in ("generate", "annotate"):
        for _, messages, tokens in stages[stage]["prompts"]:
            assert messages[-1]["role"] == "user" and tokens > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inputs.txt", "rows.csv", "task.yaml"]


@pytest.mark.slow
def test_plan_for_people_shows_prompts_in_full(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(TASK.format(kind="generation"), encoding="utf-8")
    done = CliRunner().invoke(main, ["run", str(tmp_path / "task.yaml"), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert done.output.count("Happy or upset? [not markup]") == 3
    assert "annotate, for each input that was kept: " in done.output and "Nothing was written." in done.output
    assert "\x1b" not in done.output
