"""Why texts became no pairs: the same counts and the same advice wherever it is told."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from selfguide_lite.cli import main
from selfguide_lite.cli.common import given_settings
from selfguide_lite.core.errors import SelfguideError
from selfguide_lite.core.progress import FunnelRow
from selfguide_lite.core.resources import resource
from selfguide_lite.diagnosis import ADVICE, losses, no_new_inputs, no_pairs, one_answer
from selfguide_lite.finetune import TrainOptions, TrainTarget
from selfguide_lite.finetuning import train_task
from selfguide_lite.report.facts import collect
from selfguide_lite.run_context import RunContext
from selfguide_lite.store import NewInput, NewOutput, Store, filter_views
from selfguide_lite.task import Example, Task

TINY = resource("data/tiny_vicuna/tiny-vicuna.gguf")
TASK = Task(
    name="tone",
    kind="classification",
    instruction="Is it rude or kind?",
    labels=("rude", "kind"),
    examples=(Example(input="Go away, you.", output="rude"), Example(input="Nice of you.", output="kind")),
    noise_terms=("noise",),
)


def test_every_reason_of_a_shipped_filter_has_its_advice_and_no_other_has() -> None:
    shipped = {name for stage in filter_views.STAGES for name in filter_views.shipped_filters(stage)}
    assert set(ADVICE) == shipped | {"balance", "unanswered"}


def test_the_settings_that_the_advice_names_exist() -> None:
    named = {word for advice in ADVICE.values() for word in re.findall(r"--set ([^ ,]+=[^ ,]+)", advice)}
    assert named
    for assignment in named:
        assert given_settings(None, [assignment])


def test_losses_come_in_the_order_of_their_number_and_none_is_counted_twice() -> None:
    funnel = [
        FunnelRow("input", "noise", 2),
        FunnelRow("input", "kept", 9),
        FunnelRow("output", "label", 8),
        FunnelRow("answer", "no valid answer", 8),  # of the eight outputs above
        FunnelRow("answer", "unanswered", 1),
        FunnelRow("dataset", "balance", 3),
        FunnelRow("dataset", "kept", 0),
    ]
    assert list(map(str, losses(funnel))) == [
        "8 outputs lost to label",
        "3 pairs lost to balance",
        "2 inputs lost to noise",
        "1 kept input not answered yet",
    ]
    assert no_pairs("t", funnel).endswith(f"What may help: {ADVICE['label']}")
    assert "2 inputs lost to noise" in no_new_inputs(3, 9, funnel) and "label" not in no_new_inputs(3, 9, funnel)
    assert ADVICE["label"] in one_answer("t", "rude", 4, funnel)
    own = [FunnelRow("input", "mine", 5)]
    assert "5 inputs lost to mine" in no_pairs("t", own) and "larger model" in no_pairs("t", own)
    assert "selfguide generate" in no_pairs("t", [])


@pytest.mark.slow
def test_train_report_and_run_tell_the_same_of_a_store(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        task_id = store.add_task(TASK)
        run = store.start_run(task_id, "generate", None, {}, 1, None)
        for number in range(3):
            store.add_input(NewInput(task_id, run, 0, number, f"some noise {number}"))
        kept = store.add_input(NewInput(task_id, run, 0, 3, "How good of you."))
        store.add_outputs([NewOutput(kept, run, 0, "I do not know")])
        expected = no_pairs("tone", store.funnel(task_id))
        assert "(3 inputs lost to noise, 1 output lost to label)" in expected
        assert [(one.reason, one.n, one.advice) for one in collect(store, task_id).losses] == [
            ("noise", 3, ADVICE["noise"]),
            ("label", 1, ADVICE["label"]),
        ]
    with Store.open(tmp_path / "a.db") as store:
        target = TrainTarget(TINY, tmp_path / "lora")
        with pytest.raises(SelfguideError) as trained:
            train_task(RunContext(store, task_id, TASK.settings), target, TrainOptions())
    assert str(trained.value) == expected
    page = tmp_path / "report.html"
    done = CliRunner().invoke(main, ["report", "-d", str(tmp_path / "a.db"), "-o", str(page)])
    assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    assert "3 inputs lost to noise" in text and ADVICE["noise"].replace("'", "&#39;") in text


def test_kept_inputs_without_an_answer_are_to_be_annotated(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        task_id = store.add_task(TASK)
        run = store.start_run(task_id, "generate", None, {}, 1, None)
        store.add_input(NewInput(task_id, run, 0, 0, "How good of you."))
        assert "1 kept input not answered yet). What may help: `selfguide annotate`" in no_pairs(
            "tone", store.funnel(task_id)
        )
